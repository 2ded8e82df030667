package seed

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// addOtherAccess adds all kinds of access besides the password to an account.
func (e *env) addOtherAccess(u store.User) (session string) {
	e.Helper()
	e.change(func(ctx context.Context, tx store.Tx) error {
		now := e.clock.Now()
		return errors.Join(
			tx.CreateIdentity(ctx, store.Identity{
				Issuer: "https://idp", Subject: u.Username, UserID: u.ID, Provider: "corp",
				Groups: []string{"theirs"},
			}),
			tx.PutDevice(ctx, store.HashToken("device"), u.ID, now, now.Add(time.Hour)),
			tx.CreateLink(ctx, store.Link{
				ID: store.NewID(now), Hash: store.HashToken("link " + u.ID),
				Purpose: store.LinkPassword, UserID: u.ID,
				CreatedAt: now, ExpiresAt: now.Add(time.Hour),
			}),
			tx.CreateFlow(ctx, store.Flow{
				Hash: store.HashToken("flow " + u.ID), Browser: store.HashToken("b"), UserID: u.ID,
				Purpose: "link", CreatedAt: now, ExpiresAt: now.Add(time.Hour),
			}),
			tx.CreateToken(ctx, store.Token{
				ID: "token of " + u.ID, Hash: store.HashToken("token " + u.ID), UserID: u.ID, Hosts: []string{store.AllHosts},
				Methods: store.TokenAll, CreatedAt: now,
			}))
	})
	return e.signIn(u.Username)
}

// mustHaveNoOtherAccess checks that only the password gives access.
func (e *env) mustHaveNoOtherAccess(u store.User, session string) {
	e.Helper()
	if ids, err := e.db.Identities(e.Context(), u.ID); err != nil || len(ids) > 0 {
		e.Errorf("identities %v, %v", ids, err)
	}
	if known, err := e.db.KnownDevice(e.Context(), store.HashToken("device"), u.ID); err != nil || known {
		e.Errorf("a browser is known: %v", err)
	}
	if l, err := e.db.Link(e.Context(), store.HashToken("link "+u.ID)); err != nil || l.CancelledAt.IsZero() {
		e.Errorf("a link works: %+v, %v", l, err)
	}
	if _, _, err := e.db.Token(e.Context(), "token of "+u.ID); !errors.Is(err, store.ErrNotFound) {
		e.Errorf("a program has a token: %v", err)
	}
	e.change(func(ctx context.Context, tx store.Tx) error {
		if _, err := tx.TakeFlow(ctx, store.HashToken("flow "+u.ID), e.clock.Now()); !errors.Is(err, store.ErrNotFound) {
			e.Errorf("a sign-in at a provider is under way: %v", err)
		}
		return nil
	})
	if session != "" && e.live(session) {
		e.Error("a session goes on")
	}
}

// An account that the environment takes over loses all other access.
func TestTakingOverAnAccountEndsOtherAccess(t *testing.T) {
	t.Parallel()
	force := vars{"ADMIN_PASSWORD": first, "ADMIN_PASSWORD_FORCE_SYNC": "true"}
	for name, c := range map[string]struct {
		mode          Mode
		vars          vars
		email         string
		other, before bool // there is another administrator; the environment created the account
	}{
		"managed, by e-mail":               {ModeManaged, rootVars, "Root@Example.com", false, false},
		"seed, by name, the first one":     {ModeSeed, vars{"ADMIN_PASSWORD": first}, "", false, false},
		"seed, by name, forced":            {ModeSeed, force, "", true, false},
		"managed, a rotation of the value": {ModeManaged, rootVars.with(vars{"ADMIN_PASSWORD": second}), "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			if c.other {
				e.add("other", "", second, isAdmin)
			}
			name := "root"
			if c.before {
				e.start(ModeManaged, rootVars)
			} else {
				name = e.add("admin", c.email, second, nil).Username
			}
			u := e.user(name)
			session := e.addOtherAccess(u)
			e.mustDescribe(c.mode, c.vars, unlinkedText)
			e.start(c.mode, c.vars)
			if u = e.user(name); !u.IsActiveAdmin() {
				t.Fatalf("%+v", u)
			}
			e.mustHaveNoOtherAccess(u, session)
			page, err := e.db.Events(t.Context(), store.EventQuery{Action: "identity.unlink"})
			if err != nil || len(page.Items) != 1 || page.Items[0].TargetID != u.ID || page.Items[0].Actor != "environment" {
				t.Errorf("audited %+v, %v", page.Items, err)
			}
			e.mustStartWithoutWrites(c.mode, c.vars)
		})
	}
}

