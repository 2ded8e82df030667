package webtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// host is where programs send their requests.
const host = "app.example.test"

// Program is a program that sends a token.
type Program struct {
	w    *World
	live *session.Live
}

// Program returns a program with a new token of a user.
func (w *World) Program(userID string) Program {
	w.T.Helper()
	made, err := w.Accounts.Programs.Create(w.T.Context(), Operator, userID, account.NewToken{
		Name: "job", Hosts: []string{store.AllHosts},
	})
	if err != nil {
		w.T.Fatal(err)
	}
	live, _, err := w.Sessions.ResolveToken(w.T.Context(), made.Text, netip.Addr{}, 0)
	if err != nil {
		w.T.Fatal(err)
	}
	return Program{w, live}
}

// Do sends a request to a path below Prefix, or, if it begins with "!", to one that is written just so.
func (p Program) Do(method, path string) Response {
	p.w.T.Helper()
	at, exact := strings.CutPrefix(path, "!")
	if !exact {
		at = Prefix + path
	}
	r := httptest.NewRequestWithContext(p.w.T.Context(), method, "https://"+host+at, nil)
	r = reqctx.With(r, &reqctx.Request{
		ID: "req-1", ClientIP: netip.MustParseAddr("192.0.2.7"), Secure: true, Host: host, Prefix: Prefix,
	})
	rec := httptest.NewRecorder()
	p.w.Router.ServeHTTP(rec, web.WithProgram(r, p.live))
	body, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		p.w.T.Fatal(err)
	}
	return Response{rec.Code, rec.Header(), string(body)}
}

// OpensOnly fails the test if the program gets anything but 403 token-scope from an address of ours that is not listed,
// each as "GET /pattern". Whether there is something at an address, and in which spelling, makes no difference.
func (p Program) OpensOnly(t *testing.T, open ...string) {
	t.Helper()
	seen := 0
	methods := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, "LIST",
	}
	patterns := []string{"", "/", "/none", "/api", "/api/v1", "/admin", "/login/help", "/LOGIN", "//login", "/./login", "/%61ccount"}
	for _, rt := range p.w.Router.Routes() {
		patterns = append(patterns, rt.Pattern)
	}
	slices.Sort(patterns)
	for _, pattern := range slices.Compact(patterns) {
		path := strings.NewReplacer("{id}", store.NewID(p.w.Clock.Now()), "{name}", "x", "{", "", "}", "").Replace(pattern)
		for _, method := range methods {
			as := method
			if method == http.MethodHead {
				as = http.MethodGet
			}
			if slices.Contains(open, as+" "+pattern) {
				seen++
			} else {
				p.refused(t, method, path)
			}
			p.refused(t, method, path+"/")
			p.refused(t, method, "!"+Prefix+strings.Replace(path, "/", "//", 1))
		}
	}
	if seen != 2*len(open) {
		t.Errorf("%d of %v are there, with GET and HEAD each", seen, open)
	}
}

func (p Program) refused(t *testing.T, method, path string) {
	t.Helper()
	a := p.Do(method, path)
	challenge := a.Header.Get("WWW-Authenticate")
	if a.Status != http.StatusForbidden || !strings.Contains(challenge, "insufficient_scope") ||
		method != http.MethodHead && a.Problem() != "token-scope" || len(a.Header["Set-Cookie"]) > 0 {
		t.Errorf("%s %s: %s, %v", method, path, a, a.Header)
	}
}
