package policy_test

import (
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

func rules(t testing.TB, patterns ...string) policy.Paths {
	t.Helper()
	p, err := policy.NewPaths(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// P-PATH: what is public is exactly what the rule says, on segment boundaries and case-sensitively.
func TestPublicPathsMatchExactlyOrByWholeSegments(t *testing.T) {
	p := rules(t, "/health", "/static/*", "/a%20b")
	for target, want := range map[string]bool{
		"/health": true, "/static/": true, "/static/x.css": true, "/static/a/b": true, "/a%20b": true,
		"/static/%E2%82%AC": true,
		"/healthz":          false, "/health/": false, "/Health": false, "/static": false, "/staticx": false, "/STATIC/x": false,
		"/": false, "": false, "*": false, "/a%20B": false,
	} {
		if got := p.Match(target); got != want {
			t.Errorf("Match(%q) = %v, want %v", target, got, want)
		}
	}
}

// P-PATH: a path that a lenient upstream could read as another one is never public (advisories 8, 12, 32, 98, 113).
func TestAmbiguousPathsAreNeverPublic(t *testing.T) {
	p := rules(t, "/public/*", "/")
	for _, target := range []string{
		"/public/../secret", "/public/./x", "/public/..", "/public/.", "/public//x", "//public/x", "/public/x//",
		"/public/%2e%2e/secret", "/public/%2E%2E/secret", "/public/..%2fsecret", "/public/%2fx", "/public/%2Fx",
		"/public/..;/secret", "/public/;/../x", "/public/x;jsessionid=1", `/public/\..\secret`, `/public/x\y`,
		"/public/%5c..%5csecret", "/public/%252e%252e%252fsecret", "/public/%25", "/public/%00", "/public/x%00.png",
		"/public/%c0%af..%c0%afsecret", "/public/%ef%bc%8fx", "/public/%ef%bc%8e%ef%bc%8e/x", "/public/%ff",
		"/public/#x", "/public/%23x", "/public/%3fx", "/public/%3bx", "/public/%0a", "/public/%0d", "/public/%7f", "/public/%09",
		"/public/%", "/public/%2", "/public/%zz", "/public/\x00", "/public/ü", "public/x", "http://evil/public/x",
		"/public/x y",
	} {
		if p.Match(target) {
			t.Errorf("%q is public, but an upstream could read it as something else", target)
		}
	}
}

func TestPatternsThatCouldNeverMatchAreRefused(t *testing.T) {
	for _, pattern := range []string{"", "x", "*", "/a*", "/*/b", "/a/*/*", "/a//b", "/../x", "/a;b", "/%2f", "/ü", "http://x/"} {
		if _, err := policy.NewPaths([]string{pattern}); err == nil {
			t.Errorf("pattern %q was accepted", pattern)
		}
	}
}

func TestEvasivePathsAreSpotted(t *testing.T) {
	for _, p := range []string{"/x/..;/admin", `/x\admin`, "/x%5cadmin", "/x%5Cadmin", "/x/%252e%252e/admin", "/a%00", "/a%3bb", "/%41%25",
		"/admin/x/../../y", "/admin/x/%2e%2e/%2E./y", "/admin/..%2fy", "/admin/..", "/admin/.", "/./admin", "/open/..%2Fadmin",
		"/open/%c0%ae%c0%ae/admin", "/open/%ef%bc%8e%ef%bc%8e/admin", "/open\xff"} {
		if !policy.Evasive(p) {
			t.Errorf("%q is not seen as evasive", p)
		}
	}
	for _, p := range []string{"/", "/a/b", "/a%20b", "/a%2fb", "/%", "/x%2", "/a.b/~c", "/.well-known/x", "/a/...", "/a..b/c..", "/caf%C3%A9", "/a//b", "/%2e%2e%2e"} {
		if policy.Evasive(p) {
			t.Errorf("%q is seen as evasive", p)
		}
	}
}

// What an upstream may take for an address of an API is answered like one: that opens nothing.
func TestAPIPathsAreCoveredInEveryReading(t *testing.T) {
	p := rules(t, "/api/*", "/rpc")
	for target, want := range map[string]bool{
		"/api/a": true, "/api/": true, "/api/a%2Fb": true, "/api//b": true, "/api/a;b": true, "/api/x%00": true, "/rpc": true, "/rpc;v=1": true, "//api/a": true, "/x/../api/b": true,
		"/x/%2e%2e/api/b": true, `/x\..\api\b`: true, "/api%2fa": true, "/%61pi/x": true,
		"/": false, "/apix": false, "/api": false, "/x/api/": false, "/x;/api": false, "": false, "*": false, "/rpc/x": false, "/%zz": false,
	} {
		if got := p.Covers(target); got != want {
			t.Errorf("Covers(%q) = %v, want %v", target, got, want)
		}
	}
	if rules(t).Covers("/api//b") {
		t.Error("no rule covers something")
	}
}

// FuzzPathDecision: whatever is public under /public/* stays there for every reading that upstreams are known to use.
func FuzzPathDecision(f *testing.F) {
	seeds := []string{"/public/x", "/public/../x", "/public/..;/x", "/public/%2e%2e/x", "/public/%252e", `/public/\x`, "/public/a/b?x", "//public/x", "/public/%c0%ae"}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	p := rules(f, "/public/*")
	f.Fuzz(func(t *testing.T, target string) {
		if !p.Match(target) {
			return
		}
		readings := []string{target}
		text := target
		for range 3 { // decoding once, twice, three times
			dec, err := url.PathUnescape(text)
			if err != nil {
				t.Fatalf("%q is public but has a broken escape", target)
			}
			text = dec
			readings = append(readings, dec)
		}
		for _, r := range readings {
			for _, s := range []string{r, strings.ReplaceAll(r, `\`, "/"), cutParams(r), strings.SplitN(r, "#", 2)[0], strings.SplitN(r, "\x00", 2)[0]} {
				if c := path.Clean(s); c != "/public" && !strings.HasPrefix(c, "/public/") {
					t.Fatalf("%q is public, but can be read as %q", target, c)
				}
			}
		}
		if u, err := url.ParseRequestURI(target); err != nil || !strings.HasPrefix(httptest.NewRequest("GET", u.EscapedPath(), nil).URL.Path, "/public/") {
			t.Fatalf("%q is public, but net/http reads it otherwise", target)
		}
	})
}

// cutParams drops path parameters segment by segment, as servlet containers do.
func cutParams(p string) string {
	segs := strings.Split(p, "/")
	for i, s := range segs {
		segs[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segs, "/")
}
