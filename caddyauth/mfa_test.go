package caddyauth_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// addApp gives an account an authenticator app, as if it had been confirmed a moment ago.
func (s *caddyServer) addApp(username string) {
	s.t.Helper()
	st, ctx, now := s.openStore(), context.Background(), time.Now().UTC()
	u, err := st.UserByUsername(ctx, username)
	if err != nil {
		s.t.Fatal(err)
	}
	app := store.TOTP{ID: store.NewID(now), UserID: u.ID, Secret: "sealed", CreatedAt: now}
	err = st.Change(ctx, func(tx store.Tx) error {
		if err := tx.PutTOTP(ctx, app); err != nil {
			return err
		}
		return tx.ConfirmTOTP(ctx, u.ID, app.ID, "phone", 1, now)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// problemOf returns the last part of the problem type of a response.
func problemOf(t testing.TB, a response) string {
	t.Helper()
	typ, _ := a.json(t)["type"].(string)
	return typ[strings.LastIndexAny(typ, ":/")+1:]
}

// Under every demand for a second factor an administrator with one factor is none: in the API, the pages, to rules and
// to apps, at once when the option comes, and is one again with the second.
func TestAnAdministratorWithOneFactorHasNoRightsWhereTwoAreDemanded(t *testing.T) {
	s := startAdmin(t, "gatehouse\ngatehouse /ops/* {\n\trequire role admin\n}", withGlobal("tokens"))
	b := s.browser()
	b.signIn(adminName, adminPass)
	ada := s.browser()
	b.api("POST", "users", fields{"username": "ada", "password": otherPass})
	ada.signIn("ada", otherPass)
	for _, mode := range []string{"admins", "required", "optional"} {
		s.global = "tokens\nmfa " + mode
		if mode == "optional" {
			st, ctx := s.openStore(), context.Background()
			u, _ := st.UserByUsername(ctx, adminName)
			u.Groups = []string{"staff"}
			if err := st.Change(ctx, func(tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err }); err != nil {
				t.Fatal(err)
			}
			s.global += " {\n\tgroup staff\n}"
		}
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		b.prove(proved{"pwd", 0, never})
		role := func() string { b.fetch("/x"); return s.up.last().Header.Get("Remote-Role") }
		if r := role(); r != "user" {
			t.Errorf("%s: the app is told the role %q", mode, r)
		}
		if a := b.fetch("/_auth/api/v1/session"); !strings.Contains(a.body, `"role":"user"`) {
			t.Errorf("%s: %s", mode, a.body)
		}
		for _, call := range []response{
			b.fetch("/_auth/api/v1/users"), b.api("POST", "users", fields{"username": "x"}), b.fetch("/_auth/api/v1/audit"), b.fetch("/ops/x"),
		} {
			if p := problemOf(t, call); call.StatusCode != 403 || p != "mfa-required" || !strings.Contains(call.body, "step_up_url") || !strings.Contains(call.Header.Get("WWW-Authenticate"), `acr_values="aal2"`) {
				t.Errorf("%s: %s: %d %s", mode, call.Request.URL, call.StatusCode, call.body)
			}
		}
		for path, back := range map[string]string{"/_auth/admin": "%2F_auth%2Fadmin", "/_auth/admin/users?q=x": "%2F_auth%2Fadmin%2Fusers%3Fq%3Dx", "/_auth/admin/users/new": "%2F_auth%2Fadmin%2Fusers%2Fnew"} {
			if a := b.page(path); a.StatusCode != 303 || a.Header.Get("Location") != "/_auth/reauth?rt="+back {
				t.Errorf("%s: %s: %d to %s", mode, path, a.StatusCode, a.Header.Get("Location"))
			}
		}
		if a := b.post("/_auth/admin/users", "username", "x"); a.StatusCode != 303 || !strings.HasPrefix(a.Header.Get("Location"), "/_auth/reauth") {
			t.Errorf("%s: a form: %d to %s", mode, a.StatusCode, a.Header.Get("Location"))
		}
		if a := b.page("/ops/x"); a.StatusCode != 302 || a.Header.Get("Location") != "/_auth/reauth?rt=%2Fops%2Fx&need=mfa" {
			t.Errorf("%s: %d to %s", mode, a.StatusCode, a.Header.Get("Location"))
		}
		if a := ada.fetch("/_auth/api/v1/users"); problemOf(t, a) != "role" {
			t.Errorf("%s: what nobody can mend by a second factor: %s", mode, a.body)
		}
		for level, want := range map[string]int{"aal1": 403, "aal2": 200} {
			token := s.addToken(adminName, func(t *store.Token) { t.Level = level })
			if a := s.browser().fetch("/ops/x", "Authorization", "Bearer "+token); a.StatusCode != want {
				t.Errorf("%s: a token of %s: %d %s", mode, level, a.StatusCode, a.body)
			}
		}
		b.prove(proved{twoFactors, 0, 0})
		if r := role(); r != "admin" || !b.reaches("/ops/x") || b.fetch("/_auth/api/v1/users").StatusCode != 200 || b.page("/_auth/admin/users").StatusCode != 200 {
			t.Errorf("%s: with two factors the role is %q", mode, r)
		}
	}
}

// Whoever has a second factor proves it before accounts change and tokens are made; the token has the session's level.
func TestChangesAskForTheSecondFactorOfWhoeverHasOne(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("tokens"))
	b := s.browser()
	b.signIn(adminName, adminPass)
	newToken := func() response {
		return b.api("POST", "me/tokens", fields{"name": "x", "hosts": []string{"127.0.0.1"}})
	}
	level := func(a response) string {
		t.Helper()
		id, _ := a.json(t)["id"].(string)
		token, _, err := s.openStore().Token(context.Background(), id)
		if a.StatusCode != 201 || err != nil {
			t.Fatalf("%d %s %v", a.StatusCode, a.body, err)
		}
		return token.Level
	}
	if l := level(newToken()); l != "aal1" {
		t.Errorf("made with one factor, a token has the level %s", l)
	}
	s.addApp(adminName)
	b.prove(proved{"pwd", 0, never})
	for _, a := range []response{newToken(), b.api("POST", "users", fields{"username": "y", "password": otherPass})} {
		if p := problemOf(t, a); a.StatusCode != 403 || p != "mfa-required" {
			t.Errorf("%s: %d %s", a.Request.URL, a.StatusCode, a.body)
		}
	}
	if a := b.post("/_auth/account/password", "current_password", adminPass, "new_password", "another long passphrase"); a.StatusCode != 303 ||
		!strings.HasPrefix(a.Header.Get("Location"), "/_auth/reauth?rt=%2F_auth%2Faccount") {
		t.Errorf("a form of an account page: %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	if a := b.fetch("/_auth/api/v1/users"); a.StatusCode != 200 {
		t.Errorf("reading: %d %s", a.StatusCode, a.body)
	}
	me, _ := b.fetch("/_auth/api/v1/me").json(t)["id"].(string)
	for _, path := range []string{"/_auth/admin/users/" + me + "/edit", "/_auth/account/tokens/new"} {
		if a := b.page(path); a.StatusCode != 303 || !strings.HasPrefix(a.Header.Get("Location"), "/_auth/reauth?rt=") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	b.prove(proved{twoFactors, 11 * time.Minute, 0})
	if a := newToken(); problemOf(t, a) != "reauth-required" || a.json(t)["max_age"] != 600.0 || a.json(t)["step_up_url"] != "/_auth/reauth?rt=" {
		t.Errorf("%s", a.body)
	}
	b.prove(proved{twoFactors, 0, 0})
	made := newToken()
	if l := level(made); l != "aal2" {
		t.Errorf("made with two factors, a token has the level %s", l)
	}
	// Where nobody is asked, nobody has to prove it; and a token of two factors does not get to a session of one.
	s.global = "tokens\nmfa off"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	s.logs.waitFor(t, "mfa off: nobody is asked for a second factor")
	b.prove(proved{"pwd", 0, never})
	id, _ := made.json(t)["id"].(string)
	if l := level(newToken()); l != "aal1" {
		t.Errorf("with mfa off: %s", l)
	}
	if l := level(b.api("POST", "me/tokens/"+id+"/rotate", fields{})); l != "aal1" {
		t.Errorf("rotated in a session of one factor, a token has the level %s", l)
	}
}

// A stream ends when its session loses what the gate asks for, and others of the session go on.
func TestAStreamEndsWithTheSecondFactor(t *testing.T) {
	app := streamUpstream(t)
	proxy := "reverse_proxy /stream " + app.Listener.Addr().String()
	for name, c := range map[string]struct {
		site string
		ends bool
	}{
		"asked for":     {"gatehouse {\n\trequire mfa\n}\n" + proxy, true},
		"not asked for": {"gatehouse\n" + proxy, false},
	} {
		s := startAdmin(t, c.site)
		b := s.browser()
		b.signIn(adminName, adminPass)
		b.prove(proved{twoFactors, 0, 0})
		ended := openStream(t, s, b.cookie(), false)
		st, ctx := s.openStore(), context.Background()
		u, err := st.UserByUsername(ctx, adminName)
		if err == nil {
			err = st.Change(ctx, func(tx store.Tx) error {
				return tx.SetSessionLevels(ctx, u.ID, func(store.Session) store.SessionLevel { return store.SessionLevel{Methods: "pwd"} })
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		if !c.ends {
			eventually(t, "the level to be lost", func() bool { return strings.Contains(b.fetch("/_auth/api/v1/session").body, `"acr":"aal1"`) })
			select {
			case <-ended:
				t.Errorf("%s: the stream ended", name)
			default:
			}
			continue
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the stream goes on", name)
		}
		if a := b.fetch("/x"); a.StatusCode != http.StatusForbidden || b.fetch("/_auth/api/v1/session").StatusCode != 200 {
			t.Errorf("%s: afterwards: %d", name, a.StatusCode)
		}
	}
}
