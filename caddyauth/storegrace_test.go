package caddyauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// Without the store only requests of sessions in use continue.
func TestStoreGraceIsForSessionsInUseOnly(t *testing.T) {
	proxy, dsn := testenv.PostgresProxy(t)
	s := startAdmin(t, "gatehouse {\n\tpublic /metrics\n}\nmetrics /metrics", withGlobal("session {\n\tstore_grace 10s\n}"),
		func(s *caddyServer) { s.place = testenv.Place{Engine: "postgres", DSN: dsn} })
	b, unused := s.browser(), s.browser()
	b.signIn(adminName, adminPass)
	unused.signIn(adminName, adminPass)
	if !b.reaches("/") || grep(b.fetch("/metrics").body, "gatehouse_store_grace ") != "gatehouse_store_grace 0\n" {
		t.Fatalf("before the outage: %s", grep(b.fetch("/metrics").body, "gatehouse_store"))
	}
	if !b.page("/_auth/admin/settings").has("store_grace", "10s") {
		t.Error("the settings page does not show the option")
	}
	// On a machine that is so slow that the time is over before everything was asked, once more.
	for try := 1; !checkOnlyRequestsContinue(t, s, proxy, b, unused); try++ {
		if try == 5 {
			t.Fatal("never was everything asked in time")
		}
		proxy.Heal()
		eventually(t, "the store to be back", func() bool { return b.reaches("/") })
	}
	if a := s.browser().fetch("/"); a.StatusCode != 401 {
		t.Errorf("nobody is answered %d", a.StatusCode)
	}
	proxy.Heal()
	s.logs.waitFor(t, "store available again")
	eventually(t, "the grace to end", func() bool {
		return b.reaches("/") && grep(b.fetch("/metrics").body, "gatehouse_store_grace ") == "gatehouse_store_grace 0\n"
	})
	b.post("/_auth/logout")
	if b.reaches("/") {
		t.Error("a session that has ended goes on")
	}
}

// checkOnlyRequestsContinue makes the store unavailable and checks every kind of request. It reports whether it was
// done in time.
func checkOnlyRequestsContinue(t *testing.T, s *caddyServer, proxy *testenv.Proxy, b, unused *browser) (inTime bool) {
	t.Helper()
	time.Sleep(time.Second) // waits: for news that confirm what was read, which come four times as often and show nowhere
	cut := time.Now()
	proxy.Cut()
	s.logs.waitFor(t, "store polling failed")
	cacheExpires(t, b)
	goesOn := func() bool {
		ok := b.reaches("/")
		if took := time.Since(cut); !ok && took < 8*time.Second {
			t.Fatalf("%v after the store a request of a session in use does not go on", took)
		}
		return ok
	}
	if !goesOn() {
		return false
	}
	m := b.fetch("/metrics").body
	metrics := grep(m, "gatehouse_store_grace")
	answers := map[string]response{
		"a session that was not read": unused.fetch("/"),
		"an unknown session":          anonymousBrowser(s).fetch("/"),
		"the sign-in form":            s.browser().post("/_auth/login", "username", adminName, "password", adminPass),
		"the admin pages":             b.page("/_auth/admin"),
		"the account page":            b.page("/_auth/account"),
		"the JSON API":                b.api("GET", "session", nil),
		"a write through the API":     b.api("POST", "users", fields{"username": "eve"}),
		"confirming a password":       b.post("/_auth/reauth", "password", adminPass),
		"the health check":            b.fetch("/_auth/healthz"),
	}
	if !goesOn() {
		return false
	}
	if !strings.Contains(metrics, "gatehouse_store_grace 1\n") || strings.Contains(metrics, "requests_total 0\n") {
		t.Errorf("the metrics do not tell of the grace: %s", metrics)
	}
	for what, a := range answers {
		if a.StatusCode != 503 {
			t.Errorf("%s is answered %d", what, a.StatusCode)
		}
	}
	s.logs.waitFor(t, "store unavailable: sessions in use continue")
	return true
}

// Within the grace no provider's claims can be read, so only a session that this configuration has checked by its rules
// continues.
func TestStoreGraceNeedsAProviderSessionToBeChecked(t *testing.T) {
	proxy, dsn := testenv.PostgresProxy(t)
	idp := provider.New(t)
	s := startOIDC(t, idp, "allow email ada@example.com\n}\nsession {\n\tstore_grace 10s", "gatehouse", at(dsn))
	checked, unchecked := s.browser(), s.browser()
	checked.viaProvider("?rt=%2F")
	atProvider := unchecked.page("/_auth/oidc/test/start")
	for hops := 0; unchecked.cookie() == "" && hops < 5; hops++ { // until there is a session
		to, err := atProvider.Request.URL.Parse(atProvider.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest("GET", to.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		atProvider = unchecked.do(r)
	}
	if a := unchecked.fetch("/_auth/api/v1/session"); a.StatusCode != 200 {
		t.Fatalf("before the outage: %d", a.StatusCode)
	}
	if err := s.load(); err != nil { // the sessions stay in memory, but this is another configuration
		t.Fatal(err)
	}
	if !checked.reaches("/") {
		t.Fatal("before the outage the app is not reached")
	}
	for try := 1; ; try++ {
		time.Sleep(time.Second) // waits: for news that confirm what was read, which come four times as often and show nowhere
		cut := time.Now()
		proxy.Cut()
		cacheExpires(t, checked)
		first, other, last := checked.reaches("/"), unchecked.fetch("/"), checked.reaches("/")
		if other.StatusCode != 503 {
			t.Fatalf("a session that was never checked is answered %d", other.StatusCode)
		}
		if first && last {
			return
		}
		if took := time.Since(cut); took < 8*time.Second || try == 5 {
			t.Fatalf("%v after the store a session in use does not go on", took)
		}
		proxy.Heal()
		eventually(t, "the store to be back", func() bool { return checked.reaches("/") })
	}
}

// cacheExpires waits until the cache no longer has a session in use: pages have no grace.
func cacheExpires(t *testing.T, b *browser) {
	t.Helper()
	eventually(t, "the cache to expire", func() bool { return b.fetch("/_auth/api/v1/session").StatusCode == 503 })
}

// anonymousBrowser returns a browser with a token that was never issued.
func anonymousBrowser(s *caddyServer) *browser {
	b := s.browser()
	b.setCookie(strings.Repeat("A", 43))
	return b
}

func (a response) has(parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			return false
		}
	}
	return true
}
