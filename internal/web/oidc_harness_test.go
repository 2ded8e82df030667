package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// oidcWorld is a world with one provider, "test".
type oidcWorld struct {
	*world
	idp  *provider.Provider
	cfg  oidc.Config
	oidc *login.OIDC
	logs *observer.ObservedLogs
}

func newOIDCWorld(t testing.TB, change ...func(*oidc.Config)) *oidcWorld {
	t.Helper()
	ow := &oidcWorld{}
	core, logs := observer.New(zapcore.DebugLevel)
	ow.logs = logs
	log := zap.New(core)
	ow.world = newWorld(t, func(c *config) {
		ow.idp = provider.NewAt(t, c.Clock)
		ow.cfg = oidc.Config{Name: "test", Label: "Testify", Issuer: ow.idp.Issuer, ClientID: ow.idp.Client.ID, Secret: ow.idp.Client.Secret, Insecure: true}
		for _, f := range change {
			f(&ow.cfg)
		}
		pool := oidc.NewPool(oidc.PoolOptions{Clock: c.Clock, Log: log})
		t.Cleanup(pool.Close)
		reg, err := oidc.NewRegistry(pool, c.Store, []oidc.Config{ow.cfg}, oidc.Options{Clock: c.Clock, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		c.Login.Log, c.Log = log, log
		ow.oidc = login.NewOIDC(c.Login, reg, []string{"admin"})
		ow.oidc.RefreshWait = time.Minute // on a busy machine, a second passes easily
		c.OIDC = ow.oidc
		c.Accounts.Effective = ow.oidc.Effective
	})
	return ow
}

// reconfigure replaces the configuration, as a reload does: the store is the same, everything else is new.
func (ow *oidcWorld) reconfigure(t testing.TB, change func(*oidc.Config)) {
	t.Helper()
	change(&ow.cfg)
	reg, err := oidc.NewRegistry(oidc.NewPool(oidc.PoolOptions{Clock: ow.Clock.Now}), ow.Store, []oidc.Config{ow.cfg}, oidc.Options{Clock: ow.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	ow.oidc.Registry = reg
}

// start begins a sign-in and returns the address at the provider.
func (b *browser) start(query string) string {
	b.w.T.Helper()
	r := request("GET", "/oidc/test/start"+query, "", "")
	r.Header.Set("Sec-Fetch-Site", "same-origin") // a link of ours
	a := b.send(r)
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.location(), "http://127.0.0.1:") {
		b.w.T.Fatalf("start: status %d, Location %q: %s", a.StatusCode, a.location(), a.body)
	}
	return a.location()
}

// visit asks the provider and returns where it sends the browser back to, or the form it wants posted.
func visit(t testing.TB, address string) (back string, form url.Values) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusFound {
		return strings.TrimPrefix(resp.Header.Get("Location"), origin+prefix), nil
	}
	buf := make([]byte, 64<<10)
	n, _ := resp.Body.Read(buf)
	_, _ = rec.Write(buf[:n])
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the provider refused the request: %s: %s", resp.Status, buf[:n])
	}
	form = url.Values{}
	page := string(buf[:n])
	for part := range strings.SplitSeq(page, "name=\"") {
		name, rest, ok := strings.Cut(part, "\" value=\"")
		value, _, ok2 := strings.Cut(rest, "\"")
		if ok && ok2 {
			form.Add(name, value)
		}
	}
	_, action, _ := strings.Cut(page, "action=\"")
	action, _, _ = strings.Cut(action, "\"")
	return strings.TrimPrefix(action, origin+prefix), form
}

// foreignPost posts as the provider's page does: from another site, without our cookies.
func (b *browser) foreignPost(path string, form url.Values) answer {
	b.w.T.Helper()
	r := request("POST", path, "application/x-www-form-urlencoded", form.Encode())
	r.Header.Set("Origin", "https://id.example.test")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	kept := b.cookies
	b.cookies = map[string]string{}
	a := b.send(r)
	b.cookies = kept
	return a
}

// viaProvider signs in through the provider and returns the response to the callback.
func (b *browser) viaProvider(query string) answer {
	b.w.T.Helper()
	return b.callback(b.start(query))
}

func (b *browser) callback(address string) answer {
	b.w.T.Helper()
	back, form := visit(b.w.T, address)
	if form == nil {
		return b.get(back)
	}
	a := b.foreignPost(back, form)
	if a.StatusCode != http.StatusSeeOther {
		return a
	}
	return b.get(strings.TrimPrefix(a.location(), prefix))
}

// who returns the session as the JSON API shows it.
func (b *browser) who() (who struct {
	User struct {
		ID, Username, Email, Name, Role string
		Groups                          []string
	}
	Auth struct{ Method, Provider string }
},
) {
	b.w.T.Helper()
	b.get("/api/v1/session").want(b.w.T, http.StatusOK).json(b.w.T, &who)
	return who
}

// nobody makes sure that no session and no account came of it.
func (ow *oidcWorld) nobody(t testing.TB) {
	t.Helper()
	if n, err := ow.Store.CountSessions(t.Context(), ow.Clock.Now(), 0); err != nil || n != 0 {
		t.Errorf("there are %d sessions (%v)", n, err)
	}
	if n, err := ow.Store.CountUsers(t.Context(), store.UserQuery{}); err != nil || n != 2 {
		t.Errorf("there are %d accounts (%v), want root and ada alone", n, err)
	}
}

func (ow *oidcWorld) sessions(t testing.TB) int {
	t.Helper()
	n, err := ow.Store.CountSessions(t.Context(), ow.Clock.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// oneSession returns the only session that there is.
func (ow *oidcWorld) oneSession(t testing.TB) store.Session {
	t.Helper()
	page, err := ow.Store.Sessions(t.Context(), store.SessionQuery{Now: ow.Clock.Now()})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%d sessions, %v", len(page.Items), err)
	}
	return page.Items[0].Session
}