// A passkey signs in alone, and an authenticator app keeps out whoever has the password: of an account that the
// environment takes over they go with everything else. Those of its own administrator stay, whatever it does to the
// password.
func TestTakingOverAnAccountTakesSecondFactors(t *testing.T) {
	t.Parallel()
	force := vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"}
	admin := func(u *store.User) { u.Role = store.RoleAdmin }
	made := func(u *store.User) { u.Role, u.Origin = store.RoleAdmin, store.OriginEnv }
	for name, c := range map[string]struct {
		mode Mode
		vars vars
		edit func(*store.User) // of the account before; nil: the deployment manages it
		pass string            // it has
		own  bool
	}{
		"managed, a user's":                 {ModeManaged, rootVars, func(*store.User) {}, second, false},
		"managed, with the same password":   {ModeManaged, rootVars, func(*store.User) {}, first, false},
		"managed, another administrator's":  {ModeManaged, rootVars, admin, second, false},
		"managed, that of the seed":         {ModeManaged, rootVars, made, second, true},
		"managed, a rotation":               {ModeManaged, rootVars.with(vars{"ADMIN_PASSWORD": second}), nil, "", true},
		"seed, a user's":                    {ModeSeed, vars{"ADMIN_PASSWORD": first}, func(*store.User) {}, second, false},
		"seed, a user's, forced":            {ModeSeed, force, func(*store.User) {}, first, false},
		"seed, the administrator's, forced": {ModeSeed, force, admin, first, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			username := "root"
			if c.edit == nil {
				e.start(ModeManaged, rootVars)
			} else {
				username = e.add("admin", "root@example.com", c.pass, c.edit).Username
			}
			if c.edit != nil && name == "seed, a user's, forced" {
				e.add("other", "", second, isAdmin)
			}
			u := e.user(username)
			session := e.addFactors(u)
			e.start(c.mode, c.vars)
			u = e.user(username)
			if !u.IsActiveAdmin() || u.Factors.Any() != c.own || u.Factors.Asked() != c.own {
				t.Errorf("the administrator %t has %+v, own %t", u.IsActiveAdmin(), u.Factors, c.own)
			}
			codes, err := e.db.RecoveryCodes(t.Context(), u.ID)
			if err != nil || (codes.Left > 0) != c.own {
				t.Errorf("recovery codes %+v, %v", codes, err)
			}
			if s, _, err := e.db.Session(t.Context(), session); err == nil && e.live(session) && (s.Methods == "pwd") == c.own {
				t.Errorf("a session goes on with %q", s.Methods)
			}
			e.mustStartWithoutWrites(c.mode, c.vars)
		})
	}
}

// addFactors gives an account all second factors, and a session that has proved them.
func (e *env) addFactors(u store.User) (session string) {
	e.Helper()
	session = e.signIn(u.Username)
	e.change(func(ctx context.Context, tx store.Tx) error {
		now := e.clock.Now()
		if _, err := tx.SetPasskeyHandleOnce(ctx, u.ID, "handle"); err != nil {
			return err
		}
		return errors.Join(
			tx.PutTOTP(ctx, store.TOTP{ID: "app", UserID: u.ID, Secret: "sealed", CreatedAt: now}),
			tx.ConfirmTOTP(ctx, u.ID, "app", "phone", 1, now),
			tx.CreatePasskey(ctx, store.Passkey{
				ID: "key", UserID: u.ID, RPID: "example.com", CredentialID: "c", PublicKey: []byte{1}, CreatedAt: now,
				PasskeyState: store.PasskeyState{UserVerified: true},
			}),
			tx.ReplaceRecoveryCodes(ctx, u.ID, []store.TokenHash{store.HashToken("code")}, now),
			tx.SetFactors(ctx, u.ID, store.Factors{Ask: true, Failures: store.MaxMFAFailures}),
			tx.SetSessionLevels(ctx, u.ID, func(store.Session) store.SessionLevel {
				return store.SessionLevel{Methods: "pwd otp pop user rc mfa", MFAAt: now}
			}))
	})
	return session
}

// An account from a provider is not taken over, whatever its username and e-mail address, verified or not, even if an
// administrator has set a password.
func TestProviderAccountsNeverBecomeTheAdministrator(t *testing.T) {
	t.Parallel()
	force := vars{"ADMIN_PASSWORD": first, "ADMIN_PASSWORD_FORCE_SYNC": "true"}
	for name, c := range map[string]struct {
		mode Mode
		vars vars
	}{"managed": {ModeManaged, rootVars}, "seed": {ModeSeed, force}} {
		for _, verified := range []bool{false, true} {
			for _, given := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, verified %t, given a password %t", name, verified, given), func(t *testing.T) {
					t.Parallel()
					e := newEnv(t)
					e.add("other", "", second, isAdmin)
					mallory := e.add("admin", "root@example.com", second, func(u *store.User) {
						u.Origin, u.EmailVerified, u.Local = store.OriginOIDC, verified, given
						if !given {
							u.PasswordHash = ""
						}
					})
					e.change(func(ctx context.Context, tx store.Tx) error {
						return tx.CreateIdentity(ctx, store.Identity{
							Issuer: "https://idp", Subject: "mallory", UserID: mallory.ID,
							Provider: "corp",
						})
					})
					res := e.start(c.mode, c.vars)
					e.mustSignInWith(res.Admin.Username, first)
					after, err := e.db.User(t.Context(), mallory.ID)
					if err != nil || after.Role != store.RoleUser || after.Managed || after.PasswordHash != mallory.PasswordHash ||
						res.Admin.ID == mallory.ID {
						t.Errorf("%+v, %v", after, err)
					}
					ids, err := e.db.Identities(t.Context(), mallory.ID)
					if err != nil || len(ids) != 1 {
						t.Errorf("identities %v, %v", ids, err)
					}
					if c.mode == ModeManaged {
						if u, err := e.db.UserByLogin(t.Context(), "root@example.com"); err != nil || u.ID != res.Admin.ID || !u.Managed {
							t.Errorf("the address signs in to %+v, %v", u, err)
						}
					}
					e.mustStartWithoutWrites(c.mode, c.vars)
				})
			}
		}
	}
}

// A managed administrator that an earlier version took over from a provider loses its identities.
func TestManagedUnlinksIdentitiesOfAProviderAccount(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	u := e.add("mallory", "root@example.com", first, func(u *store.User) {
		u.Origin, u.Managed, u.Role, u.RoleGranted, u.EmailVerified = store.OriginOIDC, true, store.RoleAdmin, true, true
	})
	e.addOtherAccess(u)
	e.start(ModeManaged, rootVars)
	e.mustHaveNoOtherAccess(u, "")
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}
