package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/idp"
)

// startWithProvider runs a gate with a real provider.
func startWithProvider(t *testing.T, lines string, env ...string) (*gate.Gate, *idp.Provider) {
	t.Helper()
	ports, err := gate.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://127.0.0.1:" + strconv.Itoa(ports[0])
	g := start(t, gate.Options{
		Global: idp.Config(issuer, lines), Site: "require provider staff local",
		App: `respond "app: {http.request.orig_uri} as {http.request.header.Remote-User} ({http.request.header.Remote-Groups}) <{http.request.header.Remote-Email}>" 200`,
	})
	return g, idp.Start(t, issuer, g.URL, env...)
}

// enterStaff signs in on the provider's page.
func enterStaff(p *browser.Page, name string) {
	p.Find("textbox", "Your name").Fill(name)
	p.Find("button", "Enter").Follow()
}

// The complete flow with a certified provider, with and without scripts: sign in, return to the requested page, sign
// out here and at the provider.
func TestSignInAndOutWithARealProvider(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "ES256"} {
		g, op := startWithProvider(t, "", "ALG="+alg)
		for i, v := range []browser.View{{}, {NoScript: true}} {
			name := "grace" + strconv.Itoa(i)
			p := open(t, g, v, host(t, op.Issuer))
			p.Go(g.URL + "/wanted?x=1")
			p.Find("link", "Continue with Staff directory").Follow()
			if !strings.HasPrefix(p.URL(), op.Issuer) {
				t.Fatalf("%s, %s: not at the provider but at %s: %s", alg, v, p.URL(), p.Text())
			}
			enterStaff(p, name)
			if p.URL() != g.URL+"/wanted?x=1" || !strings.Contains(p.Text(),
				"as "+name+" (staff,team-"+name+") <"+name+"@example.com>") {
				t.Fatalf("%s, %s: at %s: %s", alg, v, p.URL(), p.Text())
			}
			p.Go(g.URL + "/_auth/account")
			if !strings.Contains(p.Text(), name+" of the staff") {
				t.Errorf("%s, %s: the account page says %s", alg, v, p.Text())
			}
			// RP-initiated logout: the form redirects to the provider, which the CSP must allow.
			p.Go(g.URL + "/_auth/logout")
			p.Find("checkbox", "Also sign out of Staff directory").Click()
			p.Find("button", "Sign out").Follow()
			if !strings.HasPrefix(p.URL(), op.Issuer) {
				t.Fatalf("%s, %s: the sign-out leads to %s: %s", alg, v, p.URL(), p.Text())
			}
			p.Find("button", "Yes, sign me out").Follow()
			if !strings.HasPrefix(p.URL(), g.URL+"/_auth/logged-out") || !strings.Contains(p.Text(), "You are signed out") {
				t.Errorf("%s, %s: the provider sent the browser to %s: %s", alg, v, p.URL(), p.Text())
			}
			p.Go(g.URL + "/wanted?x=1")
			if !p.Has("link", "Continue with Staff directory") {
				t.Errorf("%s, %s: still signed in: %s", alg, v, p.Text())
			}
		}
		op.Wait("backchannel.success") // for the session that has already ended here
	}
}

// A provider whose pages are at another origin than its endpoints, or that has another provider behind it, leads on to
// those at a sign-out. Browsers apply the sign-out page's form-action to each of these redirects.
func TestASignOutGoesOnFromTheProvider(t *testing.T) {
	t.Parallel()
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><html lang=en><title>pages</title><link rel=icon href=data:,><h1>Signed out there</h1>")
	}))
	t.Cleanup(pages.Close)
	endpoint := httptest.NewServer(http.RedirectHandler(pages.URL+"/goodbye", http.StatusFound))
	t.Cleanup(endpoint.Close)
	g, op := startWithProvider(t, "endpoint end_session "+endpoint.URL+"/end")
	for i, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v, host(t, op.Issuer), host(t, endpoint.URL), host(t, pages.URL))
		p.Go(g.URL + "/wanted")
		p.Find("link", "Continue with Staff directory").Follow()
		enterStaff(p, "joan"+strconv.Itoa(i))
		p.Go(g.URL + "/_auth/logout")
		p.Find("checkbox", "Also sign out of Staff directory").Click()
		p.Find("button", "Sign out").Follow()
		if p.URL() != pages.URL+"/goodbye" {
			t.Errorf("%s: at %s: %s", v, p.URL(), p.Text())
		}
	}
}

// A sign-out at the provider only: its back-channel logout token ends the session here.
func TestASignOutAtARealProviderEndsTheSessionHere(t *testing.T) {
	t.Parallel()
	g, op := startWithProvider(t, "")
	p := open(t, g, browser.View{}, host(t, op.Issuer))
	p.Go(g.URL + "/_auth/login")
	p.Find("link", "Continue with Staff directory").Follow()
	enterStaff(p, "mary")
	p.Go(op.Issuer + "/session/end")
	p.Find("button", "Yes, sign me out").Follow()
	op.Wait("backchannel.success")
	p.Go(g.URL + "/wanted")
	if !p.Has("link", "Continue with Staff directory") {
		t.Errorf("still signed in: %s", p.Text())
	}
	for _, e := range op.Events() {
		if strings.Contains(e.Name, "error") {
			t.Errorf("the provider had an error: %+v", e)
		}
	}
}

// A user who denies consent returns to the sign-in page without an error; a rule that denies a user says so.
func TestRefusalsWithARealProvider(t *testing.T) {
	t.Parallel()
	g, op := startWithProvider(t, "allow email ada@example.com")
	p := open(t, g, browser.View{}, host(t, op.Issuer))
	p.Go(g.URL + "/wanted")
	p.Find("link", "Continue with Staff directory").Follow()
	p.Find("button", "Refuse").Follow()
	if !strings.HasPrefix(p.URL(), g.URL+"/_auth/login") || !strings.Contains(p.Text(), "was canceled") ||
		strings.Contains(p.Text(), "The person said") {
		t.Errorf("at %s: %s", p.URL(), p.Text())
	}
	p.Find("link", "Continue with Staff directory").Follow()
	enterStaff(p, "eve")
	if p.Status() != 403 || !strings.Contains(p.Text(), "not allowed here") {
		t.Errorf("%d at %s: %s", p.Status(), p.URL(), p.Text())
	}
	q := open(t, g, browser.View{}, host(t, op.Issuer))
	q.Go(g.URL + "/wanted")
	q.Find("link", "Continue with Staff directory").Follow()
	enterStaff(q, "ada")
	if q.URL() != g.URL+"/wanted" {
		t.Errorf("at %s: %s", q.URL(), q.Text())
	}
}
