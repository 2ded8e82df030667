package returnto_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/redirects"
)

const (
	prefix = "/_auth"
	host   = redirects.Host
	origin = redirects.Origin
)

func guard(t testing.TB, hosts ...string) *returnto.Guard {
	t.Helper()
	g, err := returnto.New(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func onSite(secure bool) *reqctx.Request {
	return &reqctx.Request{Secure: secure, Host: host, Prefix: prefix}
}

// Every value of the corpus gets exactly its verdict, at the sign-in and at the end of it.
func TestReturnToCorpus(t *testing.T) {
	t.Parallel()
	lines := redirects.Corpus(t)
	allowed, rejected := 0, 0
	g, q := guard(t), onSite(true)
	for _, l := range lines {
		target, external, ok := g.Check(q, l.Raw)
		if ok != l.Allow || external {
			t.Errorf("Check(%q) = %q, %v, %v; want %v", l.Raw, target, external, ok, l.Allow)
		}
		if !l.Allow {
			rejected++
			continue
		}
		allowed++
		got, err := redirects.Resolve(target)
		want, err2 := redirects.Resolve(l.Raw)
		if err != nil || err2 != nil || got != want {
			t.Errorf("%q leads to %+v (%v), want %+v (%v)", l.Raw, got, err, want, err2)
		}
		redirects.CheckLocation(t, target)
	}
	if allowed < 20 || rejected < 130 {
		t.Fatalf("the corpus has %d allowed and %d rejected values: part of it is missing", allowed, rejected)
	}
}

// What is not in the corpus, because it depends on where our pages are.
func TestReturnToNeverLeadsToOurOwnPages(t *testing.T) {
	t.Parallel()
	g, q := guard(t), onSite(true)
	for _, raw := range []string{
		"/_auth", "/_auth/", "/_auth/login", "/_auth/logout", "/_auth/oidc/x/callback", "/_AUTH/logout", "/%5fauth/logout", "/%255Fauth/logout",
		"/_%61uth/login", "/_auth;x/login", "/_auth?x", "/_auth#x", "/_auth%2flogin", "/_auth%3flogin", origin + "/_auth/logout", "/_auth/account",
		"/%EF%BC%BFauth/logout", "/_%EF%BD%81uth/logout",
	} {
		if target, _, ok := g.Check(q, raw); ok {
			t.Errorf("Check(%q) = %q", raw, target)
		}
	}
	for _, raw := range []string{"/_authors", "/_auth-x/y", "/x/_auth/login", "/x?next=/_auth/login"} {
		if _, _, ok := g.Check(q, raw); !ok {
			t.Errorf("Check(%q) is refused, but it is the app's", raw)
		}
	}
}

func TestReturnToIsBounded(t *testing.T) {
	t.Parallel()
	g, q := guard(t), onSite(true)
	if _, _, ok := g.Check(q, "/"+strings.Repeat("a", 8<<10)); ok {
		t.Error("more than 8 KiB is accepted")
	}
	if _, _, ok := g.Check(q, "/"+strings.Repeat("a", 8<<10-1)); !ok {
		t.Error("8 KiB is refused")
	}
}

func TestReturnToMoreSpellings(t *testing.T) {
	t.Parallel()
	g, q := guard(t), onSite(true)
	reject := []string{
		"/a/../b", "/a/..", "/./a", "/a/.", "/..;/admin", "/a/.;x/b", "/%2e%2e;/x", "/%252e%252e/x", "/%25252e%25252e/x",
		"/a//b", "/a%2f%2fb", "/%2f/b", "/%EF%BC%8F/evil", "/%EF%BC%BC%EF%BC%BCevil", "/%EF%BC%8E%EF%BC%8E/x", "/%E2%80%A9x", "/%C2%80x",
		"/x?a=%00", "/x?a=%0d%0aSet-Cookie:b", "/x?a=%250aX", "/x#%0a", "/x?a=\"", "/x?<script>", "/x#<b>", "/100%", "/%zz",
		"/%3Cscript%3E", "/%22onload=", "/x?a=%E5%98%8D%E5%98%8Ab", "/%2525252f%2525252f", "/\u00e9", "/\x80", "https://app.example.test:/",
		"https://app.example.test//evil.example", "https://app.example.test/..//evil", "HTTPS://app.example.test\\@evil.example/",
		"https://[::1]/", "https://app.example.test:443:443/", "ftp://app.example.test/", "https:/app.example.test/",
	}
	for _, raw := range reject {
		if target, _, ok := g.Check(q, raw); ok {
			t.Errorf("Check(%q) = %q", raw, target)
		}
	}
	for raw, want := range map[string]string{
		"/x?q=%3Cb%3E": "/x?q=%3Cb%3E", "/x?_g=(a:!(b),c:'d')": "/x?_g=(a:!(b),c:'d')", "/x?j={%22a%22:[1]}": "/x?j={%22a%22:[1]}",
		"/caf%C3%A9": "/caf%C3%A9", "/%E4%B8%8A%E6%B5%B7": "/%E4%B8%8A%E6%B5%B7", "/100%25": "/100%25", "/a.b/..c": "/a.b/..c",
		"https://app.example.test:443/x": "/x", "https://app.example.test?x=1": "/?x=1", "https://app.example.test#f": "/#f",
	} {
		if target, external, ok := g.Check(q, raw); !ok || external || target != want {
			t.Errorf("Check(%q) = %q, %v, %v; want %q", raw, target, external, ok, want)
		}
	}
}

// Each trusted host is that host and no other.
func TestTrustedHostsAreExact(t *testing.T) {
	t.Parallel()
	g := guard(t, "Other.Example.Test", "deep.example.test:8443", "std.example.test:443")
	for raw, want := range map[string]string{
		"https://other.example.test":                  "https://other.example.test/",
		"https://OTHER.example.test:443/x?y=1#z":      "https://other.example.test/x?y=1#z",
		"https://deep.example.test:8443/a":            "https://deep.example.test:8443/a",
		"https://std.example.test/":                   "https://std.example.test/",
		"https://other.example.test:444/":             "",
		"https://other.example.test./":                "",
		"https://xother.example.test/":                "",
		"https://other.example.test.evil.example/":    "",
		"https://a.other.example.test/":               "",
		"https://u@other.example.test/":               "",
		"https://other.example.test@evil.example/":    "",
		"https://other.example.test\\.evil.example":   "",
		"https://other.example.test//evil.example/":   "",
		"https://deep.example.test/":                  "",
		"http://other.example.test/":                  "",
		"//other.example.test/":                       "",
		"javascript://other.example.test/%0aalert(1)": "",
	} {
		target, external, ok := g.Check(onSite(true), raw)
		if ok != (want != "") || target != want || external != ok {
			t.Errorf("Check(%q) = %q, %v, %v; want %q", raw, target, external, ok, want)
		}
	}
	if target, external, ok := g.Check(onSite(false), "http://other.example.test/x"); !ok || !external || target != "http://other.example.test/x" {
		t.Errorf("an http site may return to a trusted http host; got %q, %v, %v", target, external, ok)
	}
	if _, _, ok := g.Check(onSite(false), "https://app.example.test/x"); ok {
		t.Error("https is another origin than http")
	}
	for _, bad := range []string{"", "https://x.test", "x.test/", "x.test:", "u@x.test", "*.x.test", "x test", "x.test.", "x.test:8443/", "x.test?y"} {
		if _, err := returnto.New([]string{bad}); err == nil {
			t.Errorf("trust_return %q is accepted", bad)
		}
	}
}

func FuzzReturnTo(f *testing.F) {
	lines := redirects.Corpus(f)
	if len(lines) < 150 {
		f.Fatalf("only %d seeds", len(lines))
	}
	for _, l := range lines {
		f.Add(l.Raw)
	}
	g, q := guard(f, "other.example.test"), onSite(true)
	f.Fuzz(func(t *testing.T, raw string) {
		target, external, ok := g.Check(q, raw)
		switch {
		case !ok:
			if target != "" {
				t.Fatalf("refused, but with target %q", target)
			}
		case external:
			if at, err := redirects.Resolve(target); err != nil || at.Origin != "https://other.example.test" {
				t.Fatalf("%q leads to %+v (%v)", target, at, err)
			}
		default:
			redirects.CheckLocation(t, target)
		}
		if own, ok := g.CheckOwn(q, raw); ok {
			redirects.CheckLocation(t, own)
			if at, err := redirects.Resolve(own); err != nil || !strings.HasPrefix(at.Path, prefix+"/a") {
				t.Fatalf("CheckOwn(%q) leads to %+v (%v)", raw, at, err)
			}
		}
	})
}
