package caddyauth_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// trust makes the browser a trusted one of an account, as if a second factor had been proved in it that long ago.
func (b *browser) trust(username string, ago time.Duration) {
	b.t.Helper()
	ctx, token := context.Background(), store.NewToken()
	at := time.Now().UTC().Add(-ago)
	err := b.s.openStore().Change(ctx, func(tx store.Tx) error {
		u, err := tx.UserByUsername(ctx, username)
		if err != nil {
			return err
		}
		return tx.CreateTrustedBrowser(ctx, store.TrustedBrowser{
			ID: store.NewID(at), Hash: store.HashToken(token), UserID: u.ID, MFAAt: at, CreatedAt: at, ExpiresAt: at.Add(30 * 24 * time.Hour),
		})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	u, _ := url.Parse("http://" + b.s.addr)
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "gatehouse-trusted", Value: token, Path: "/"}})
}

// in signs the administrator in with the password, and reports whether that was enough.
func (b *browser) in() bool {
	b.t.Helper()
	switch to := b.signIn(adminName, adminPass).Header.Get("Location"); to {
	case "/_auth/login/verify":
		return false
	case "/":
		return true
	default:
		b.t.Fatalf("a sign-in leads to %q", to)
		return false
	}
}

// trustLine is the option with a trust of some length.
func trustLine(lasts string) string { return "mfa {\n\ttrust_browser " + lasts + "\n}" }

// A session that began in a trusted browser meets what asks for two factors, and not what asks for a recent or a strong
// one. The app sees how it began, and never the cookie.
func TestASessionOfATrustedBrowserAtTheGate(t *testing.T) {
	s := startAdmin(t, `gatehouse {
	header X-Amr amr
	header X-Acr acr
}
gatehouse /two/* {
	require mfa
}
gatehouse /strong/* {
	require mfa passkey
}
gatehouse /fresh/* {
	require fresh 15m
}
gatehouse /recent/* {
	require fresh 15m mfa
}`, withGlobal(trustLine("30d")))
	s.addApp(adminName)
	b := s.browser()
	b.trust(adminName, 10*24*time.Hour)
	if !b.in() {
		t.Fatal("the browser is not trusted")
	}
	for path, want := range map[string]bool{"/x": true, "/two/x": true, "/fresh/x": true, "/strong/x": false, "/recent/x": false} {
		if got := b.reaches(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	b.fetch("/x")
	h := s.up.last().Header
	if h.Get("X-Amr") != "pwd trusted mfa" || h.Get("X-Acr") != "aal2" || strings.Contains(strings.Join(h["Cookie"], ""), "trusted") {
		t.Errorf("the app sees %q, %q and cookies %q", h.Get("X-Amr"), h.Get("X-Acr"), h["Cookie"])
	}
}

// Trust that the option as it is would not give counts at once no more, for sign-ins and for sessions that stand on it.
// When it is switched on again or made longer, what has ended stays so.
func TestTrustThatTheConfigurationEndsStaysEnded(t *testing.T) {
	for name, change := range map[string]string{
		"off": trustLine("off"), "without the line": "mfa", "shortened": trustLine("5d"), "mfa off": "mfa off",
	} {
		s := startAdmin(t, "gatehouse", withGlobal(trustLine("30d")))
		s.addApp(adminName)
		b, other := s.browser(), s.browser()
		b.trust(adminName, 10*24*time.Hour)
		other.trust(adminName, time.Hour)
		if !b.in() || !other.in() {
			t.Fatalf("%s: the browsers are not trusted", name)
		}
		acr := func() string {
			auth, _ := b.fetch("/_auth/api/v1/session").json(t)["auth"].(map[string]any)
			acr, _ := auth["acr"].(string)
			return acr
		}
		if got := acr(); got != "aal2" {
			t.Fatalf("%s: %s", name, got)
		}
		for i, global := range []string{change, trustLine("30d")} {
			s.global = global
			if err := s.load(); err != nil {
				t.Fatal(err)
			}
			if got := acr(); got != "aal1" {
				t.Errorf("%s, %d: a session that stood on it has %s", name, i, got)
			}
		}
		for who, b := range map[string]*browser{"ten days": b, "an hour": other} {
			if got, want := b.in(), name == "shortened" && who == "an hour"; got != want {
				t.Errorf("%s: trusted since %s: let in %v", name, who, got)
			}
		}
	}
}

// A stream that two factors are asked for ends with the trust that one of them was, whoever ends it.
func TestAStreamEndsWithTheTrustThatItStandsOn(t *testing.T) {
	app := streamUpstream(t)
	site := "gatehouse {\n\trequire mfa\n}\nreverse_proxy /stream " + app.Listener.Addr().String()
	s := startAdmin(t, site, withGlobal(trustLine("30d")))
	s.addApp(adminName)
	b := s.browser()
	b.trust(adminName, time.Hour)
	if !b.in() {
		t.Fatal("the browser is not trusted")
	}
	ended := openStream(t, s, b.cookie(), false)
	ctx := context.Background()
	err := s.openStore().Change(ctx, func(tx store.Tx) error {
		u, err := tx.UserByUsername(ctx, adminName)
		if err != nil {
			return err
		}
		_, err = tx.ForgetTrustedBrowsers(ctx, u.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the stream goes on")
	}
	if a := b.fetch("/x"); a.StatusCode != http.StatusForbidden || b.fetch("/_auth/api/v1/session").StatusCode != 200 {
		t.Errorf("afterwards: %d", a.StatusCode)
	}
}
