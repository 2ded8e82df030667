package web_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/store"
)

func (b *browser) speaking(accept string) *browser {
	b.header.Set("Accept-Language", accept)
	return b
}

// The browser's wish decides, until the person chooses; and each response says its language and what it depends on.
func TestPagesAreInTheLanguageOfTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for accept, want := range map[string][3]string{
		"": {"en", "Sign in to Acme", "Forgotten your password?"}, "de-CH, en;q=0.5": {"de", "Anmelden bei Acme", "Passwort vergessen?"},
		"es": {"es", "Iniciar sesión en Acme", "¿Ha olvidado su contraseña?"}, "ja": {"en", "Sign in to Acme", "Username"},
	} {
		b := w.browser().speaking(accept)
		for _, a := range []answer{b.get("/login"), b.post("/login", "username", "ada", "password", "no")} {
			if !strings.Contains(a.body, `<html lang="`+want[0]+`"`) || a.Header.Get("Content-Language") != want[0] ||
				!strings.Contains(a.body, want[1]) || !strings.Contains(a.body, want[2]) {
				t.Errorf("%q: %s, not %v:\n%s", accept, a.Header.Get("Content-Language"), want, a.body)
			}
			if vary := strings.Join(a.Header["Vary"], ", "); !strings.Contains(vary, "Accept-Language") || !strings.Contains(vary, "Cookie") {
				t.Errorf("%q: Vary %q", accept, vary)
			}
		}
	}
	w.inDefault(t, "de", "Anmelden bei Acme")
}

// inDefault looks at a page where another language is the default.
func (w *world) inDefault(t *testing.T, language, want string) {
	t.Helper()
	other := newWorld(t, func(c *config) { c.Language = language })
	other.browser().get("/login").want(t, 200, want)
	other.browser().speaking("en").get("/login").want(t, 200, "Sign in to Acme")
}

