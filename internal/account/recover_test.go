package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ways is everything in the store that gives access to an account.
type ways struct {
	session, browser, link, flow, identity, token, half bool
}

const knownBrowser = "browser"

// open gives an account every kind of access, as an attacker would; link is the state of the store's link.
func (w *world) open(u store.User) (look func() ways) {
	w.t.Helper()
	now := w.clock.Now()
	flow := store.Flow{
		Hash: store.HashToken("flow " + u.ID), Browser: store.HashToken("b"), UserID: u.ID, Purpose: "link",
		CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	link := store.Link{
		ID: store.NewID(now), Hash: store.HashToken("link " + u.ID), Purpose: store.LinkPassword,
		UserID: u.ID, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	half := store.HalfLogin{
		ID: store.NewID(now), Hash: store.HashToken("half " + u.ID), UserID: u.ID, Purpose: store.HalfLoginVerify,
		CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	w.change(func(tx store.Tx) error {
		return errors.Join(tx.CreateFlow(w.ctx, flow), tx.CreateLink(w.ctx, link), tx.CreateHalfLogin(w.ctx, half),
			tx.PutDevice(w.ctx, store.HashToken(knownBrowser+u.ID), u.ID, now, now.Add(time.Hour)),
			tx.CreateToken(w.ctx, store.Token{
				ID: "token of " + u.ID, Hash: store.HashToken("token " + u.ID), UserID: u.ID, Hosts: []string{store.AllHosts},
				Methods: store.TokenAll, CreatedAt: now,
			}))
	})
	w.link(u, "intruder")
	token, _, _ := w.signIn(u.Username, goodPass)
	return func() ways {
		w.t.Helper()
		out := ways{session: w.lives(token)}
		known, err := w.Store.KnownDevice(w.ctx, store.HashToken(knownBrowser+u.ID), u.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		ids, err := w.Store.Identities(w.ctx, u.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		out.browser, out.identity = known, len(ids) > 0
		_, out.token = w.stored("token of " + u.ID)
		_, _, err = w.Store.HalfLogin(w.ctx, half.Hash)
		out.half = err == nil
		if l, err := w.Store.Link(w.ctx, link.Hash); err == nil {
			out.link = l.CancelledAt.IsZero()
		}
		err = w.Store.Change(w.ctx, func(tx store.Tx) error { // not taken: rolled back
			_, err := tx.TakeFlow(w.ctx, flow.Hash, w.clock.Now())
			out.flow = err == nil
			return errRollback
		})
		if !errors.Is(err, errRollback) {
			w.t.Fatal(err)
		}
		return out
	}
}

var errRollback = errors.New("roll back")

func (w *world) link(u store.User, subject string) store.Identity {
	w.t.Helper()
	id := store.Identity{
		Issuer: "https://idp", Subject: subject, UserID: u.ID, Provider: "corp",
		Groups: []string{"theirs"}, CreatedAt: w.clock.Now(),
	}
	w.change(func(tx store.Tx) error { return tx.CreateIdentity(w.ctx, id) })
	return id
}

// Each action that recovers an account, and the access that it leaves.
func TestRecoveryRevokesAllAccess(t *testing.T) {
	t.Parallel()
	left := ways{identity: true}
	for name, c := range map[string]struct {
		act  func(w *world, a account.Actor, u store.User) error
		want ways
	}{
		"a password from an administrator": {func(w *world, a account.Actor, u store.User) error {
			_, err := w.ResetPassword(w.ctx, a, u.ID, account.Reset{Password: otherPass})
			return err
		}, left},
		"a password, providers unlinked": {func(w *world, a account.Actor, u store.User) error {
			_, err := w.ResetPassword(w.ctx, a, u.ID, account.Reset{Password: otherPass, Identities: true})
			return err
		}, ways{}},
		"a link that blocks, providers unlinked": {func(w *world, a account.Actor, u store.User) error {
			_, err := w.ResetPassword(w.ctx, a, u.ID, account.Reset{BlockNow: true, Identities: true})
			return err
		}, ways{}},
		"from the command line": {func(w *world, _ account.Actor, u store.User) error {
			_, err := w.ResetPassword(w.ctx, operator, u.ID, account.Reset{Password: otherPass, Identities: true})
			return err
		}, ways{}},
		"a link that was used": {func(w *world, a account.Actor, u store.User) error {
			link, err := w.ResetPassword(w.ctx, a, u.ID, account.Reset{})
			if err != nil {
				return err
			}
			_, err = w.RedeemLink(w.ctx, login.Client{}, link.Token, account.LinkForm{Password: otherPass})
			return err
		}, ways{}}, // linked just before the one-time link was created
		"sessions ended": {func(w *world, a account.Actor, u store.User) error {
			_, err := w.EndSessions(w.ctx, a, u.ID)
			return err
		}, ways{link: true, identity: true, token: true}},
		"sessions ended, providers unlinked": {func(w *world, a account.Actor, u store.User) error {
			_, err := w.RevokeAccess(w.ctx, a, u.ID, true)
			return err
		}, ways{link: true}},
		"turned off": {func(w *world, a account.Actor, u store.User) error {
			_, err := w.Update(w.ctx, a, u.ID, account.Patch{Active: ptr(false)})
			return err
		}, left},
		"deleted": {func(w *world, a account.Actor, u store.User) error { return w.Delete(w.ctx, a, u.ID) }, ways{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add("root", store.RoleAdmin)
			ada := w.add("ada", store.RoleUser)
			look := w.open(ada)
			if all := (ways{true, true, true, true, true, true, true}); look() != all {
				t.Fatalf("to begin with: %+v", look())
			}
			_, _, a := w.signIn("root", goodPass)
			if err := c.act(w, a, ada); err != nil {
				t.Fatal(err)
			}
			if got := look(); got != c.want {
				t.Errorf("left: %+v, want %+v", got, c.want)
			}
		})
	}
}

// Users who end their other sessions keep their own browser, and their own identities.
func TestSigningOthersOutForgetsTheirBrowsers(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(w *world, a account.Actor) error{
		"others":     func(w *world, a account.Actor) error { _, err := w.EndOtherSessions(w.ctx, a); return err },
		"everywhere": func(w *world, a account.Actor) error { return w.EndAllOwnSessions(w.ctx, a) },
	} {
		w := newWorld(t)
		ada := w.add("ada", store.RoleUser)
		look := w.open(ada)
		_, _, a := w.signIn("ada", goodPass)
		own := store.NewToken()
		a.Client.Devices = []string{own}
		w.change(func(tx store.Tx) error {
			return tx.PutDevice(w.ctx, store.HashToken(own), ada.ID, w.clock.Now(), w.clock.Now().Add(time.Hour))
		})
		if err := act(w, a); err != nil {
			t.Fatal(err)
		}
		if got := look(); got != (ways{link: true, identity: true, token: true}) {
			t.Errorf("%s: left %+v", name, got)
		}
		if known, err := w.Store.KnownDevice(w.ctx, store.HashToken(own), ada.ID); err != nil || !known {
			t.Errorf("%s: the own browser is not known any more: %v", name, err)
		}
	}
}

// Identities that were linked after a reset link was created are unlinked when it is used; older ones stay.
func TestIdentitiesLinkedDuringAResetAreUnlinked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	w.link(ada, "own")
	w.clock.Advance(time.Minute)
	link := w.resetLink(ada.ID, account.Reset{})
	w.clock.Advance(time.Minute)
	w.link(ada, "intruder")
	if _, err := w.RedeemLink(w.ctx, login.Client{}, link.Token, account.LinkForm{Password: otherPass}); err != nil {
		t.Fatal(err)
	}
	ids, err := w.Store.Identities(w.ctx, ada.ID)
	if err != nil || len(ids) != 1 || ids[0].Subject != "own" {
		t.Errorf("%+v, %v", ids, err)
	}
}

// Administrators unlink and move identities; their sessions end and their groups are removed.
func TestAdministratorsUnlinkAndMoveIdentities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada, old := w.add("ada", store.RoleUser), w.add("old", store.RoleUser)
	_, _, a := w.signIn("root", goodPass)
	id := w.link(ada, "s")
	w.edit(ada.ID, func(u *store.User) { u.Groups, u.ProvidedGroups = []string{"given", "theirs"}, []string{"theirs"} })
	in, err := w.Login.SignIn(w.ctx, browser, login.Proof{User: w.user(ada.ID)},
		login.SignInOptions{Method: "oidc", Provider: "corp", Issuer: id.Issuer, Subject: id.Subject})
	if err != nil {
		t.Fatal(err)
	}
	own, _, person := w.signIn("ada", goodPass)
	for name, err := range map[string]error{
		"no administrator": w.UnlinkIdentity(w.ctx, person, ada.ID, id.ID()),
		"a move by none":   w.MoveIdentity(w.ctx, person, ada.ID, id.ID(), old.ID),
	} {
		if code(err) != account.CodeRole {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"of another account": w.UnlinkIdentity(w.ctx, a, old.ID, id.ID()), "unknown": w.UnlinkIdentity(w.ctx, a, ada.ID, "x"),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var invalid *account.InvalidError
	if err := w.MoveIdentity(w.ctx, a, ada.ID, id.ID(), "nobody"); !errors.As(err, &invalid) {
		t.Errorf("to nobody: %v", err)
	}
	managed := w.add("boss", store.RoleAdmin)
	w.edit(managed.ID, func(u *store.User) { u.Managed = true })
	if err := w.MoveIdentity(w.ctx, operator, ada.ID, id.ID(), managed.ID); code(err) != account.CodeManaged {
		t.Errorf("to the managed root: %v", err)
	}
	if err := w.MoveIdentity(w.ctx, a, ada.ID, id.ID(), old.ID); err != nil {
		t.Fatal(err)
	}
	if w.lives(in.Token) || !w.lives(own) {
		t.Error("the wrong session ended")
	}
	if u := w.user(ada.ID); len(u.Groups) != 1 || u.Groups[0] != "given" {
		t.Errorf("groups %v", u.Groups)
	}
	if got, err := w.Store.Identity(w.ctx, id.Issuer, id.Subject); err != nil || got.UserID != old.ID ||
		len(got.Groups) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := w.UnlinkIdentity(w.ctx, a, old.ID, id.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.Identity(w.ctx, id.Issuer, id.Subject); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	for action, n := range map[string]int{"identity.move": 3, "identity.unlink": 2} {
		if got := w.events(store.EventQuery{Action: action}); len(got) != n {
			t.Errorf("%s was audited %d times, want %d: %+v", action, len(got), n, got)
		}
	}
}

// The owner of an address can be invited, even if a provider's user has it as a username.
func TestANameAtAProviderKeepsNobodyFromBeingInvited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := w.add("stranger", store.RoleUser)
	w.change(func(tx store.Tx) error { return tx.SetPassword(w.ctx, stranger.ID, store.PasswordChange{}) })
	w.edit(stranger.ID, func(u *store.User) {
		u.Username, u.Email, u.Local, u.Origin = "boss@corp.test", "", false, store.OriginOIDC
	})
	boss, _, err := w.Create(w.ctx, operator, account.NewUser{
		Username: "boss", Email: "boss@corp.test",
		Password: goodPass, Active: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Login.CheckPassword(w.ctx, browser, "boss@corp.test", goodPass)
	if err != nil || p.User.ID != boss.ID {
		t.Fatalf("%+v, %v", p.User, err)
	}
	if _, err := w.Update(w.ctx, operator, stranger.ID, account.Patch{Active: ptr(false)}); err != nil {
		t.Errorf("the stranger cannot be turned off: %v", err)
	}
	if _, err := w.ResetPassword(w.ctx, operator, stranger.ID, account.Reset{Password: otherPass}); !errors.Is(err,
		store.ErrConflict) {
		t.Errorf("with a password, the stranger would catch the owner's sign-ins: %v", err)
	}
}
