package ui

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// A mistake in a template or a text is found when the configuration is made, and never by a visitor.
func TestMistakesInPagesAreFoundAtTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, texts, want string }{
		"unknown text":          {`{{t "nothing"}}`, `{}`, `no text "nothing"`},
		"in a branch":           {`{{if .Data}}{{else}}{{range .Nav}}{{t "nothing"}}{{end}}{{end}}`, `{}`, `no text "nothing"`},
		"in an attribute":       {`<a title="{{t "nothing"}}">x</a>`, `{}`, `no text "nothing"`},
		"missing argument":      {`{{t "x"}}`, `{"x":"Hello {name}"}`, `not given "name"`},
		"surplus argument":      {`{{t "x" "name" .Title}}`, `{"x":"Hello"}`, `no place for "name"`},
		"plural without n":      {`{{t "x"}}`, `{"x":{"one":"a","other":"b"}}`, `not given "n"`},
		"no other form":         {``, `{"x":{"one":"a"}}`, `"other"`},
		"text twice":            {``, `{"layout.skip":"x"}`, `defined twice`},
		"broken template":       {`{{if}}`, `{}`, `parsing page`},
		"script that evaluates": {`<script>{{.Data`, `{}`, `parsing page`},
		"texts that are none":   {``, `[]`, `reading texts`},
	} {
		_, err := New(Config{Sources: []Source{source(c.content, c.texts)}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{Sources: []Source{source("", "{}"), source("", "{}")}}); err == nil {
		t.Error("two pages of one name")
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	u := newUI(t, Brand{}, "", `{"hello":"Hello {name}, {name} of {place}","files":{"one":"{n} file","other":"{n} files"}}`)
	for got, want := range map[string]string{
		u.Text("hello", "name", "{place}", "place", "x"): "Hello {place}, {place} of x", // a value is never searched again
		u.Text("files", "n", 1):                          "1 file",
		u.Text("files", "n", 0):                          "0 files",
		u.Text("files", "n", 21):                         "21 files",
		u.Text("nothing"):                                "nothing",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	p, err := New(Config{Language: Pseudo, Sources: []Source{source("", `{"hello":"Hello {name}"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Text("hello", "name", "Ada"); got != "[Hélłø Ada~~]" && got != "[Héllø Ada~~]" {
		t.Errorf("%q", got)
	}
}

// texts finds the ids that Go code of a folder asks for by name.
func askedFor(t *testing.T, dir string) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			lit, lok := call.Args[0].(*ast.BasicLit)
			if !ok || !lok || lit.Kind != token.STRING {
				return true
			}
			id, err := strconv.Unquote(lit.Value)
			switch {
			case err != nil:
			case sel.Sel.Name == "Text":
				ids[id] = true
			case sel.Sel.Name == "PasswordText": // see web.Request
				ids[id], ids[id+"_off"] = true, true
			}
			return true
		})
	}
	return ids
}

// Every text that the code asks for is there, and every text that is there can be asked for.
func TestCatalogAndCodeAgree(t *testing.T) {
	t.Parallel()
	web := []string{"../web", "../web/signin", "../web/account"}
	texts := map[string]json.RawMessage{}
	for _, dir := range append([]string{".", "../api"}, web...) {
		b, err := os.ReadFile(filepath.Join(dir, "lang/en.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &texts); err != nil {
			t.Fatal(err)
		}
	}
	asked := askedFor(t, ".")
	for _, dir := range append([]string{"../api", "../problem"}, web...) {
		maps.Copy(asked, askedFor(t, dir))
	}
	if len(asked) < 60 {
		t.Fatalf("only %d calls found", len(asked))
	}
	for id := range asked {
		if _, ok := texts[id]; !ok && !strings.HasSuffix(id, ".") {
			t.Errorf("the code asks for %q, which is not there", id)
		}
	}
	var all strings.Builder
	for _, dir := range append([]string{"."}, web...) {
		dir = filepath.Join(dir, "templates")
		err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(filepath.Join(dir, p))
			all.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Chosen at run time, from values of other packages.
	families := []string{"error.", "action.", "outcome.", "flash.", "account.", "span.", "role.", "oidc.", "actor.", "passkey.none_", "api.code_", "api.token_"}
	for id := range texts {
		byName := asked[id] || strings.Contains(all.String(), `"`+id+`"`)
		if !byName && !slices.ContainsFunc(families, func(f string) bool { return strings.HasPrefix(id, f) }) {
			t.Errorf("nothing asks for %q", id)
		}
	}
}

func render(t testing.TB, u *UI, p Page, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", "https://app.example.test/", nil)
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	u.Write(rec, reqctx.With(r, &reqctx.Request{ID: "ref", Secure: true, Host: "app.example.test", Prefix: "/_auth"}), p)
	return rec
}

func TestNonceIsNewEachTime(t *testing.T) {
	t.Parallel()
	u := newUI(t, Brand{}, "x", "{}")
	seen := map[string]bool{}
	for range 50 {
		csp := render(t, u, Page{Template: "one"}, nil).Header().Get("Content-Security-Policy")
		seen[csp] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d policies for 50 pages", len(seen))
	}
}

// A page that shows a secret once is not compressed, no matter who asks: its size would tell of it.
func TestPagesWithSecretsAreNotCompressed(t *testing.T) {
	t.Parallel()
	u := newUI(t, Brand{}, "x", "{}")
	gzip := func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }
	if got := render(t, u, Page{Template: "one", Secret: true}, gzip).Header().Get("Content-Encoding"); got != "" {
		t.Errorf("Content-Encoding %q", got)
	}
	if got := render(t, u, Page{Template: "one"}, gzip).Header().Get("Content-Encoding"); got != "gzip" {
		t.Errorf("Content-Encoding %q", got)
	}
}

func TestPagesThatCannotBeRendered(t *testing.T) {
	t.Parallel()
	u := newUI(t, Brand{}, "{{.Data.Nothing}}", "{}")
	for name, p := range map[string]Page{"no such field": {Template: "one", Data: struct{ canary string }{"secret"}}, "no such page": {Template: "two"}} {
		rec := render(t, u, p, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
		if rec.Code != 500 || !strings.Contains(rec.Body.String(), "ref") || strings.Contains(rec.Body.String(), "canary") || rec.Header().Get("Content-Encoding") != "" ||
			rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d %v %s", name, rec.Code, rec.Header(), rec.Body)
		}
	}
}

// A flashed message is one of our own, and is said once.
func TestFlash(t *testing.T) {
	t.Parallel()
	u := newUI(t, Brand{}, "x", `{"flash.saved":"It was saved."}`)
	flash := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "__Host-gatehouse-flash", Value: value}) }
	}
	rec := render(t, u, Page{Template: "one"}, flash("saved"))
	if !strings.Contains(rec.Body.String(), "role=\"status\">\n<p>It was saved.</p>") || !strings.Contains(rec.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%v %s", rec.Header(), rec.Body)
	}
	for _, planted := range []string{"nothing", "<b>evil</b>", "layout.skip", "../layout.skip", "saved.x", ""} {
		if rec := render(t, u, Page{Template: "one"}, flash(planted)); strings.Contains(rec.Body.String(), `role="status"`) {
			t.Errorf("%q is said: %s", planted, rec.Body)
		}
	}
	for _, quiet := range []struct {
		p      Page
		change func(*http.Request)
	}{{Page{Template: "one", NoFlash: true}, flash("saved")}, {Page{Template: "one"}, func(r *http.Request) { flash("saved")(r); r.Method = "HEAD" }}} {
		if rec := render(t, u, quiet.p, quiet.change); rec.Header().Get("Set-Cookie") != "" {
			t.Error("the message is taken by a page that nobody sees")
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip": true, "gzip;q=0": false, "gzip;q=0.000": false, "gzip; q=0.001": true, "gzip;q=1": true,
		"*": false, "identity": false, "x-gzip": false, "deflate, gzip;q=0, br": false,
	} {
		h := http.Header{}
		if line != "" {
			h["Accept-Encoding"] = []string{line}
		}
		if got := acceptsGzip(h); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

// Who may change something from where. The front's word for the site's origin counts, a client's does not.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	var c CrossOrigin
	for _, e := range []struct {
		method, fetch, origin, host string
		ok                          bool
	}{
		{"POST", "same-origin", "https://app.example.test", "", true},
		{"POST", "none", "", "", true},
		{"POST", "", "", "", true},
		{"POST", "", "https://app.example.test", "", true},
		{"POST", "", "https://app.example.test", "inner:8080", true},
		{"POST", "cross-site", "https://app.example.test", "", false},
		{"POST", "same-site", "", "", false},
		{"POST", "cross-site", "", "", false},
		{"POST", "", "https://evil.example", "", false},
		{"POST", "", "null", "", false},
		{"POST", "", "null", "inner:8080", false},
		{"POST", "", "null", "-", false},
		{"POST", "", "https://evil.example", "-", false},
		{"POST", "odd", "", "", false},
		{"POST", "", "https://app.example.test:444", "", false},
		{"DELETE", "same-site", "", "", false},
		{"BREW", "cross-site", "", "", false},
		{"GET", "cross-site", "https://evil.example", "", true},
		{"HEAD", "cross-site", "", "", true},
	} {
		r := httptest.NewRequest(e.method, "https://app.example.test/", nil)
		if e.host != "" {
			r.Host = strings.Trim(e.host, "-")
		}
		if e.fetch != "" {
			r.Header.Set("Sec-Fetch-Site", e.fetch)
		}
		if e.origin != "" {
			r.Header.Set("Origin", e.origin)
		}
		r = reqctx.With(r, &reqctx.Request{Secure: true, Host: "app.example.test"})
		if err := c.Check(r); (err == nil) != e.ok {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

func TestRealm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"Acme": `"Acme"`, `a"b\c`: `"a\"b\\c"`, "Café\r\nX: y": `"CafX: y"`, "": `""`} {
		if got := Realm(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// A body that stalls does not hold a connection for ever.
func TestStalledBodyIsGivenUp(t *testing.T) {
	t.Parallel()
	deadline := make(chan time.Time, 2)
	w := &deadlines{httptest.NewRecorder(), deadline}
	r := httptest.NewRequest("POST", "/", strings.NewReader("a=b"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err := ReadForm(w, r); err != nil {
		t.Fatal(err)
	}
	if d := <-deadline; time.Until(d) > readTime || time.Until(d) < readTime-10*time.Second {
		t.Errorf("deadline in %s", time.Until(d))
	}
	if d := <-deadline; !d.IsZero() {
		t.Errorf("the deadline stays for the answer: %v", d)
	}
}

type deadlines struct {
	*httptest.ResponseRecorder
	set chan time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set <- t; return nil }

// No typed string of html/template is used: each would be a way round the escaping.
func TestNoTypedStrings(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "../web", "../web/signin", "../web/account", "../api", "../../admin"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(f) == "qr.go" { // the scheme of authenticator apps, and no other
				continue
			}
			for _, bad := range []string{"template.HTML", "template.URL", "template.JS", "template.CSS", "template.Srcset", `"text/template"`} {
				if strings.Contains(string(b), bad) {
					t.Errorf("%s uses %s", f, bad)
				}
			}
		}
	}
}

// Indents of templates do not reach pages, and tags come in one line; text and what is typed stay as they are.
func TestPagesAreWithoutTheIndentsOfTemplates(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<div>\n\t\t<p>a b</p>\n</div>":                                "<div>\n<p>a b</p>\n</div>",
		"<p>a\n\tb</p>":                                                "<p>a\nb</p>",
		"<a href=\"x>y\"\n\t\tclass=\"c\">":                            "<a href=\"x>y\" class=\"c\">",
		"<i a=\"{{t \"x\"}}\"\n\t{{if .B}} c{{end}}\n\t{{.D}}>":        "<i a=\"{{t \"x\"}}\"{{if .B}} c{{end}} {{.D}}>",
		"a\n\t{{if .B}} b{{end}}c":                                     "a\n{{if .B}} b{{end}}c",
		"<textarea rows=\"2\"\n\t{{if .E}} x{{end}}>{{.V}}</textarea>": "<textarea rows=\"2\"{{if .E}} x{{end}}>{{.V}}</textarea>",
	} {
		if got := compact(in); got != want {
			t.Errorf("%q is %q, not %q", in, got, want)
		}
	}
}
