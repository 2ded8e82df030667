package web_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// tour returns every page there is, normal ones and failures, by name.
func (w *world) tour(t *testing.T) map[string]answer {
	t.Helper()
	b := w.browser().signIn("ada", adaPass)
	other := w.browser().signIn("ada", adaPass)
	in := w.invited("newcomer")
	anon := func() *browser { return w.browser() }
	made := b.post("/account/tokens", "name", "x").below(t)
	token := strings.TrimSuffix(made, "/handover")
	pages := map[string]answer{
		"login": anon().get("/login?rt=/x"), "login wrong": anon().post("/login", "username", "ada", "password", "no"),
		"login empty": anon().post("/login"), "signed in": b.get("/login?rt=/x"), "switch": b.get("/login?switch=1"), "help": anon().get("/login/help"),
		"logout": b.get("/logout"), "logged out": anon().get("/logged-out"), "still signed in": b.get("/logged-out"),
		"continue": anon().get("/continue?rt=https://other.example.test/x"), "reauth": b.get("/reauth"), "reauth wrong": b.post("/reauth", "password", "no"),
		"welcome": in.b.get("/welcome"), "welcome wrong": in.b.post("/welcome", "password", "x"), "no link": anon().get("/welcome"),
		"dead link": anon().get("/link/" + store.NewToken()), "not found": anon().get("/nothing"), "not found, signed in": b.get("/account/nothing"),
		"method": anon().do("PUT", "/login"), "overview": b.get("/account"), "profile": b.get("/account/profile"),
		"profile wrong": b.post("/account/profile", "name", strings.Repeat("x", 300)), "password": b.get("/account/password"),
		"password wrong": b.post("/account/password", "current_password", "", "new_password", ""), "sessions": b.get("/account/sessions"),
		"revoke": b.get("/account/sessions/" + w.sessionOf(other) + "/revoke"), "others": b.get("/account/sessions/others"),
		"tokens": b.get("/account/tokens"), "token new": b.get("/account/tokens/new"), "token made": b.get(made), "token gone": b.get(made),
		"token revoke": b.get(token + "/revoke"), "token rotate": b.get(token + "/rotate"), "token wrong": b.post("/account/tokens", "hosts", "x y/"),
		"activity": b.get("/account/activity"), "appearance": b.get("/account/appearance"), "appearance wrong": b.post("/account/appearance", "theme", "x"),
		"own form, signed out": anon().post("/account/profile", "name", "x"),
	}
	for name, write := range w.decisions(t, b) {
		pages[name] = write(true)
	}
	w.tourFactors(pages)
	for range 8 {
		pages["throttled"] = anon().post("/login", "username", "nobody", "password", "no")
	}
	return pages
}

// decisions returns the responses that are given in place of the app's, as pages or as JSON.
func (w *world) decisions(t *testing.T, b *browser) map[string]func(asPage bool) answer {
	t.Helper()
	live, err := w.Login.Sessions.Resolve(t.Context(), b.token())
	if err != nil {
		t.Fatal(err)
	}
	run := func(write func(rec *httptest.ResponseRecorder)) answer {
		rec := httptest.NewRecorder()
		write(rec)
		return (&browser{w: w, cookies: map[string]string{}}).read(rec)
	}
	r := reqctx.With(httptest.NewRequest("POST", origin+"/payroll?x=%3Cb%3E", nil), &reqctx.Request{ID: "ref-0123456789", Secure: true, Host: host, Prefix: prefix})
	return map[string]func(bool) answer{
		"forbidden": func(asPage bool) answer {
			return run(func(rec *httptest.ResponseRecorder) {
				w.gate.Forbidden(rec, r, live, i18n.New("gate.group", "values", i18n.OrList{"payroll"}), shape(asPage))
			})
		},
		"unavailable": func(asPage bool) answer {
			return run(func(rec *httptest.ResponseRecorder) { w.gate.Unavailable(rec, r, shape(asPage), 7) })
		},
		"set-up": func(asPage bool) answer {
			return run(func(rec *httptest.ResponseRecorder) { w.gate.SetupNeeded(rec, r, shape(asPage)) })
		},
		"unauthorized": func(asPage bool) answer {
			return run(func(rec *httptest.ResponseRecorder) {
				if asPage {
					w.gate.SessionEnded(rec, r)
				} else {
					w.gate.Unauthorized(rec, r, "/_auth/login?rt=%2Fpayroll", false)
				}
			})
		},
	}
}

