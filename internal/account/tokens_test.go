package account_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// newTokenWorld returns a world with tokens, an administrator "ada", the people "tom" and "eve", and a service "ci".
func newTokenWorld(t *testing.T, limits account.TokenLimits) (w *world, ci store.User) {
	t.Helper()
	w = newWorld(t)
	w.Tokens = &limits
	w.add("ada", store.RoleAdmin)
	w.add("tom", store.RoleUser)
	w.add("eve", store.RoleUser)
	ci, _, err := w.Create(w.ctx, operator, account.NewUser{Kind: store.KindService, Username: "ci", Active: true})
	if err != nil {
		t.Fatal(err)
	}
	return w, ci
}

func (w *world) signedIn(username string) account.Actor {
	w.t.Helper()
	_, _, a := w.signIn(username, goodPass)
	return a
}

var anyToken = account.NewToken{Name: "laptop", Hosts: []string{"app.test"}}

// own makes a token of the actor.
func (w *world) own(a account.Actor, n account.NewToken) account.IssuedToken {
	w.t.Helper()
	made, err := w.Programs.CreateOwn(w.ctx, a, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// stored returns a token as the store has it, and whether it is there.
func (w *world) stored(id string) (store.Token, bool) {
	w.t.Helper()
	token, _, err := w.Store.Token(w.ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	return token, err == nil
}

// Who may do what with whose tokens; what is refused changes nothing.
func TestTokensAreTheirOwnersOrAnAdministrators(t *testing.T) {
	t.Parallel()
	w, ci := newTokenWorld(t, account.DefaultTokenLimits)
	ada, tom, eve := w.signedIn("ada"), w.signedIn("tom"), w.signedIn("eve")
	toms := w.own(tom, anyToken)
	cis, err := w.Programs.Create(w.ctx, ada, ci.ID, anyToken)
	if err != nil {
		t.Fatal(err)
	}
	program := tom // what a token could ask with: there is no session of it
	program.SessionID = toms.ID
	for name, err := range map[string]error{
		"another's":                w.Programs.RevokeOwn(w.ctx, eve, toms.ID),
		"a service account's":      w.Programs.RevokeOwn(w.ctx, eve, cis.ID),
		"another's, rotate":        second(w.Programs.RotateOwn(w.ctx, eve, toms.ID, 0)),
		"an administrator's own":   w.Programs.RevokeOwn(w.ctx, ada, toms.ID),
		"unknown":                  w.Programs.RevokeOwn(w.ctx, tom, "x"),
		"unknown to administrator": w.Programs.Revoke(w.ctx, ada, "x"),
		"rotate unknown":           second(w.Programs.Rotate(w.ctx, ada, "x", 0)),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"no administrator, revoke":          {w.Programs.Revoke(w.ctx, eve, toms.ID), account.CodeRole},
		"no administrator, revoke unknown":  {w.Programs.Revoke(w.ctx, eve, "x"), account.CodeRole},
		"no administrator, rotate":          {second(w.Programs.Rotate(w.ctx, tom, cis.ID, 0)), account.CodeRole},
		"no administrator, create":          {second(w.Programs.Create(w.ctx, tom, ci.ID, anyToken)), account.CodeRole},
		"a person's, create":                {second(w.Programs.Create(w.ctx, ada, tom.UserID, anyToken)), account.CodeNotService},
		"an administrator's own, create":    {second(w.Programs.Create(w.ctx, ada, ada.UserID, anyToken)), account.CodeNotService},
		"a person's, rotate":                {second(w.Programs.Rotate(w.ctx, ada, toms.ID, 0)), account.CodeNotService},
		"a program, create":                 {second(w.Programs.CreateOwn(w.ctx, program, anyToken)), account.CodeSignedOut},
		"a program, revoke":                 {w.Programs.RevokeOwn(w.ctx, program, toms.ID), account.CodeSignedOut},
		"a program, rotate":                 {second(w.Programs.RotateOwn(w.ctx, program, toms.ID, 0)), account.CodeSignedOut},
		"a program, for a service account":  {second(w.Programs.Create(w.ctx, program, ci.ID, anyToken)), account.CodeSignedOut},
		"nobody":                            {second(w.Programs.CreateOwn(w.ctx, account.Actor{}, anyToken)), account.CodeSignedOut},
		"the command line, as its own, too": {second(w.Programs.CreateOwn(w.ctx, operator, anyToken)), account.CodeSignedOut},
	} {
		if code(c.err) != c.code {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	w.clock.Advance(account.FreshWindow)
	for name, err := range map[string]error{
		"create": second(w.Programs.CreateOwn(w.ctx, tom, anyToken)), "revoke": w.Programs.RevokeOwn(w.ctx, tom, toms.ID),
		"rotate":               second(w.Programs.RotateOwn(w.ctx, tom, toms.ID, 0)),
		"create for a program": second(w.Programs.Create(w.ctx, ada, ci.ID, anyToken)), "revoke any": w.Programs.Revoke(w.ctx, ada, toms.ID),
		"rotate any": second(w.Programs.Rotate(w.ctx, ada, cis.ID, 0)),
	} {
		if code(err) != account.CodeReauth {
			t.Errorf("%s, long after the sign-in: %v", name, err)
		}
	}
	for _, id := range []string{toms.ID, cis.ID} {
		if token, there := w.stored(id); !there || token.ReplacedBy != "" {
			t.Errorf("%s has changed", id)
		}
	}
	if err := w.Programs.Revoke(w.ctx, w.signedIn("ada"), toms.ID); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// A refusal is in the audit log about the account that it was about, as far as the actor may know it: whoever may not
// act on a token is not told whose it is.
func TestARefusedActOnATokenIsAuditedAboutItsAccount(t *testing.T) {
	t.Parallel()
	w, ci := newTokenWorld(t, account.DefaultTokenLimits)
	ada, tom, eve := w.signedIn("ada"), w.signedIn("tom"), w.signedIn("eve")
	toms := w.own(tom, anyToken)
	check := func(name string, err error, action string, actor account.Actor, targetID, target string) {
		t.Helper()
		e := w.events(store.EventQuery{Outcome: store.Denied})[0]
		if err == nil || e.Action != action || e.ActorID != actor.UserID || e.TargetID != targetID || e.Target != target {
			t.Errorf("%s: %v; %s by %s about %q %q", name, err, e.Action, e.Actor, e.TargetID, e.Target)
		}
		w.clock.Advance(time.Second) // so that the next one is the newest
	}
	check("for a service account", second(w.Programs.Create(w.ctx, eve, ci.ID, anyToken)), "token.create", eve, ci.ID, "")
	check("for a person", second(w.Programs.Create(w.ctx, ada, tom.UserID, anyToken)), "token.create", ada, tom.UserID, "tom")
	check("a person's, rotate", second(w.Programs.Rotate(w.ctx, ada, toms.ID, 0)), "token.rotate", ada, tom.UserID, "tom")
	check("no administrator, revoke", w.Programs.Revoke(w.ctx, eve, toms.ID), "token.revoke", eve, "", "")
	check("no administrator, rotate", second(w.Programs.Rotate(w.ctx, eve, toms.ID, 0)), "token.rotate", eve, "", "")
	w.clock.Advance(account.FreshWindow)
	check("another's, revoke", w.Programs.RevokeOwn(w.ctx, eve, toms.ID), "token.revoke", eve, "", "")
	check("another's, rotate", second(w.Programs.RotateOwn(w.ctx, eve, toms.ID, 0)), "token.rotate", eve, "", "")
	check("one's own, create", second(w.Programs.CreateOwn(w.ctx, eve, anyToken)), "token.create", eve, eve.UserID, "eve")
}

// A token lives within the limits of today, and an account has so many.
func TestTokensStayWithinTheirLimits(t *testing.T) {
	t.Parallel()
	w, ci := newTokenWorld(t, account.TokenLimits{Expiry: time.Hour, MaxExpiry: 48 * time.Hour, PerUser: 2})
	tom, now := w.signedIn("tom"), w.clock.Now()
	for name, c := range map[string]struct {
		change func(*account.NewToken)
		field  string
	}{
		"never":             {func(n *account.NewToken) { n.Never = true }, "expires_in"},
		"long":              {func(n *account.NewToken) { n.Expires = 48*time.Hour + 1 }, "expires_in"},
		"negative":          {func(n *account.NewToken) { n.Expires = -1 }, "expires_in"},
		"until, long":       {func(n *account.NewToken) { n.Until = now.Add(49 * time.Hour) }, "expires_at"},
		"until now":         {func(n *account.NewToken) { n.Until = now }, "expires_at"},
		"until far":         {func(n *account.NewToken) { n.Until = now.AddDate(5000, 0, 0) }, "expires_at"},
		"no name":           {func(n *account.NewToken) { n.Name = " " }, "name"},
		"a long name":       {func(n *account.NewToken) { n.Name = strings.Repeat("ä", 101) }, "name"},
		"a hidden name":     {func(n *account.NewToken) { n.Name = "a\u202eb" }, "name"},
		"no host":           {func(n *account.NewToken) { n.Hosts = nil }, "hosts"},
		"many hosts":        {func(n *account.NewToken) { n.Hosts = strings.Split(strings.Repeat("a.test,", 20)+"b.test", ",") }, ""},
		"too many hosts":    {func(n *account.NewToken) { n.Hosts = manyHosts(21) }, "hosts"},
		"a port":            {func(n *account.NewToken) { n.Hosts = []string{"a.test:1"} }, "hosts"},
		"no path rule":      {func(n *account.NewToken) { n.Paths = []string{"a"} }, "paths"},
		"an unknown method": {func(n *account.NewToken) { n.Methods = "GET" }, "methods"},
	} {
		n := anyToken
		c.change(&n)
		made, err := w.Programs.CreateOwn(w.ctx, tom, n)
		if c.field == "" && err == nil {
			err = w.Programs.RevokeOwn(w.ctx, tom, made.ID)
		}
		if c.field != "" && field(err, c.field) == "" || c.field == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := anyToken
	n.Expires = time.Second
	short := w.own(tom, n)
	if kept := w.own(tom, anyToken); !kept.ExpiresAt.Equal(now.Add(time.Hour)) {
		t.Errorf("without an end it ends at %v", kept.ExpiresAt)
	}
	if _, err := w.Programs.CreateOwn(w.ctx, tom, anyToken); code(err) != account.CodeTokenLimit {
		t.Errorf("one too many: %v", err)
	}
	if _, err := w.Programs.RotateOwn(w.ctx, tom, short.ID, time.Hour); err != nil {
		t.Errorf("a replaced one counts: %v", err)
	}
	w.clock.Advance(2 * time.Second) // both of them have ended
	w.own(tom, anyToken)
	w.Tokens.NoExpiry = account.NoExpiryForServices
	n = account.NewToken{Name: "x", Hosts: []string{"*"}, Never: true}
	if _, err := w.Programs.CreateOwn(w.ctx, w.signedIn("eve"), n); field(err, "expires_in") == "" {
		t.Errorf("a person's without an end: %v", err)
	}
	if made, err := w.Programs.Create(w.ctx, operator, ci.ID, n); err != nil || !made.ExpiresAt.IsZero() {
		t.Errorf("a service account's without an end: %v %v", made.ExpiresAt, err)
	}
	w.Tokens = nil
	if _, err := w.Programs.Create(w.ctx, operator, ci.ID, n); code(err) != account.CodeTokensOff {
		t.Errorf("without tokens: %v", err)
	}
}

func manyHosts(n int) (list []string) {
	for i := range n {
		list = append(list, string(rune('a'+i))+".test")
	}
	return list
}

// A successor has the scope and the length of life of the one that it replaces; that one lives no longer than before,
// and ends with it.
func TestARotatedTokenGoesOnAsBefore(t *testing.T) {
	t.Parallel()
	w, _ := newTokenWorld(t, account.DefaultTokenLimits)
	tom := w.signedIn("tom")
	first := w.own(tom, account.NewToken{Name: "ci", Hosts: []string{"*.a.test"}, Paths: []string{"/x/*"}, Methods: store.TokenRead, Expires: 2 * time.Hour})
	w.clock.Advance(5 * time.Minute)
	tom = w.signedIn("tom")
	second, err := w.Programs.RotateOwn(w.ctx, tom, first.ID, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	now := w.clock.Now()
	if second.ID == first.ID || second.Text == first.Text || second.Name != "ci" || second.Hosts[0] != "*.a.test" || second.Paths[0] != "/x/*" ||
		second.Methods != store.TokenRead || second.Level != first.Level || !second.ExpiresAt.Equal(now.Add(2*time.Hour)) || !second.LastUsedAt.IsZero() {
		t.Errorf("it became %+v", second.Token)
	}
	if old, _ := w.stored(first.ID); !old.ExpiresAt.Equal(first.ExpiresAt) || old.ReplacedBy != second.ID {
		t.Errorf("the old one lives until %v, not %v", old.ExpiresAt, first.ExpiresAt)
	}
	if _, err := w.Programs.RotateOwn(w.ctx, tom, first.ID, 0); !errors.Is(err, store.ErrStale) {
		t.Errorf("the old one again: %v", err)
	}
	for _, keep := range []time.Duration{-1, account.MaxTokenKeep + 1} {
		if _, err := w.Programs.RotateOwn(w.ctx, tom, second.ID, keep); field(err, "keep") == "" {
			t.Errorf("kept for %v: %v", keep, err)
		}
	}
	w.Tokens.MaxExpiry = time.Hour
	third, err := w.Programs.RotateOwn(w.ctx, tom, second.ID, time.Minute)
	if err != nil || !third.ExpiresAt.Equal(now.Add(time.Hour)) {
		t.Errorf("with a stricter limit it lives until %v: %v", third.ExpiresAt, err)
	}
	if err := w.Programs.RevokeOwn(w.ctx, tom, third.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first.ID, second.ID, third.ID} {
		if _, there := w.stored(id); there {
			t.Errorf("%s outlives the one that replaced it", id)
		}
	}
	last := w.own(tom, account.NewToken{Name: "x", Hosts: []string{"*"}, Expires: time.Minute})
	w.clock.Advance(time.Minute)
	if _, err := w.Programs.RotateOwn(w.ctx, tom, last.ID, 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an expired one: %v", err)
	}
}

// What takes an account from whoever has it takes a person's tokens along and says how many; the person's own acts and
// those about a service account leave them.
func TestWhatTakesTokensAlongSaysSo(t *testing.T) {
	t.Parallel()
	off := false
	for name, c := range map[string]struct {
		act    func(w *world, u store.User) error
		action string // whose event tells of it; "" where the tokens stay
	}{
		"deactivated": {func(w *world, u store.User) error {
			return second(w.Update(w.ctx, operator, u.ID, account.Patch{Active: &off}))
		}, "user.update"},
		"deleted": {func(w *world, u store.User) error { return w.Delete(w.ctx, operator, u.ID) }, "user.delete"},
		"a new password": {func(w *world, u store.User) error {
			return second(w.ResetPassword(w.ctx, operator, u.ID, account.Reset{Password: otherPass}))
		}, "password.reset"},
		"blocked, with a link": {func(w *world, u store.User) error {
			return second(w.ResetPassword(w.ctx, operator, u.ID, account.Reset{BlockNow: true}))
		}, "link.create"},
		"a used link": {func(w *world, u store.User) error {
			w.redeem(w.resetLink(u.ID, account.Reset{}).Token, otherPass)
			return nil
		}, "link.use"},
		"access taken back": {func(w *world, u store.User) error {
			return second(w.RevokeAccess(w.ctx, operator, u.ID, true))
		}, "session.end_all"},
		"a link that is not used": {func(w *world, u store.User) error {
			return second(w.ResetPassword(w.ctx, operator, u.ID, account.Reset{}))
		}, ""},
		"sessions ended":       {func(w *world, u store.User) error { return second(w.EndSessions(w.ctx, operator, u.ID)) }, ""},
		"a change is required": {func(w *world, u store.User) error { return w.RequirePasswordChange(w.ctx, operator, u.ID) }, ""},
		"one's own new password": {func(w *world, _ store.User) error {
			_, live, a := w.signIn("tom", goodPass)
			return second(w.ChangeOwnPassword(w.ctx, a, live, goodPass, otherPass, true))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, ci := newTokenWorld(t, account.DefaultTokenLimits)
			tom := w.signedIn("tom")
			ids := []string{w.own(tom, anyToken).ID, w.own(tom, anyToken).ID}
			service, err := w.Programs.Create(w.ctx, operator, ci.ID, anyToken)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.act(w, w.user(tom.UserID)); err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if _, there := w.stored(id); there != (c.action == "") {
					t.Errorf("a token is there: %v", there)
				}
			}
			if _, there := w.stored(service.ID); !there {
				t.Error("so has the token of somebody else")
			}
			said := ""
			for _, e := range w.events(store.EventQuery{}) {
				if e.Details["tokens_revoked"] == "2" {
					said += e.Action
				} else if e.Details["tokens_revoked"] != "" {
					t.Errorf("%s tells of %s", e.Action, e.Details["tokens_revoked"])
				}
			}
			if said != c.action {
				t.Errorf("%q says so, not %q", said, c.action)
			}
			if _, err := w.Update(w.ctx, operator, ci.ID, account.Patch{Active: &off}); err != nil {
				t.Fatal(err)
			}
			if _, there := w.stored(service.ID); !there {
				t.Error("a service account that is off has lost its token")
			}
		})
	}
}
