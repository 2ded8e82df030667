package caddyauth_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
)

// What the gate responds on the app's addresses is in the person's language; where it responds nothing, that costs
// nothing: the redirect of a page load has no language and depends on none.
func TestTheGateRespondsInThePersonsLanguage(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\trequire group staff ops\n\tpublic /open\n}", withGlobal("language es"))
	const decision = "Cookie, Accept, Sec-Fetch-Mode, Authorization"

	b := s.browser()
	a := b.do(b.request("GET", "/x", nil, "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Accept-Language", "de"))
	if a.StatusCode != 302 || a.body != "" || a.Header.Get("Content-Language") != "" || !slices.Equal(a.Header["Vary"], []string{decision}) {
		t.Errorf("the redirect: %d %v", a.StatusCode, a.Header)
	}
	for accept, want := range map[string][2]string{
		"": {"es", "No ha iniciado sesión o su sesión ha terminado."}, "de-DE,de;q=0.9": {"de", "Sie sind nicht angemeldet, oder Ihre Sitzung ist beendet."},
		"en-GB": {"en", "You are not signed in, or your session has ended."}, "ja": {"es", "No ha iniciado sesión o su sesión ha terminado."},
	} {
		a := b.fetch("/x", "Accept-Language", accept)
		p := a.json(t)
		if a.StatusCode != 401 || p["detail"] != want[1] || a.Header.Get("Content-Language") != want[0] || !strings.HasSuffix(p["type"].(string), "/unauthorized") ||
			!slices.Equal(a.Header["Vary"], []string{decision, "Accept-Language"}) {
			t.Errorf("%q: %d %v %s", accept, a.StatusCode, a.Header, a.body)
		}
	}
	form := b.form("/save", "a", "b")
	form.Header.Set("Accept-Language", "de")
	if a := b.do(form); a.StatusCode != 401 || !strings.Contains(a.body, "Es wurde nichts gespeichert.") || !strings.Contains(a.body, `<html lang="de"`) {
		t.Errorf("a form: %d %s", a.StatusCode, a.body)
	}

	b.signIn("admin", adminPass)
	if a := b.page("/x"); a.StatusCode != 403 || !strings.Contains(a.body, "Esta parte del sitio requiere pertenecer a staff o ops.") {
		t.Errorf("refused: %d %s", a.StatusCode, a.body)
	}
	if a := b.fetch("/x", "Accept-Language", "en"); a.json(t)["detail"] != "This part of the site asks for membership of staff or ops." {
		t.Errorf("refused in English: %s", a.body)
	}

	// The choice counts on all pages, and is no matter of the app's.
	if a := b.post("/_auth/account/appearance", "language", "de", "theme", "dark"); a.StatusCode != 303 {
		t.Fatalf("choosing: %d %s", a.StatusCode, a.body)
	}
	if a := b.page("/x"); !strings.Contains(a.body, "Dieser Teil der Website verlangt die Zugehörigkeit zu staff oder ops.") || !strings.Contains(a.body, `data-theme="dark"`) {
		t.Errorf("after the choice: %s", a.body)
	}
	if a := b.page("/open"); a.StatusCode != 200 || strings.Contains(strings.Join(s.up.last().Header["Cookie"], ";"), "language") {
		t.Errorf("the app: %d, and it sees %q", a.StatusCode, s.up.last().Header["Cookie"])
	}
	if a := b.page("/_auth/admin/settings"); !strings.Contains(a.body, ">language<") || !strings.Contains(a.body, ">es</td>") || !strings.Contains(a.body, "Einstellungen") {
		t.Errorf("the settings do not tell of the language:\n%s", a.body)
	}
}

// In JSON an unknown language is refused as it is in a Caddyfile.
func TestUnknownLanguagesAreRefused(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, bad := range []string{"fr", "DE", "de-AT", "en-XA", "../en", "de "} {
		app := &caddyauth.App{Language: bad}
		if err := app.Resolve(); err == nil || !strings.Contains(err.Error(), "de (Deutsch), en (English), es (Español)") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"", "de", "en", "es"} {
		app := &caddyauth.App{Language: good}
		if err := app.Resolve(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}