// element walks a parsed page.
func elements(n *html.Node, fn func(*html.Node)) {
	if n.Type == html.ElementNode {
		fn(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		elements(c, fn)
	}
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func parsed(t *testing.T, a answer) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestEveryPageIsWellMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, a := range w.tour(t) {
		count, ids, refs, nodes := map[string]int{}, map[string]int{}, []string{}, 0
		labels, inputs, focus := map[string]bool{}, []string{}, 0
		title := ""
		elements(parsed(t, a), func(n *html.Node) {
			count[n.Data]++
			nodes++
			if n.Data == "title" && n.FirstChild != nil {
				title = n.FirstChild.Data
			}
			for _, at := range n.Attr {
				switch {
				case strings.HasPrefix(at.Key, "on"), at.Key == "style":
					t.Errorf("%s: <%s %s> would need unsafe-inline", name, n.Data, at.Key)
				case at.Key == "id":
					ids[at.Val]++
				case at.Key == "tabindex" && at.Val != "0" && at.Val != "-1":
					t.Errorf("%s: tabindex %s", name, at.Val)
				case at.Key == "autofocus":
					focus++
				case at.Key == "for" && n.Data == "label":
					labels[at.Val] = true
				case at.Key == "aria-describedby", at.Key == "aria-controls", at.Key == "aria-labelledby":
					refs = append(refs, strings.Fields(at.Val)...)
				case strings.HasPrefix(at.Val, "otpauth://totp/Acme:root?") && strings.HasPrefix(name, "app"):
				case (at.Key == "href" || at.Key == "src" || at.Key == "action") && strings.HasPrefix(at.Val, "#") == false:
					checkTarget(t, name, at.Val)
				}
			}
			if typ, _ := attr(n, "type"); n.Data == "input" && typ != "hidden" {
				id, _ := attr(n, "id")
				inputs = append(inputs, id)
				if v, ok := attr(n, "value"); typ == "password" && ok {
					t.Errorf("%s: a password has value %q", name, v)
				}
			}
		})
		for _, tag := range []string{"h1", "main", "title", "script", "html"} {
			if count[tag] != 1 {
				t.Errorf("%s: %d <%s>", name, count[tag], tag)
			}
		}
		if count["style"]+count["iframe"]+count["object"]+count["base"]+count["embed"] > 0 {
			t.Errorf("%s: an element that has no business here", name)
		}
		for id, n := range ids {
			if n > 1 {
				t.Errorf("%s: id %q is there %d times", name, id, n)
			}
		}
		for _, id := range refs {
			if ids[id] == 0 {
				t.Errorf("%s: nothing has the id %q", name, id)
			}
		}
		for _, id := range inputs {
			if !labels[id] {
				t.Errorf("%s: input %q has no label", name, id)
			}
		}
		if focus > 1 {
			t.Errorf("%s: %d elements want the focus", name, focus)
		}
		failed := a.StatusCode >= 400 && name != "set-up"
		if strings.HasPrefix(title, "Error: ") != failed || !strings.HasSuffix(title, " - Acme") {
			t.Errorf("%s: status %d with title %q", name, a.StatusCode, title)
		}
		if !strings.Contains(a.body, `<html lang="en" dir="ltr"`) || !strings.Contains(a.body, `class="skip" href="#main"`) {
			t.Errorf("%s: no language or no way to skip to the content", name)
		}
		if nodes > 400 || (strings.HasPrefix(name, "login") && nodes > 120) {
			t.Errorf("%s: %d elements", name, nodes)
		}
	}
}

// checkTarget makes sure that a page leads nowhere outside.
func checkTarget(t *testing.T, page, address string) {
	t.Helper()
	ok := address == "/" || address == "/x" || strings.HasPrefix(address, prefix+"/") || address == "mailto:help@example.test" ||
		(page == "continue" && address == "https://other.example.test/x")
	if !ok {
		t.Errorf("%s: leads to %q", page, address)
	}
}

func TestPagesKeepToTheirBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	total := 0
	zipped := func(path string) int {
		r := request("GET", path, "", "")
		r.Header.Set("Accept-Encoding", "gzip, br")
		q := &reqctx.Request{Secure: true, Host: host, Prefix: prefix}
		rec := httptest.NewRecorder()
		w.Router.ServeHTTP(rec, reqctx.With(r, q))
		if rec.Code != 200 || rec.Header().Get("Content-Encoding") != "gzip" || rec.Header().Get("Content-Length") != fmt.Sprint(rec.Body.Len()) {
			t.Fatalf("%s: %d %v", path, rec.Code, rec.Header())
		}
		if _, err := gzip.NewReader(bytes.NewReader(rec.Body.Bytes())); err != nil {
			t.Fatal(err)
		}
		total += rec.Body.Len()
		return rec.Body.Len()
	}
	page := w.browser().get("/login")
	if n := zipped("/login"); n > 4<<10 {
		t.Errorf("the sign-in page has %d bytes", n)
	}
	assets := regexp.MustCompile(`/_auth(/assets/[a-z]+\.[0-9a-f]{16}\.(css|js|svg))"`).FindAllStringSubmatch(page.body, -1)
	if len(assets) != 3 {
		t.Fatalf("the sign-in page refers to %d files", len(assets))
	}
	limits := map[string][2]int{"css": {10 << 10, 3584}, "js": {8 << 10, 3 << 10}, "svg": {2 << 10, 1 << 10}}
	for _, m := range assets {
		raw := len(w.browser().get(m[1]).want(t, 200).body)
		if n := zipped(m[1]); n > limits[m[2]][1] || raw > limits[m[2]][0] {
			t.Errorf("%s has %d bytes, %d compressed", m[1], raw, n)
		}
	}
	if total > 15<<10 {
		t.Errorf("a cold sign-in page costs %d bytes", total)
	}
}

