package login_test

import (
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestPasswordsAreAcceptedByTheRule(t *testing.T) {
	t.Parallel()
	var zero login.Passwords
	for _, c := range []struct {
		rule            login.Passwords
		anyone, managed bool
	}{{zero, false, false}, {login.ManagedPasswords, false, true}, {login.AllPasswords, true, true}, {77, false, false}} {
		if got := c.rule.Of(store.User{ID: "x", PasswordHash: "y"}); got != c.anyone {
			t.Errorf("rule %d, anyone: %t", c.rule, got)
		}
		if got := c.rule.Of(store.User{Managed: true}); got != c.managed {
			t.Errorf("rule %d, the managed root: %t", c.rule, got)
		}
		if c.rule.Has(store.User{Managed: true}) || c.rule.Has(store.User{Managed: true, PasswordHash: "y"}) != c.managed {
			t.Errorf("rule %d: a password that there is not, or not the one there is", c.rule)
		}
	}
}

// Whether it is checked at the sign-in, by a person who is signed in, or was checked before the rule came.
func TestAPasswordThatIsNotAcceptedSignsNobodyInAndConfirmsNothing(t *testing.T) {
	t.Parallel()
	for _, managed := range []bool{false, true} {
		w := newWorld(t)
		w.Limits.FreeAttempts = 100
		if err := w.Store.Change(t.Context(), func(tx store.Tx) error {
			u, err := tx.User(t.Context(), w.user.ID)
			if err != nil {
				return err
			}
			u.Managed = managed
			w.user, err = tx.UpdateUser(t.Context(), u)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		c := login.Client{}
		early, err := w.CheckPassword(t.Context(), c, "ada", right)
		if err != nil {
			t.Fatal(err)
		}
		in, err := w.SignIn(t.Context(), c, early, login.SignInOptions{Method: login.MethodLocal})
		if err != nil {
			t.Fatal(err)
		}
		live, err := w.Sessions.Peek(t.Context(), in.Token)
		if err != nil {
			t.Fatal(err)
		}
		for name, way := range waysToUseAPassword(w, c, early, live) {
			w.Passwords = login.NoPasswords
			if err := way(); !errors.Is(err, login.ErrInvalidCredentials) {
				t.Errorf("managed %t, %s, without a rule: %v", managed, name, err)
			}
			w.Passwords = login.ManagedPasswords
			err := way()
			if managed && err != nil || !managed && !errors.Is(err, login.ErrInvalidCredentials) {
				t.Errorf("managed %t, %s: %v", managed, name, err)
			}
		}
	}
}

func waysToUseAPassword(w *world, c login.Client, early login.Proof, live *session.Live) map[string]func() error {
	ctx := w.t.Context()
	return map[string]func() error{
		"sign-in": func() error { _, err := w.CheckPassword(ctx, c, "ada", right); return err },
		"confirm": func() error { _, err := w.Reverify(ctx, c, w.user, right); return err },
		"a session for an earlier check": func() error {
			_, err := w.SignIn(ctx, c, early, login.SignInOptions{Method: login.MethodLocal})
			return err
		},
		"a step-up for an earlier check": func() error { _, err := w.StepUp(ctx, c, early, live); return err },
	}
}
