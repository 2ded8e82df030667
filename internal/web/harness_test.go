package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	prefix   = webtest.Prefix
	host     = "app.example.test"
	origin   = "https://" + host
	adaPass  = "correct horse battery staple"
	rootPass = "a rather long root passphrase"
)

// world is the pages over a real store, with an administrator "root" and a user "ada".
type world struct {
	*webtest.World
	gate     web.Responses
	insecure bool // plain HTTP
	root     store.User
	ada      store.User
}

// config is what a test may change.
type config struct {
	web.Config
	Brand    ui.Brand
	Language string
	more     []web.Route
}

// emptyWorld has nobody in it.
func emptyWorld(t testing.TB, change ...func(*config)) *world {
	t.Helper()
	s := webtest.NewServices(t, "Acme", zaptest.NewLogger(t))
	brand, err := ui.NewBrand("Acme", nil, "", "mailto:help@example.test")
	if err != nil {
		t.Fatal(err)
	}
	c := config{Config: s.WebConfig(), Brand: brand}
	c.TrustReturn = []string{"other.example.test"}
	for _, f := range change {
		f(&c)
	}
	w := &world{World: webtest.New(s, webtest.Config{
		Config: c.Config, Brand: c.Brand, Language: c.Language,
		Routes: func(deps *web.Deps) []web.Route { return slices.Concat(api.AccountRoutes(deps), c.more) },
	})}
	w.gate = web.NewResponses(w.Deps)
	return w
}

// Address is an address as tests see it.
type Address struct {
	Pattern string
	Methods []string
	Access  string
	API     bool
}

// addresses returns all addresses, so that a test over them cannot forget a new one.
func (w *world) addresses() []Address {
	names := map[web.Access]string{web.SignedIn: "person", web.AnySignedIn: "held", web.Optional: "known", web.Public: "anybody"}
	list := []Address{{Pattern: "/", Access: "separate"}}
	at := map[string]int{}
	for _, rt := range w.Router.Routes() {
		i, seen := at[rt.Pattern]
		if !seen {
			i, at[rt.Pattern] = len(list), len(list)
			list = append(list, Address{Pattern: rt.Pattern, Access: names[rt.Access], API: rt.API() || rt.JSON})
		}
		if rt.Handle != nil {
			list[i].Methods = append(list[i].Methods, rt.Method)
		}
	}
	return list
}

func newWorld(t testing.TB, change ...func(*config)) *world {
	t.Helper()
	w := emptyWorld(t, change...)
	cli := account.Actor{Kind: account.CommandLine}
	var err error
	w.root, _, err = w.Accounts.Create(t.Context(), cli, account.NewUser{Username: "root", Email: "root@example.test", Role: store.RoleAdmin, Password: rootPass, Active: true})
	if err != nil {
		t.Fatal(err)
	}
	w.ada, _, err = w.Accounts.Create(t.Context(), cli, account.NewUser{Username: "ada", Email: "ada@example.test", Name: "Ada L.", Role: store.RoleUser, Groups: []string{"dev", "ops"}, Password: adaPass, Active: true})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// browser keeps cookies as a browser does, by name.
type browser struct {
	w       *world
	cookies map[string]string
	header  http.Header // sent with every request
	ip      string
}

func (w *world) browser() *browser {
	return &browser{w: w, cookies: map[string]string{}, header: http.Header{
		"User-Agent": {"Mozilla/5.0 (Windows NT 10.0; rv:130.0) Gecko/20100101 Firefox/130.0"},
	}, ip: "192.0.2.7"}
}

// answer is a response, decompressed.
type answer struct {
	*http.Response
	body string
}

func (a answer) location() string { return a.Header.Get("Location") }

func (b *browser) send(r *http.Request) answer {
	b.w.T.Helper()
	for k, v := range b.header {
		if _, own := r.Header[k]; !own {
			r.Header[k] = v
		}
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	q := &reqctx.Request{ID: "ref-0123456789", ClientIP: netip.MustParseAddr(b.ip), Secure: !b.w.insecure, Host: r.Host, Prefix: prefix}
	rec := httptest.NewRecorder()
	b.w.Router.ServeHTTP(rec, reqctx.With(r, q))
	return b.read(rec)
}

func (b *browser) read(rec *httptest.ResponseRecorder) answer {
	b.w.T.Helper()
	res := rec.Result()
	body := rec.Body.Bytes()
	if res.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			b.w.T.Fatal(err)
		}
		if body, err = io.ReadAll(zr); err != nil {
			b.w.T.Fatal(err)
		}
	}
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return answer{res, string(body)}
}

func request(method, path, contentType, body string) *http.Request {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, origin+prefix+path, rd)
	r.Host = host
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func (b *browser) get(path string) answer {
	b.w.T.Helper()
	return b.send(request("GET", path, "", ""))
}

func (b *browser) do(method, path string) answer {
	b.w.T.Helper()
	return b.send(request(method, path, "", ""))
}

func (b *browser) post(path string, pairs ...string) answer {
	b.w.T.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return b.send(request("POST", path, "application/x-www-form-urlencoded", form.Encode()))
}

func (b *browser) json(method, path, body string) answer {
	b.w.T.Helper()
	return b.send(request(method, path, "application/json", body))
}

// signIn signs in and fails the test when that does not work.
func (b *browser) signIn(name, pass string) *browser {
	b.w.T.Helper()
	if a := b.post("/login", "username", name, "password", pass); a.StatusCode != http.StatusSeeOther {
		b.w.T.Fatalf("signing in as %s: status %d: %s", name, a.StatusCode, a.body)
	}
	return b
}

// token returns the session token: what the cookie holds, without the mark of the store that issued it.
func (b *browser) token() string {
	value := b.cookies[b.tokenName()]
	return value[:min(len(value), 43)]
}

func (b *browser) tokenName() string {
	if b.w.insecure {
		return "gatehouse"
	}
	return "__Host-gatehouse"
}

// signedIn reports whether the session of the browser lives.
func (b *browser) signedIn() bool {
	b.w.T.Helper()
	return b.get("/api/v1/session").StatusCode == http.StatusOK
}

func (a answer) want(t testing.TB, status int, parts ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d; Location %q; body:\n%s", a.StatusCode, status, a.location(), a.body)
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			t.Fatalf("body has no %q:\n%s", p, a.body)
		}
	}
	return a
}

func (a answer) wantRedirect(t testing.TB, location string) answer {
	t.Helper()
	if a.StatusCode != http.StatusSeeOther || a.location() != location {
		t.Fatalf("status %d, Location %q; want 303 to %q; body:\n%s", a.StatusCode, a.location(), location, a.body)
	}
	return a
}

func (a answer) json(t testing.TB, dst any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), dst); err != nil {
		t.Fatalf("not JSON: %v: %s", err, a.body)
	}
}

type problem struct {
	Type, Title, Detail string
	Status              int
	LoginURL            string `json:"login_url"`
	RequestID           string `json:"request_id"`
	Errors              []struct{ Field, Detail string }
}

func (a answer) wantProblem(t testing.TB, status int, slug string) problem {
	t.Helper()
	a.want(t, status)
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("Content-Type %q", ct)
	}
	var p problem
	a.json(t, &p)
	if p.Status != status || !strings.HasSuffix(p.Type, "/"+slug) || p.Title == "" || p.Detail == "" || p.RequestID == "" {
		t.Fatalf("problem %+v, want %d %s", p, status, slug)
	}
	return p
}
