package caddyauth_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Between the password and the second step somebody is nobody: the gate lets nothing through and tells the app nothing,
// wherever the browser sends what it was given.
func TestAHalfLoginIsNobodyAtTheGate(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\toptional /open/*\n}", withGlobal("tokens"))
	ctx, now := context.Background(), time.Now().UTC().Truncate(time.Millisecond)
	err := s.openStore().Change(ctx, func(tx store.Tx) error {
		u, err := tx.UserByUsername(ctx, adminName)
		if err != nil {
			return err
		}
		app := store.TOTP{ID: store.NewID(now), UserID: u.ID, Name: "phone", Secret: "s1.1.sealed", CreatedAt: now}
		if err := tx.PutTOTP(ctx, app); err != nil {
			return err
		}
		return tx.ConfirmTOTP(ctx, u.ID, app.ID, app.Name, 1, now)
	})
	if err != nil {
		t.Fatal(err)
	}
	a := s.browser().post("/_auth/login", "username", adminName, "password", adminPass)
	name, step := "", ""
	for _, c := range a.Cookies() {
		if strings.HasSuffix(c.Name, "-step") {
			name, step = c.Name, c.Value
		}
		if c.Name == "gatehouse" && c.Value != "" {
			t.Error("there is a session before the second step")
		}
	}
	if a.Header.Get("Location") != "/_auth/login/verify" || step == "" {
		t.Fatalf("no second step: %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	for place, header := range map[string][]string{
		"as it was given": {"Cookie", name + "=" + step},
		"as a session":    {"Cookie", "gatehouse=" + step},
		"as both":         {"Cookie", name + "=" + step + "; gatehouse=" + step},
		"as a token":      {"Authorization", "Bearer " + step},
	} {
		b := s.browser()
		for _, more := range [][]string{
			nil, {"Accept", "text/html", "Sec-Fetch-Mode", "navigate"}, {"Connection", "Upgrade", "Upgrade", "websocket"},
		} {
			a := b.fetch("/x", append(header[:2:2], more...)...)
			if a.StatusCode != 401 && (a.StatusCode != 302 || !strings.HasPrefix(a.Header.Get("Location"), "/_auth/login?")) {
				t.Errorf("%s, %q: %d to %s", place, more, a.StatusCode, a.Header.Get("Location"))
			}
		}
		for _, path := range []string{"/_auth/api/v1/session", "/_auth/api/v1/users", "/_auth/api/v1/me/sessions"} {
			if a := b.fetch(path, header...); a.StatusCode != 401 {
				t.Errorf("%s, %s: %d", place, path, a.StatusCode)
			}
		}
		if a := b.fetch("/_auth/admin", header...); a.StatusCode == 200 {
			t.Errorf("%s: the administration opens", place)
		}
		if place == "as a token" {
			continue // a token that is none is refused, also where nobody has to be known
		}
		if a := b.fetch("/open/x", header...); a.StatusCode != 200 {
			t.Errorf("%s: an optional path: %d", place, a.StatusCode)
			continue
		}
		if h := s.up.last().Header; h.Get("Remote-User") != "" || strings.Contains(h.Get("Cookie"), step) {
			t.Errorf("%s: the app is told %q, with the cookies %q", place, h.Get("Remote-User"), h.Get("Cookie"))
		}
	}
}
