package returnto_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/redirects"
)

// What LoginURL offers is what the sign-in accepts.
func TestLoginURL(t *testing.T) {
	t.Parallel()
	g := guard(t)
	q := &reqctx.Request{Secure: true, Host: host, Prefix: prefix}
	for target, want := range map[string]string{
		"/": "%2F", "/reports?year=2026": "%2Freports%3Fyear%3D2026", "/a%20b?x=%2Fy": "%2Fa%2520b%3Fx%3D%252Fy", "/x?": "%2Fx%3F",
		"http://evil.example/x": "%2Fx", "http://evil.example//x": "", "//evil.example/x": "", "/a//b": "", "/a/../b": "", "/%2e%2e/b": "", "/a%5cb": "",
		"/_auth/login": "", "/_AUTH/login": "", "*": "", "/a%0d%0ab": "", "/x?y=%0a": "", "/.hidden": "%2F.hidden", "/a;b": "%2Fa%3Bb",
		"/" + strings.Repeat("a", 9000): "",
	} {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(target, "//") { // as a server reads it from the request line
			u = &url.URL{Path: target}
		}
		if want != "" {
			want = "?rt=" + want
		}
		if got, _ := g.LoginURL(q, u); got != "/_auth/login"+want {
			t.Errorf("%s: %s, want /_auth/login%s", target, got, want)
		}
	}
}

func FuzzLoginURL(f *testing.F) {
	seeds := 0
	for _, l := range redirects.Corpus(f) {
		f.Add(l.Raw, "q=1")
		seeds++
	}
	if seeds < 150 {
		f.Fatalf("only %d seeds", seeds)
	}
	g := guard(f)
	q := &reqctx.Request{Secure: true, Host: host, Prefix: prefix}
	f.Fuzz(func(t *testing.T, path, query string) {
		got, _ := g.LoginURL(q, &url.URL{Path: path, RawQuery: query})
		rest, ok := strings.CutPrefix(got, "/_auth/login?rt=")
		if !ok {
			if got != "/_auth/login" {
				t.Fatalf("%q", got)
			}
			return
		}
		rt, err := url.QueryUnescape(rest)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if target, external, ok := g.Check(q, rt); !ok || external || target != rt {
			t.Fatalf("%q offers %q, which is refused", got, rt)
		}
	})
}

func BenchmarkLoginURL(b *testing.B) {
	g := guard(b)
	q := &reqctx.Request{Secure: true, Host: host, Prefix: prefix}
	u := &url.URL{Path: "/reports/2026/march", RawQuery: "sort=name&page=3"}
	b.ReportAllocs()
	for b.Loop() {
		g.LoginURL(q, u)
	}
}
