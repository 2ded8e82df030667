package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	accountpages "github.com/gatehouse-auth/gatehouse/internal/web/account"
	"github.com/gatehouse-auth/gatehouse/internal/web/signin"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

const (
	goodPass  = "seven quiet otters 42"
	otherPass = "a lamp under the stairs"
	prefix    = "/_auth"
)

var operator = account.Actor{Kind: account.CommandLine}

// world is the API on a real store, with the pages for signing in, behind a server as in front of a site.
type world struct {
	t        testing.TB
	clock    *testenv.Clock
	store    store.Store
	accounts *account.Service
	router   *web.Router
	server   *httptest.Server
}

// config is what a test may change.
type config struct {
	Config
	Language string
}

func newWorld(t testing.TB, with ...func(*config)) *world {
	t.Helper()
	w := &world{t: t, clock: testenv.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	db := testenv.Store(t, func(o *sqlstore.Options) { o.Clock = w.clock.Now })
	w.store = db
	sessions := session.NewManager(db, session.Options{Clock: w.clock.Now})
	t.Cleanup(sessions.Close)
	hasher := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, nil)
	limits := login.DefaultLimits
	limits.Client = 100000 // every test signs in from one address
	logins := &login.Service{
		Store: db, Sessions: sessions, Hasher: hasher, Throttle: login.NewThrottle(db, w.clock.Now),
		Limits: limits, Lifetime: session.DefaultLimits, Clock: w.clock.Now, Log: zap.NewNop(),
	}
	w.accounts = &account.Service{Store: db, Sessions: sessions, Login: logins, Hasher: hasher, Title: "Orchard", Clock: w.clock.Now}
	c := config{Config: Config{
		Providers: func() []ProviderStatus {
			return []ProviderStatus{{Name: "acme", Label: "Acme", Issuer: "https://id.acme.test", RedirectURI: "https://app.test/_auth/oidc/acme/callback", Scopes: []string{"openid"}, Keys: 2}}
		},
	}}
	for _, change := range with {
		change(&c)
	}
	pages, err := ui.NewSet(ui.Config{Language: c.Language, Sources: []ui.Source{web.Files, signin.Files, accountpages.Files, Files}})
	if err != nil {
		t.Fatal(err)
	}
	deps, err := web.NewDeps(web.Config{
		Store: db, Sessions: sessions, Login: logins, Accounts: w.accounts, Clock: w.clock.Now, Pages: pages,
	})
	if err != nil {
		t.Fatal(err)
	}
	routes, err := Routes(deps, c.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.router = web.NewRouter(deps, slices.Concat(web.Routes(deps), signin.Routes(deps), accountpages.Routes(deps), routes))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.router.ServeHTTP(rw, reqctx.With(r, &reqctx.Request{ID: "req-1", ClientIP: netip.MustParseAddr("192.0.2.7"), Host: r.Host, Prefix: prefix}))
	}))
	t.Cleanup(w.server.Close)
	return w
}

// add makes an active account with goodPass.
func (w *world) add(username string, r store.Role) store.User {
	w.t.Helper()
	return w.make(account.NewUser{Username: username, Email: username + "@example.com", Role: r, Password: goodPass, Active: true})
}

func (w *world) make(n account.NewUser) store.User {
	w.t.Helper()
	u, _, err := w.accounts.Create(w.t.Context(), operator, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) user(id string) store.User {
	w.t.Helper()
	u, err := w.store.User(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// events returns the audit log's entries of an action, newest first.
func (w *world) events(action string) []store.Event {
	w.t.Helper()
	page, err := w.store.Events(w.t.Context(), store.EventQuery{Action: action, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Items
}

// browser is somebody's browser or program. It follows no redirect by itself.
type browser struct {
	w      *world
	client *http.Client
	header http.Header
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w: w, header: http.Header{}, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signIn signs in with goodPass and returns the browser.
func (w *world) signIn(username string) *browser {
	w.t.Helper()
	b := w.browser()
	if a := b.post("/login", url.Values{"username": {username}, "password": {goodPass}}); a.status != http.StatusSeeOther {
		w.t.Fatalf("signing in as %s: %d %s", username, a.status, a.body)
	}
	return b
}

// response is what came back.
type response struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, path, mime string, body io.Reader) response {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(b.w.t.Context(), method, b.w.server.URL+prefix+path, body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	for k, v := range b.header {
		req.Header[k] = v
	}
	if mime != "" {
		req.Header.Set("Content-Type", mime)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, string(text)}
}

func (b *browser) get(path string) response { return b.do(http.MethodGet, path, "", nil) }

func (b *browser) post(path string, form url.Values) response {
	return b.do(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// json sends a value, or text as it is.
func (b *browser) json(method, path string, v any) response {
	b.w.t.Helper()
	text, ok := v.(string)
	if !ok && v != nil {
		raw, err := json.Marshal(v)
		if err != nil {
			b.w.t.Fatal(err)
		}
		text = string(raw)
	}
	if v == nil {
		return b.do(method, "/api/v1"+path, "", nil)
	}
	return b.do(method, "/api/v1"+path, "application/json", bytes.NewReader([]byte(text)))
}

// with returns the same browser with another header.
func (b *browser) with(name, value string) *browser {
	c := *b
	c.header = b.header.Clone()
	c.header.Set(name, value)
	return &c
}

// read decodes a JSON response.
func (a response) read(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

// problem returns the last word of a problem's type.
func (a response) problem() string {
	var p struct {
		Type string `json:"type"`
	}
	if json.Unmarshal([]byte(a.body), &p) != nil {
		return ""
	}
	return p.Type[strings.LastIndexByte(p.Type, '/')+1:]
}

func (a response) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// want fails the test unless the status is that.
func (a response) want(t testing.TB, status int) response {
	t.Helper()
	if a.status != status {
		t.Fatalf("want %d, got %s", status, a)
	}
	return a
}

// scene is a world with somebody to act on: an active user with a session and an open link.
type scene struct {
	*world
	admin   store.User
	target  store.User
	session string
	// identity is the target's at a provider.
	identity store.Identity
}

func newScene(t *testing.T, with ...func(*config)) *scene {
	t.Helper()
	w := newWorld(t, with...)
	s := &scene{world: w, admin: w.add("ada", store.RoleAdmin), target: w.add("tom", store.RoleUser)}
	w.add("walter", store.RoleAdmin) // so that nothing is about the last administrator
	if _, err := w.accounts.ResetPassword(t.Context(), operator, s.target.ID, account.Reset{}); err != nil {
		t.Fatal(err)
	}
	s.identity = store.Identity{Issuer: "https://idp", Subject: "tom", UserID: s.target.ID, Provider: "acme", CreatedAt: w.clock.Now()}
	if err := w.store.Change(t.Context(), func(tx store.Tx) error { return tx.CreateIdentity(t.Context(), s.identity) }); err != nil {
		t.Fatal(err)
	}
	w.signIn("tom")
	page, err := w.store.Sessions(t.Context(), store.SessionQuery{UserID: s.target.ID, Now: w.clock.Now()})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(len(page.Items), err)
	}
	s.session = page.Items[0].ID
	s.target = w.user(s.target.ID)
	return s
}

func (w *world) allEvents() []store.Event {
	w.t.Helper()
	page, err := w.store.Events(w.t.Context(), store.EventQuery{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Items
}
