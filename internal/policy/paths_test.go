package policy_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

func rules(t testing.TB, patterns ...string) policy.Paths {
	t.Helper()
	p, err := policy.NewPaths(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// at is what a request asks for where nothing was rewritten.
func at(path string) policy.Target { return policy.NewTarget(path, path) }

// What is public is exactly what the rule says, on segment boundaries and case-sensitively.
func TestPublicPathsMatchExactlyOrByWholeSegments(t *testing.T) {
	p := rules(t, "/health", "/static/*", "/a%20b")
	for target, want := range map[string]bool{
		"/health": true, "/static/": true, "/static/x.css": true, "/static/a/b": true, "/a%20b": true,
		"/static/%E2%82%AC": true,
		"/healthz":          false, "/health/": false, "/Health": false, "/static": false, "/staticx": false, "/STATIC/x": false,
		"/": false, "": false, "*": false, "/a%20B": false,
	} {
		if got := p.Match(at(target)); got != want {
			t.Errorf("Match(%q) = %v, want %v", target, got, want)
		}
	}
}

// A path that a lenient upstream could read as another one is never public.
func TestRulesContainThePatternsOfNarrowerOnes(t *testing.T) {
	t.Parallel()
	p := rules(t, "/git/*", "/one", "/a/b/*")
	for pattern, want := range map[string]bool{
		"/git/*": true, "/git/x/*": true, "/git/x": true, "/one": true, "/a/b/*": true, "/a/b/c": true,
		"/*": false, "/gi/*": false, "/gitx/*": false, "/one/*": false, "/on": false, "/a/*": false, "/a/bc": false,
	} {
		if p.Contains(pattern) != want {
			t.Errorf("%s: %t", pattern, !want)
		}
	}
	if rules(t).Contains("/x") || !rules(t, "/*").Contains("/*") {
		t.Error("nothing or all")
	}
}

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
		"/public/x y", "/public/x%20", "/public/%20x", "/public/x.", "/public/x./y", "/public/x%C2%A0",
	} {
		if p.Match(at(target)) {
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

// What could be read in two ways, and what could not, in every part of a path.
func TestPathsWithTwoReadingsAreAmbiguous(t *testing.T) {
	ends := []string{"", "/", "/x", "/x/y.css"}
	for _, odd := range []string{
		"*", "a", "host:443", "http:", "/x//y", "//x", "/x/.", "/x/..", "/./x", "/../x", "/x.", "/x..", "/...", "/x./y", "/x;y", "/;", `/x\y`, `/\x`,
		"/x%2fy", "/x%2Fy", "/x%5cy", "/x%5Cy", "/x%2ey", "/%2e%2E", "/x%25y", "/%2525", "/x%00", "/x%3fy", "/x%3Fy", "/x%23y", "/x%3by", "/x#y", "/x?y",
		"/x%20", "/%20x", "/%20", "/x%20/y", "/x/%20y", "/x%09", "/x%0a", "/x%0d%0a", "/x%1f", "/x%7f", "/x%C2%85", "/x%E2%80%A8y", "/x y", "/x\x00", "/x\ty",
		"/x%C2%A0", "/%E3%80%80x", "/x/%EF%BB%BFy", "/x%E2%80%83", "/%", "/%2", "/%zz", "/%g0", "/x%u0041", "/ü", "/x\xff", "/%ff", "/%c0%af", "/%c0%ae%c0%ae",
		"/%e0%80%af", "/%ed%a0%80", "/%ef%bc%8fx", "/%ef%bc%8e%ef%bc%8e", "/x%ef%bc%9by", "/x%ef%bc%85y", "/x%e2%80%a4", "/x%ef%bc%bcy", "/x%ef%bc%9fy", "/x%e2%88%95y", "/x%e2%81%84y", "/x%e2%88%96y",
	} {
		for _, end := range ends {
			if target := odd + end; !policy.Ambiguous(target) {
				t.Errorf("%q is not seen as ambiguous", target)
			}
			if !policy.NewTarget("/plain", odd+end).Ambiguous() || !policy.NewTarget(odd+end, "/plain").Ambiguous() {
				t.Errorf("%q is ambiguous, but not before or after a rewrite", odd+end)
			}
		}
	}
	for _, plain := range []string{
		"/", "/x", "/x/", "/a/b.c/d", "/.well-known/x", "/.x", "/..x", "/a..b", "/a%20b", "/%61", "/%7Ex", "/caf%C3%A9", "/%E6%97%A5%E6%9C%AC/x",
		"/x%C2%A0y", "/c++", "/@a", "/a:b", "/a,b", "/a=b&c", "/~x", "/-", "/x!", "/%EF%BC%A1", "/e%CC%81",
	} {
		if policy.Ambiguous(plain) {
			t.Errorf("%q is seen as ambiguous", plain)
		}
	}
	if !policy.Ambiguous("") || !(policy.Target{}).Ambiguous() {
		t.Error("nothing at all is not ambiguous")
	}
}

// A rewrite never opens what the client did not ask for, and never closes what the operator opened by its address.
func TestPublicPathsAreTheRequestedOnes(t *testing.T) {
	p := rules(t, "/public/*")
	for _, c := range []struct {
		original, current string
		want              bool
	}{
		{"/public/x", "/public/x", true},
		{"/public/x", "/x", true},
		{"/public/x", "/index.php", true},
		{"/x", "/public/x", false},
		{"/admin", "/public/x", false},
		{"/public/x", "/public//x", false},
		{"/public/x", "", false},
		{"/public/x", "/a/../x", false},
		{"/public/..;/x", "/public/x", false},
		{"", "/public/x", false},
	} {
		if got := p.Match(policy.NewTarget(c.original, c.current)); got != c.want {
			t.Errorf("%q rewritten to %q: public %v, want %v", c.original, c.current, got, c.want)
		}
	}
	if !rules(t, "/api/*").Covers(policy.NewTarget("/x", "/api/x")) || !rules(t, "/api/*").Covers(policy.NewTarget("/api/x", "/x")) {
		t.Error("an address of an API is one before and after a rewrite")
	}
}

// What an upstream may take for the address of an API gets its kind of response: that opens nothing.
func TestAPIPathsAreCoveredInEveryReading(t *testing.T) {
	p := rules(t, "/api/*", "/rpc")
	for target, want := range map[string]bool{
		"/api/a": true, "/api/": true, "/api/a%2Fb": true, "/api//b": true, "/api/a;b": true, "/api%252fa": true, "/api%3fa": false, "/rpc%3fa": true, "/rpc%23a": true, "/api/x%00": true, "/rpc": true, "/rpc;v=1": true, "//api/a": true, "/x/../api/b": true,
		"/x/%2e%2e/api/b": true, `/x\..\api\b`: true, "/api%2fa": true, "/%61pi/x": true,
		"/": false, "/apix": false, "/api": false, "/x/api/": false, "/x;/api": false, "": false, "*": false, "/rpc/x": false, "/%zz": false,
	} {
		if got := p.Covers(at(target)); got != want {
			t.Errorf("Covers(%q) = %v, want %v", target, got, want)
		}
	}
	if rules(t).Covers(at("/api//b")) {
		t.Error("no rule covers something")
	}
}

// FuzzPathDecision: whatever is public under /public/* stays there for every reading that upstreams are known to use.
func FuzzPathDecision(f *testing.F) {
	seeds := []string{
		"/public/x", "/public/../x", "/public/..;/x", "/public/%2e%2e/x", "/public/%252e", `/public/\x`, "/public/a/b?x", "//public/x", "/public/%c0%ae",
		"/public/%20../x", "/public/..%20/x", "/public/x.", "/public/%3f", "/public/%EF%BC%8E%EF%BC%8E/x", "/public/.%C2%A0./x", "/public/%E2%80%A6/x",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	p := rules(f, "/public/*")
	f.Fuzz(func(t *testing.T, target string) {
		if !p.Match(at(target)) {
			return
		}
		if _, err := url.PathUnescape(target); err != nil {
			t.Fatalf("%q is public but has a broken escape", target)
		}
		for who, read := range testenv.Readings {
			if c := read(target); c != "/public" && !strings.HasPrefix(c, "/public/") {
				t.Fatalf("%q is public, but %s reads %q", target, who, c)
			}
		}
		if u, err := url.ParseRequestURI(target); err != nil || !strings.HasPrefix(httptest.NewRequest("GET", u.EscapedPath(), nil).URL.Path, "/public/") {
			t.Fatalf("%q is public, but net/http reads it otherwise", target)
		}
	})
}
