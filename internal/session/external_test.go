package session_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// addService adds an active service account.
func (f *fixture) addService(t *testing.T, name string) store.User {
	t.Helper()
	now := f.clock.Now()
	u := store.User{
		ID: store.NewID(now), Kind: store.KindService, Username: name, Role: store.RoleUser, Active: true,
		Origin: store.OriginLocal, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	f.change(t, func(tx store.Tx) error { return tx.CreateUser(t.Context(), u) })
	return u
}

func (f *fixture) external(account string) *session.External {
	now := f.clock.Now()
	return &session.External{
		Account: account, ID: "ci:0123", Hash: sha256.Sum256([]byte(account)), Expires: now.Add(time.Hour),
		Until: now.Add(time.Hour + time.Minute),
	}
}

// A credential that was verified elsewhere, such as a JWT, is worth what its account is worth at that moment.
func TestAnExternalCredentialActsAsAnActiveServiceAccountOnly(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	deploy := f.addService(t, "deploy")
	resolve := func(x *session.External) (*session.Live, error) {
		l, _, err := f.m.ResolveExternal(t.Context(), x, 0)
		return l, err
	}
	x := f.external("deploy")
	l, err := resolve(x)
	if err != nil || l.User.ID != deploy.ID || l.Token == nil || l.Session.Method != session.MethodToken ||
		l.Token.ID != "ci:0123" {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, name := range []string{"ada", "nobody", ""} { // ada is a person
		if l, err := resolve(f.external(name)); !errors.Is(err, session.ErrNone) {
			t.Errorf("%q: %+v, %v", name, l, err)
		}
	}
	for what, c := range map[string]struct{ off, on func(u *store.User) }{
		"off":     {func(u *store.User) { u.Active = false }, func(u *store.User) { u.Active = true }},
		"renamed": {func(u *store.User) { u.Username = "other" }, func(u *store.User) { u.Username = "deploy" }},
	} {
		f.change(t, func(tx store.Tx) error { return changeUser(t.Context(), tx, deploy.ID, c.off) })
		if _, err := resolve(x); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: %v", what, err)
		}
		f.change(t, func(tx store.Tx) error { return changeUser(t.Context(), tx, deploy.ID, c.on) })
		if _, err := resolve(x); err != nil {
			t.Errorf("no longer %s: %v", what, err)
		}
	}
	f.change(t, func(tx store.Tx) error { return tx.DeleteUser(t.Context(), deploy.ID) })
	if _, err := resolve(x); !errors.Is(err, session.ErrNone) {
		t.Errorf("deleted: %v", err)
	}
	again := f.addService(t, "deploy")
	if l, err := resolve(x); err != nil || l.User.ID != again.ID {
		t.Errorf("made again: %v", err)
	}
	f.clock.Advance(time.Hour + 59*time.Second)
	if _, err := resolve(x); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
	f.clock.Advance(time.Second)
	if _, err := resolve(x); !errors.Is(err, session.ErrNone) {
		t.Errorf("expired: %v", err)
	}
}

// The same text may act as another account after a reload: what was cached for one is not the other.
func TestAnExternalCredentialIsCachedForItsAccountOnly(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	a, b := f.addService(t, "a"), f.addService(t, "b")
	x, y := f.external("a"), f.external("a")
	y.Account = "b"
	for range 2 {
		for want, x := range map[string]*session.External{a.ID: x, b.ID: y} {
			if l, _, err := f.m.ResolveExternal(t.Context(), x, 0); err != nil || l.User.ID != want {
				t.Errorf("%+v: %v", l, err)
			}
		}
	}
}

func TestStreamsOfAnExternalCredentialEndWithItsAccountAndItself(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	u := f.addService(t, "deploy")
	for _, c := range []struct {
		what string
		end  func()
	}{
		{"turned off", func() {
			f.change(t, func(tx store.Tx) error {
				return changeUser(t.Context(), tx, u.ID, func(u *store.User) { u.Active = false })
			})
		}},
		{"expired", func() { f.clock.Advance(2 * time.Hour) }},
		{"made anew under its name", func() { // the last one
			f.change(t, func(tx store.Tx) error {
				err := changeUser(t.Context(), tx, u.ID, func(u *store.User) { u.Username = "deploy of before" })
				if err != nil {
					return err
				}
				return tx.CreateUser(t.Context(), store.User{
					ID: store.NewID(f.clock.Now()), Kind: store.KindService, Username: "deploy", Role: store.RoleUser, Active: true,
					Origin: store.OriginLocal, CreatedAt: f.clock.Now(),
				})
			})
		}},
	} {
		f.change(t, func(tx store.Tx) error {
			return changeUser(t.Context(), tx, u.ID, func(u *store.User) { u.Active = true })
		})
		l, _, err := f.m.ResolveExternal(t.Context(), f.external("deploy"), 0)
		if err != nil {
			t.Fatal(err)
		}
		fl := new(session.Follower)
		ctx := f.m.Follow(t.Context(), l, fl)
		f.change(t, func(tx store.Tx) error { // what concerns the account and ends nothing
			return changeUser(t.Context(), tx, u.ID, func(u *store.User) { u.Name = c.what })
		})
		c.end()
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the stream goes on", c.what)
		}
		fl.Release()
	}
}