// What programs go by is the same in every language: status, type, names of fields. What people read is not.
func TestProblemsAreInTheLanguageOfTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(accept string) (problem, answer) {
		b := w.browser().signIn("ada", adaPass).speaking(accept)
		a := b.json("POST", "/api/v1/me/password", `{"current_password":"`+adaPass+`","new_password":"short"}`)
		return a.wantProblem(t, 422, "invalid"), a
	}
	english, _ := ask("en")
	for accept, want := range map[string][3]string{
		"de": {"Etwas muss korrigiert werden", "Ein oder mehrere Felder wurden abgelehnt.", "Mindestens 12 Zeichen sind nötig."},
		"es": {"Hay algo que corregir", "Se rechazaron uno o varios campos.", "Use al menos 12 caracteres."},
		"en": {"Something has to be corrected", "One or more fields were refused.", "Use at least 12 characters."},
	} {
		p, a := ask(accept)
		if got := [3]string{p.Title, p.Detail, p.Errors[0].Detail}; got != want {
			t.Errorf("%s: %q", accept, got)
		}
		if p.Type != english.Type || p.Errors[0].Field != english.Errors[0].Field || a.Header.Get("Content-Language") != accept {
			t.Errorf("%s: %+v, Content-Language %q", accept, p, a.Header.Get("Content-Language"))
		}
	}
	b := w.browser().signIn("ada", adaPass).speaking("de")
	for body, want := range map[string]string{
		`{"x":1}`: "Ein solches Feld gibt es hier nicht.", `{"name":null}`: "Das darf nicht null sein; lassen Sie das Feld stattdessen weg.",
		`{"name":1}`: "Das hat den falschen Typ.", `{"name":"a","name":"b"}`: "Dieses Feld wurde zweimal angegeben.",
	} {
		if p := b.json("PATCH", "/api/v1/me", body).wantProblem(t, 422, "invalid"); len(p.Errors) != 1 || p.Errors[0].Detail != want {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if p := b.json("PATCH", "/api/v1/me", `{`).wantProblem(t, 400, "bad-request"); p.Detail != "Der Inhalt ist kein gültiges JSON." {
		t.Errorf("%+v", p)
	}
	if p := b.json("PATCH", "/api/v1/me", `{"email":"x@example.test"}`).wantProblem(t, 403, "role"); !strings.HasPrefix(p.Detail, "Benutzername, E-Mail") {
		t.Errorf("%+v", p)
	}
	if p := b.get("/api/v1/me/sessions?limit=x").wantProblem(t, 400, "bad-request"); p.Errors[0].Detail != "Geben Sie eine Zahl von 1 bis 1000 an." {
		t.Errorf("%+v", p)
	}
}

// The choice below the sign-in page is kept by a post alone, and leads back to where the person was going.
func TestChoosingALanguageBelowThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	body := b.get("/login?rt="+url.QueryEscape("/reports?x=1")).want(t, 200, `action="/_auth/language"`, ">Deutsch<", ">Español<", ">English<").body
	if strings.Count(body, `name="rt" value="/reports?x=1"`) != 3 {
		t.Errorf("the forms for a password, a passkey and the language do not all know the way back:\n%s", body)
	}
	a := b.post("/language", "language", "de", "page", "login", "rt", "/reports?x=1")
	a.wantRedirect(t, "/_auth/login?rt="+url.QueryEscape("/reports?x=1"))
	ck := a.Cookies()
	if len(ck) != 1 || ck[0].Name != "__Host-gatehouse-language" || ck[0].Value != "de" || !ck[0].Secure || !ck[0].HttpOnly || ck[0].Path != "/" || ck[0].SameSite != http.SameSiteLaxMode {
		t.Errorf("%+v", ck)
	}
	b.speaking("es").get(strings.TrimPrefix(a.location(), prefix)).want(t, 200, "Anmelden bei Acme", `value="de" lang="de" aria-current="true"`)

	for page, to := range map[string]string{
		"login": "/_auth/login", "help": "/_auth/login/help", "welcome": "/_auth/welcome", "logged-out": "/_auth/logged-out",
		"": "/_auth/login", "//evil.example": "/_auth/login", "/account": "/_auth/login",
	} {
		w.browser().post("/language", "language", "es", "page", page).wantRedirect(t, to)
	}
	// Return-to values are judged as everywhere.
	for _, rt := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
		w.browser().post("/language", "language", "es", "page", "login", "rt", rt, "to", rt).wantRedirect(t, "/_auth/login")
	}
	w.browser().post("/language", "language", "es", "page", "login", "to", "/_auth/account/password", "switch", "1").
		wantRedirect(t, "/_auth/login?switch=1&to="+url.QueryEscape("/_auth/account/password"))

	for _, bad := range []string{"", "fr", "en-XA", "DE", "es; Path=/"} {
		a := w.browser().post("/language", "language", bad, "page", "login").want(t, 422)
		if len(a.Cookies()) != 0 {
			t.Errorf("%q: %v", bad, a.Cookies())
		}
	}
	w.browser().post("/language", "language", "es", "language", "de").want(t, 400)
	if a := w.browser().get("/language?language=de").want(t, 405); len(a.Cookies()) != 0 || a.Header.Get("Allow") != "POST" {
		t.Errorf("a GET sets %v, Allow %q", a.Cookies(), a.Header.Get("Allow"))
	}
	cross := w.browser()
	cross.header.Set("Sec-Fetch-Site", "cross-site")
	if a := cross.post("/language", "language", "de").want(t, 403); len(a.Cookies()) != 0 {
		t.Errorf("another site sets %v", a.Cookies())
	}
}

func TestChoosingALanguageInTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	b.get("/account/appearance").want(t, 200, `name="language" value="auto" checked`, `<label for="lang-auto"`, `<label for="lang-de" lang="de">Deutsch</label>`)
	b.post("/account/appearance", "language", "es", "theme", "dark").wantRedirect(t, "/_auth/account/appearance")
	b.get("/account/appearance").want(t, 200, `value="es" checked`, `data-theme="dark"`, "Guardado.", "Apariencia")
	// One by itself leaves the other alone.
	b.post("/account/appearance", "theme", "light").wantRedirect(t, "/_auth/account/appearance")
	b.get("/account/appearance").want(t, 200, `value="es" checked`, `data-theme="light"`)
	b.post("/account/appearance", "language", "de").wantRedirect(t, "/_auth/account/appearance")
	b.get("/account/appearance").want(t, 200, `value="de" checked`, `data-theme="light"`, "Gespeichert.")
	// One that is refused keeps nothing of the other.
	for _, bad := range [][]string{{"language", "fr", "theme", "dark"}, {"language", "es", "theme", "pink"}, {"language", ""}, {}, {"language", "es", "language", "en"}} {
		if a := b.post("/account/appearance", bad...); a.StatusCode < 400 || len(a.Cookies()) != 0 {
			t.Errorf("%v: %d, %v", bad, a.StatusCode, a.Cookies())
		}
	}
	b.post("/account/appearance", "language", "auto").wantRedirect(t, "/_auth/account/appearance")
	b.get("/account/appearance").want(t, 200, "Appearance", `<label for="lang-auto"`)
	if _, kept := b.cookies["__Host-gatehouse-language"]; kept {
		t.Error("the browser's own wish does not count again")
	}
}

