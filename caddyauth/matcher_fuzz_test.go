package caddyauth_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// FuzzMatcherDecision: what a gate with a matcher of Caddy's leaves open is outside of what the matcher names, for
// every reading that upstreams are known to use.
func FuzzMatcherDecision(f *testing.F) {
	seeds := []string{
		"/admin", "/ADMIN/x", "/open", "/x/../admin", "/admin%3fx", "/admin%23x", "/admin%20", "/%20admin", "/admin%09", "/admin./x", "/x/..;/admin", "//admin", "/a//admin",
		"/%61dmin", "/%EF%BD%81dmin", "/x%5cadmin", `/x\..\admin`, "/%252e%252e/admin", "/admin%00", "/admin;x", "/admin#x", "/admin%C2%A0/x", "/admin%EF%BC%8Fx", "http://h/admin", "http://h?x", "*", "/admin%EF%BC%8E",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	startAdmin(f, `@path path /admin /admin/*
	@regexp path_regexp ^/admin(/|$)
	@expression expression `+"`{path} == '/admin' || {path}.startsWith('/admin/')`"+`
	@uri expression `+"`{uri}.matches('^/admin([/?]|$)')`"+`
	handle /1 {
		gatehouse @path
	}
	handle /2 {
		gatehouse @regexp
	}
	handle /3 {
		gatehouse @expression
	}
	handle {
		gatehouse @uri
	}`)
	gates := gatesOf(f)
	if len(gates) != 4 {
		f.Fatalf("%d gates", len(gates))
	}
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: example.com\r\n\r\n")))
		if err != nil {
			return // Caddy does not get it either
		}
		for _, gate := range gates {
			w := httptest.NewRecorder()
			asked := ""
			next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				asked = r.URL.EscapedPath()
				return nil
			})
			if err := gate.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, &caddyhttp.Server{}), next); err != nil {
				t.Fatal(err)
			}
			for who, read := range testenv.Readings {
				if got := read(asked); asked != "" && (got == "/admin" || strings.HasPrefix(got, "/admin/")) {
					t.Fatalf("%q is open, and %s reads %q", target, who, got)
				}
			}
		}
	})
}
