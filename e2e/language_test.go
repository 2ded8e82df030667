package e2e

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// translations are texts of the pages in each language.
var translations = map[string]struct{ name, heading, username, password, submit, save, passkey string }{
	"de": {"Deutsch", "Anmelden bei .*", "Benutzername oder E-Mail", "Passwort", "Anmelden", "Speichern", "Passkey anlegen"},
	"es": {"Español", "Iniciar sesión en .*", "Usuario o correo electrónico", "Contraseña", "Iniciar sesión", "Guardar", "Crear una llave.*"},
}

// clipped finds controls and cells whose text does not fit.
const clipped = `[...document.querySelectorAll("button, .btn, label, legend, h1, h2, dt, dd, .tag, nav a")].filter(e => e.checkVisibility() &&
	(e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline" || e.getBoundingClientRect().right > document.documentElement.clientWidth + 1) &&
	!e.closest(".scroll, .sr")).map(e => e.tagName + ": " + e.textContent.trim())`

// German has the longest words and Spanish the longest sentences: on a narrow screen nothing overflows, including
// errors, and axe finds no violations.
func TestOtherLanguagesFit(t *testing.T) {
	t.Parallel()
	for lang, words := range translations {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			g := start(t, gate.Options{Global: "brand {\nsupport https://help.example/\n}"})
			addUser(t, g, "bob", "a password of somebody")
			p := open(t, g, browser.View{Width: 320, Phone: true})
			fits := func(what string) {
				t.Helper()
				var o outline
				p.Eval(measure, &o)
				var list []string
				p.Eval(clipped, &list)
				if o.Scroll > o.Client || o.Lang != lang || o.H1 != 1 || len(list) > 0 {
					t.Errorf("%s: %d pixels wide in a window of %d, in %q; clipped: %s", what, o.Scroll, o.Client, o.Lang,
						strings.Join(list, "\n"))
				}
				violations, incomplete := p.Axe()
				for _, f := range append(violations, incomplete...) {
					t.Errorf("%s: %s", what, f)
				}
			}
			p.Go(g.URL + "/_auth/login?rt=%2Fx")
			p.Find("button", words.name).Follow()
			fits("sign-in")
			p.Find("textbox", words.username).Fill(gate.Admin)
			p.Find("textbox", words.password).Fill("not it")
			p.Find("button", words.submit).Follow()
			fits("wrong sign-in")
			p.Go(g.URL + "/_auth/login")
			p.Find("textbox", words.username).Fill(gate.Admin)
			p.Find("textbox", words.password).Fill(gate.AdminPassword)
			p.Find("button", words.submit).Follow()
			for _, path := range []string{
				"login/help", "login", "logout", "account", "account/profile", "account/password",
				"account/two-factor", "account/passkeys", "account/recovery-codes", "account/sessions", "account/sessions/others",
				"account/activity", "account/appearance", "reauth", "nothing", "link/none", "welcome", "admin", "admin/users", "admin/users?q=nobody",
				"admin/users/invite", "admin/invites", "admin/roles", "admin/sessions", "admin/sessions/everyone", "admin/audit", "admin/providers", "admin/settings",
			} {
				p.Go(g.URL + "/_auth/" + path)
				fits(path)
			}
			p.Go(g.URL + "/_auth/account/password")
			p.Eval(`document.querySelectorAll("main form input").forEach(i => { i.required = false })`, nil)
			p.Find("button", ".*(ändern|Cambiar la).*").Follow()
			fits("password refused")
			demanding := start(t, gate.Options{Global: "mfa required {\ngrace 14d\n}"})
			p = open(t, demanding, browser.View{Width: 320, Phone: true})
			p.Plug(browser.TouchKey())
			p.Go(demanding.URL + "/_auth/login")
			p.Find("button", words.name).Follow()
			p.Find("textbox", words.username).Fill(gate.Admin)
			p.Find("textbox", words.password).Fill(gate.AdminPassword)
			p.Find("button", words.submit).Follow()
			if fits("a second factor"); !strings.HasSuffix(p.Path(), "/login/enrol") {
				t.Errorf("the sign-in leads to %s", p.Path())
			}
			p.Loads(func() { p.Find("button", words.passkey).Click() })
			fits("recovery codes")
			p.Go(demanding.URL + "/_auth/login?switch=1")
			p.Find("textbox", words.username).Fill(gate.Admin)
			p.Find("textbox", words.password).Fill(gate.AdminPassword)
			p.Find("button", words.submit).Follow()
			fits("the second step")
		})
	}
}

// A user chooses a language before signing in and another one afterwards, with scripts and without.
func TestChoosingALanguage(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v)
		p.Go(g.URL + "/reports?x=1")
		if !p.Has("heading", "Sign in to .*") {
			t.Fatalf("%s: the page says %s", v, p.Text())
		}
		p.Find("button", "Deutsch").Follow()
		words := translations["de"]
		if !p.Has("heading", words.heading) || !strings.Contains(p.Path(), "rt=%2Freports%3Fx%3D1") {
			t.Fatalf("%s: after the choice, at %s: %s", v, p.Path(), p.Text())
		}
		p.Find("textbox", words.username).Fill(gate.Admin)
		p.Find("textbox", words.password).Fill(gate.AdminPassword)
		p.Find("button", words.submit).Follow()
		if !strings.HasPrefix(p.Text(), "app: GET /reports?x=1") {
			t.Fatalf("%s: the sign-in leads to %s: %s", v, p.URL(), p.Text())
		}
		p.Go(g.URL + "/_auth/account/appearance")
		p.Find("radio", "Español").Click()
		p.Find("button", words.save).Follow()
		if !p.Has("status", ".*") || !strings.Contains(p.Text(), "Guardado.") || !p.Has("heading", "Apariencia") {
			t.Errorf("%s: after the other choice: %s", v, p.Text())
		}
		p.Find("radio", "El que pida el navegador").Click()
		p.Find("button", translations["es"].save).Follow()
		if !strings.Contains(p.Text(), "Saved.") {
			t.Errorf("%s: the browser's own wish: %s", v, p.Text())
		}
	}
}