// sentences returns what English says that another language says otherwise, long enough not to be taken for a name.
func sentences(t *testing.T, lang string) []string {
	t.Helper()
	read := func(l string) map[string]json.RawMessage {
		m := map[string]json.RawMessage{}
		for _, src := range webtest.Sources {
			b, err := fs.ReadFile(src, "lang/"+l+".json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	english, other := read("en"), read(lang)
	var list []string
	for id, raw := range english {
		var e, o string
		if json.Unmarshal(raw, &e) == nil && json.Unmarshal(other[id], &o) == nil && e != o && len(e) > 6 && !strings.Contains(e, "{") {
			list = append(list, e)
		}
	}
	return list
}

// No page, normal or failed, mixes languages.
func TestEveryPageIsInOneLanguage(t *testing.T) {
	t.Parallel()
	for lang, title := range map[string]string{"de": "Fehler:", "es": "Error:"} {
		w := newWorld(t, func(c *config) { c.Language = lang })
		english := sentences(t, lang)
		if len(english) < 150 {
			t.Fatalf("%d sentences only", len(english))
		}
		failed := 0
		for name, a := range w.tour(t) {
			if !strings.Contains(a.body, `<html lang="`+lang+`"`) || a.Header.Get("Content-Language") != lang {
				t.Errorf("%s: the page is not in %s", name, lang)
			}
			if strings.Contains(a.body, "<title>"+title) {
				failed++
			}
			var look func(n *html.Node)
			look = func(n *html.Node) {
				for _, e := range english {
					if n.Type == html.TextNode && strings.TrimSpace(n.Data) == e {
						t.Errorf("%s in %s: %q", name, lang, e)
					}
				}
				for c := n.FirstChild; c != nil; c = c.NextSibling {
					look(c)
				}
			}
			look(parsed(t, a))
		}
		if failed < 8 {
			t.Errorf("%s: %d pages say that something failed", lang, failed)
		}
	}
}

// The gate's responses on the app's addresses are in the person's language, too, and say so on a line of their own.
func TestDecisionsAreInTheLanguageOfTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) { c.Language = "de" })
	d := w.decisions(t, w.browser().signIn("ada", adaPass))
	for name, want := range map[string]string{
		"forbidden":   "Dieser Teil der Website verlangt die Zugehörigkeit zu payroll.",
		"unavailable": "Der Anmeldedienst ist zurzeit nicht erreichbar.", "set-up": "Es gibt noch keinen Administrator.",
	} {
		for _, asPage := range []bool{true, false} {
			a := d[name](asPage)
			if !strings.Contains(a.body, want) || a.Header.Get("Content-Language") != "de" {
				t.Errorf("%s, page %v: %s", name, asPage, a.body)
			}
			if v := a.Header["Vary"]; len(v) < 2 || v[0] != "Cookie, Accept, Sec-Fetch-Mode, Authorization" || v[1] != "Accept-Language" {
				t.Errorf("%s, page %v: Vary %q", name, asPage, v)
			}
		}
	}
}

// Times without a script are written as the language writes them, and stay in UTC.
func TestTimesInWords(t *testing.T) {
	t.Parallel()
	for lang, want := range map[string]string{"en": `1 Mar 2026, 12:00 UTC`, "de": `1. März 2026, 12:00 UTC`, "es": `1 mar 2026, 12:00 UTC`} {
		w := newWorld(t)
		a := w.browser().speaking(lang).signIn("ada", adaPass).get("/account")
		got := regexp.MustCompile(`<time datetime="2026-03-01T12:00:00Z">([^<]*)</time>`).FindStringSubmatch(a.body)
		if got == nil || got[1] != want {
			t.Errorf("%s: %q", lang, got)
		}
	}
}

// Words that the log has for what is no person are put into words, and a person of that name keeps it.
func TestActorsInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.invited("newcomer")
	in.b.speaking("de").get("/welcome").want(t, 200, "Sie sind zu Acme eingeladen. Ihr Benutzername ist newcomer.")
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		for _, e := range []store.Event{{Actor: "environment"}, {Actor: "start-up"}, {Actor: "anonymous"}, {Actor: "command line", ActorID: w.root.ID}} {
			e.ID, e.Time, e.Action, e.Outcome, e.TargetID = store.NewID(w.Clock.Now()), w.Clock.Now(), "user.update", store.Success, w.ada.ID
			if err := tx.AddEvent(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.browser().signIn("ada", adaPass).speaking("de").get("/account/activity").
		want(t, 200, ">Umgebung</td>", ">Serverstart</td>", ">nicht angemeldet</td>", ">Konto „command line“</td>", "Konto geändert")
}