// What a person, a program or an operator can write is text on every page.
func TestMarkupIsText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quiet := len(w.tourOfText(t, "harmless"))
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title><svg onload=alert(1)>`, `{{.User.PasswordHash}}`,
		`javascript:alert(1)`, `${7*7}`, `{env.HOME}`, `--><script>`, "\u2028<b>", `<a href="//evil.example">`, `&lt;script&gt;`, `%3Cscript%3E`,
	} {
		pages := w.tourOfText(t, evil)
		if len(pages) != quiet || quiet < 20 {
			t.Fatalf("%d pages, %d without markup", len(pages), quiet)
		}
		for name, a := range pages {
			scripts := 0
			elements(parsed(t, a), func(n *html.Node) {
				switch n.Data {
				case "script":
					scripts++
				case "img", "svg", "b", "base", "iframe":
					t.Errorf("%s: %q made a <%s>", name, evil, n.Data)
				}
				for _, at := range n.Attr {
					if strings.HasPrefix(at.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(at.Val)), "javascript:") && at.Key != "value" {
						t.Errorf("%s: %q made <%s %s=%q>", name, evil, n.Data, at.Key, at.Val)
					}
					if (at.Key == "href" || at.Key == "action" || at.Key == "src") && strings.HasPrefix(at.Val, "//") {
						t.Errorf("%s: %q made <%s %s=%q>", name, evil, n.Data, at.Key, at.Val)
					}
				}
			})
			if scripts != 1 && strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: %q: %d scripts", name, evil, scripts)
			}
			if strings.Contains(a.body, "$argon2id$") {
				t.Errorf("%s: %q was evaluated as a template", name, evil)
			}
		}
	}
}

// tourOfText puts text wherever a client can, and returns the pages that might show it.
func (w *world) tourOfText(t *testing.T, text string) map[string]answer {
	t.Helper()
	esc := strings.NewReplacer("%", "%25", "<", "%3C", ">", "%3E", `"`, "%22", " ", "%20", "{", "%7B", "}", "%7D", "\u2028", "%E2%80%A8", "#", "%23", "?", "%3F", "&", "%26").Replace(text)
	b := w.browser()
	b.header.Set("User-Agent", text)
	b.header.Set("Referer", "javascript:alert(1)//"+esc)
	b.header.Set("Accept", text)
	b.header.Set("Accept-Language", text)
	pages := map[string]answer{
		"login rt": b.get("/login?rt=" + esc), "login rt path": b.get("/login?rt=/" + esc), "login query": b.get("/login?rt=/x?y=" + esc), "login to": b.get("/login?to=" + esc),
		"wrong": b.post("/login", "username", text, "password", text, "rt", text), "wrong path": b.post("/login", "username", text, "password", "x", "rt", "/"+text, "to", text),
		"path": b.get("/" + esc), "link": b.get("/link/" + esc), "asset": b.get("/assets/" + esc), "continue": b.get("/continue?rt=https://other.example.test/" + esc),
	}
	for _, c := range []string{"flash", "theme", "link", "device", "probe"} {
		b.cookies["__Host-gatehouse-"+c] = strings.NewReplacer(`"`, "", ";", "", ",", "", "\\", "", "\u2028", "", " ", "").Replace(text)
	}
	pages["cookies"] = b.get("/welcome")
	b.signIn("ada", adaPass)
	b.post("/account/profile", "name", text)
	for _, p := range []string{"account", "account/profile", "account/sessions", "account/activity", "account/password", "account/appearance", "reauth?rt=" + esc, "logout", "login?rt=/" + esc, "account/sessions?cursor=" + esc, "account/sessions/" + esc + "/revoke"} {
		pages[p] = b.get("/" + p)
	}
	live, err := w.Login.Sessions.Resolve(t.Context(), b.token())
	if err != nil {
		t.Fatal(err)
	}
	r := request("GET", "/"+esc, "", "")
	r.Host = strings.ReplaceAll(text, " ", "")
	rec := httptest.NewRecorder()
	w.gate.Forbidden(rec, reqctx.With(r, &reqctx.Request{ID: text, Host: r.Host, Prefix: prefix}), live, i18n.New("gate.group", "values", text), web.AsPage)
	pages["forbidden"] = b.read(rec)
	for name, a := range pages {
		if strings.Contains(a.Header.Get("Location"), "evil.example") {
			t.Errorf("%s: Location %q", name, a.location())
		}
		if a.StatusCode >= 500 {
			t.Errorf("%s: %q: status %d", name, text, a.StatusCode)
		}
		if a.StatusCode == 303 || a.StatusCode == 308 {
			pages[name] = b.get("/login/help")
		}
	}
	return pages
}

// The brand is text, too.
func TestBrandIsText(t *testing.T) {
	t.Parallel()
	brand, err := ui.NewBrand(`<script>alert("x")</script>`, nil, "", "https://help.example.test/?a=<b>")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *config) { c.Brand = brand })
	a := w.browser().get("/login").want(t, 200, `&lt;script&gt;`)
	n := 0
	elements(parsed(t, a), func(e *html.Node) {
		if e.Data == "script" {
			n++
		}
	})
	if n != 1 {
		t.Errorf("%d scripts", n)
	}
	p := w.browser().get("/api/v1/session")
	if got := p.Header.Get("WWW-Authenticate"); got != `Bearer realm="<script>alert(\"x\")</script>"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

// A text that goes round the catalog stands out in the made-up language.
func TestEveryTextComesFromTheCatalog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) { c.Language = ui.Pseudo })
	known := regexp.MustCompile(`^(Acme|ada|newcomer|help@example\.test|root|root@example\.test|Ada L\.|ada@example\.test|dev|ops|English|Deutsch|Español|ref-\S+|[0-9.: -]+|\d+ \w+ \d{4}, [0-9:]+ UTC|192\.0\.2\.7|` +
		`app\.example\.test\S*|Mozilla/.*|payroll|other\.example\.test|x y/|x|…\w{4}|\[[^\]]*\]|` +
		`[A-Z2-7]{4}( [A-Z2-7]{4}){7}|\w{4}(-\w{4}){5}|curl -H "Authorization: Bearer \$TOKEN" https://| |, ?)*$`)
	for name, a := range w.tour(t) {
		var look func(n *html.Node)
		look = func(n *html.Node) {
			if n.Type == html.TextNode {
				text := strings.TrimSpace(n.Data)
				if !strings.HasPrefix(text, "[") && !known.MatchString(strings.Join(strings.Fields(text), " ")) && !strings.Contains(text, "~]") {
					t.Errorf("%s: %q is in no catalog", name, text)
				}
			}
			for c := n.FirstChild; c != nil; c = c.NextSibling {
				look(c)
			}
		}
		look(parsed(t, a))
	}
}

func TestManagedAndProviderAccountsSayWhyThingsAreLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Accounts.EnvPrefix = "APP_"
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		u, err := tx.User(t.Context(), w.root.ID)
		if err != nil {
			return err
		}
		u.Managed = true
		_, err = tx.UpdateUser(t.Context(), u)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser().signIn("root", rootPass)
	b.get("/account/password").want(t, 200, "managed by the deployment", "Change APP_ADMIN_PASSWORD")
	b.get("/account/profile").want(t, 200, "managed by the deployment", "(APP_ADMIN_EMAIL and APP_ADMIN_PASSWORD")
	b.post("/account/password", "current_password", rootPass, "new_password", freshPass).want(t, 403, "managed by the deployment", "(APP_ADMIN_EMAIL and APP_ADMIN_PASSWORD")
	b.json("POST", "/api/v1/me/password", `{"current_password":"`+rootPass+`","new_password":"`+freshPass+`"}`).wantProblem(t, 403, "managed")
	for _, field := range []string{`"email":"x@example.test"`, `"role":"user"`, `"active":false`, `"username":"x"`} {
		b.json("PATCH", "/api/v1/me", `{`+field+`}`).wantProblem(t, 403, "managed")
	}
	for _, field := range []string{"email", "role", "active", "username", "new_password"} {
		b.post("/account/profile", "name", "The Root", field, "x").want(t, 403, "managed by the deployment", "(APP_ADMIN_EMAIL and APP_ADMIN_PASSWORD")
	}
	b.post("/account/profile", "name", "The Root").wantRedirect(t, "/_auth/account/profile")
}

func shape(asPage bool) web.Shape {
	if asPage {
		return web.AsPage
	}
	return web.AsJSON
}
