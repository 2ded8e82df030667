package seed

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// One sub-test per row of the table for `admin seed`.
func TestSeed(t *testing.T) {
	t.Parallel()
	rows := map[string]func(e *env){
		"no administrator, password given: creates it":                        seedCreates,
		"no administrator, no password: starts and asks for set-up":           seedNeedsSetup,
		"administrator exists, ADMIN_PASSWORD differs: no write, one line":    seedIgnores,
		"administrator exists, ADMIN_PASSWORD is the same: no write, no line": seedMatches,
		"force sync, value not yet applied: applies it":                       seedForces,
		"force sync, ADMIN_USER absent: creates it":                           seedForceCreates,
		"force sync, same value again: no write, a later change stays":        seedForceOnce,
		"force sync at the first start counts as applied":                     seedForceAtFirstStart,
		"ADMIN_USER renamed, no flag: no write, a warning":                    seedRenamed,
		"force sync without a password: starts, no write, a warning":          seedForcesNothing,
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row(newEnv(t))
		})
	}
}

func seedCreates(e *env) {
	res := e.start(ModeSeed, vars{"ADMIN_PASSWORD": first, "ADMIN_EMAIL": "Root@Example.com", "ADMIN_NAME": "Rosa"})
	if res.Action != ActionCreated || res.NeedsSetup || res.Admin.Username != "admin" {
		e.Errorf("%+v", res)
	}
	e.mustSignInWith("admin", first)
	u := e.user("admin")
	if u.Email != "Root@Example.com" || !u.EmailVerified || u.Name != "Rosa" || !u.RoleGranted || u.Managed ||
		u.Origin != store.OriginEnv {
		e.Errorf("%+v", u)
	}
	if n := len(e.events("user.create")); n != 1 {
		e.Errorf("%d audit events", n)
	}
	e.mustStartWithoutWrites(ModeSeed, vars{
		"ADMIN_PASSWORD": first, "ADMIN_EMAIL": "Root@Example.com",
		"ADMIN_NAME": "Rosa",
	})
}

func seedNeedsSetup(e *env) {
	res := e.mustStartWithoutWrites(ModeSeed, vars{})
	if !res.NeedsSetup || e.countUsers() != 0 {
		e.Errorf("%+v, %d users", res, e.countUsers())
	}
	e.add("bob", "", second, nil)
	if res := e.mustStartWithoutWrites(ModeSeed, vars{}); !res.NeedsSetup {
		e.Error("an ordinary user counts as an administrator")
	}
	e.add("alice", "", second, isAdmin)
	if res := e.mustStartWithoutWrites(ModeSeed, vars{}); res.NeedsSetup || len(res.Warnings) > 0 {
		e.Errorf("with an administrator: %+v", res)
	}
}

func seedIgnores(e *env) {
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD": second})
	e.mustSignInWith("admin", first)
	e.mustLog(1, zap.WarnLevel, "ADMIN_PASSWORD is ignored")
	e.mustLog(1, zap.WarnLevel, "store already has an administrator")
	e.mustLog(1, zap.WarnLevel, "ADMIN_PASSWORD_FORCE_SYNC")
	e.mustLog(1, zap.WarnLevel, "caddy gatehouse reset-password")
}

func seedMatches(e *env) {
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	lines := e.logs.Len()
	e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD": first})
	if e.logs.Len() != lines {
		e.Errorf("logged: %+v", e.logs.All()[lines:])
	}
}

func seedForces(e *env) {
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	session := e.signIn("admin")
	epoch := e.user("admin").Epoch
	res := e.start(ModeSeed, vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"})
	e.mustSignInWith("admin", second)
	if res.Action != ActionUpdated || e.live(session) || e.user("admin").Epoch != epoch+1 {
		e.Errorf("%+v, session live %t, epoch %d", res, e.live(session), e.user("admin").Epoch)
	}
	events := e.events("password.reset")
	if len(events) != 1 || events[0].Actor != "environment" || events[0].Details["variable"] != "ADMIN_PASSWORD" ||
		events[0].Details["sessions_ended"] != "1" {
		e.Errorf("%+v", events)
	}
}

func seedForceCreates(e *env) {
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	res := e.start(ModeSeed, vars{"ADMIN_PASSWORD": second, "ADMIN_USER": "rescue", "ADMIN_PASSWORD_FORCE_SYNC": "1"})
	if res.Action != ActionCreated || res.Admin.Username != "rescue" {
		e.Errorf("%+v", res)
	}
	e.mustSignInWith("rescue", second)
	e.mustSignInWith("admin", first)
	e.mustStartWithoutWrites(ModeSeed, vars{
		"ADMIN_PASSWORD": second, "ADMIN_USER": "Rescue",
		"ADMIN_PASSWORD_FORCE_SYNC": "1",
	})
}

func seedForceOnce(e *env) {
	flag := vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "yes"}
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	e.start(ModeSeed, flag)
	e.mustSignInWith("admin", second)
	e.setPassword("admin", third)
	for range 3 {
		e.mustStartWithoutWrites(ModeSeed, flag)
	}
	e.mustSignInWith("admin", third)
	e.mustLog(3, zap.InfoLevel, "was applied at 2026-03-01T12:01:00Z already")

	// Another value is applied, but going back to the first one is a restart with an old file and not a new request.
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first, "ADMIN_PASSWORD_FORCE_SYNC": "yes"})
	e.mustSignInWith("admin", first)
	e.mustStartWithoutWrites(ModeSeed, flag)
	e.mustSignInWith("admin", first)
}

func seedForcesNothing(e *env) {
	flag := vars{"ADMIN_PASSWORD_FORCE_SYNC": "true"}
	if res := e.mustStartWithoutWrites(ModeSeed, flag); !res.NeedsSetup || len(res.Warnings) != 1 {
		e.Errorf("without an administrator: %+v", res)
	}
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	for _, v := range []vars{flag, {"ADMIN_PASSWORD_FORCE_SYNC": "yes", "ADMIN_PASSWORD": ""}} {
		if res := e.mustStartWithoutWrites(ModeSeed, v); res.NeedsSetup || len(res.Warnings) != 1 {
			e.Errorf("with an administrator: %+v", res)
		}
	}
	e.mustLog(3, zap.WarnLevel, "ADMIN_PASSWORD_FORCE_SYNC is on, but there is no password to apply: set ADMIN_PASSWORD, or unset the flag")
	res := e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD_FORCE_SYNC": "true", "ADMIN_USER": "rescue"})
	if len(res.Warnings) != 2 || !strings.Contains(res.Warnings[1],
		"Correct ADMIN_USER, or set ADMIN_PASSWORD to make this one.") {
		e.Errorf("renamed: %q", res.Warnings)
	}
	e.mustSignInWith("admin", first)
}

func seedForceAtFirstStart(e *env) {
	flag := vars{"ADMIN_PASSWORD": first, "ADMIN_PASSWORD_FORCE_SYNC": "TRUE"}
	e.start(ModeSeed, flag)
	e.setPassword("admin", second)
	e.mustStartWithoutWrites(ModeSeed, flag)
	e.mustSignInWith("admin", second)
}

func seedRenamed(e *env) {
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	res := e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD": first, "ADMIN_USER": "root"})
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], `"admin"`) ||
		!strings.Contains(res.Warnings[0], "ADMIN_USER") || res.Ignored == "" {
		e.Errorf("%+v", res)
	}
	e.mustLog(1, zap.WarnLevel, `administrators are: "admin"`)
	if _, err := e.db.UserByUsername(e.Context(), "root"); err == nil {
		e.Error("the new name was made")
	}
	for _, name := range []string{"b", "c", "d", "e", "f", "g"} {
		e.add(name, "", second, isAdmin)
	}
	res = e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_USER": "root"})
	if len(res.Warnings) != 1 || strings.Count(res.Warnings[0], `", "`) != 4 || !strings.Contains(res.Warnings[0], "…") {
		e.Errorf("with many administrators: %+v", res.Warnings)
	}
}

// A user called "admin" at a provider never gets the environment's password, with or without the flag.
func TestSeedNeverTakesOverAProviderAccount(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	fromProvider := func(u *store.User) { u.Local, u.Origin = false, store.OriginOIDC }
	before := e.add("Admin", "admin@example.com", "", fromProvider)
	res := e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	if res.Admin.Username != "admin-admin" || len(res.Warnings) != 1 {
		t.Errorf("%+v", res)
	}
	e.mustSignInWith("admin-admin", first)
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"})
	e.mustSignInWith("admin-admin", second)
	if after := e.user("admin"); after.Role != store.RoleUser || after.PasswordHash != "" ||
		after.Version != before.Version {
		t.Errorf("the account from the provider: %+v", after)
	}
	if e.countUsers() != 2 {
		t.Errorf("%d users", e.countUsers())
	}
	e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD": second})
}

func TestSeedPromotesADisabledLocalAccount(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.add("admin", "", second, func(u *store.User) { u.Active, u.Pending, u.MustChange = false, true, true })
	if res := e.start(ModeSeed, vars{"ADMIN_PASSWORD": first}); res.Action != ActionUpdated {
		t.Errorf("%+v", res)
	}
	e.mustSignInWith("admin", first)
}

func TestSeedForceRestoresADemotedAdministrator(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	e.add("other", "", third, isAdmin)
	e.change(func(ctx context.Context, tx store.Tx) error {
		u, err := tx.UserByUsername(ctx, "admin")
		if err != nil {
			return err
		}
		u.Role, u.Active = store.RoleUser, false
		_, err = tx.UpdateUser(ctx, u)
		return err
	})
	e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD": first})
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first, "ADMIN_PASSWORD_FORCE_SYNC": "true"})
	e.mustSignInWith("admin", first)
}

func TestSeedEmailOfAnotherAccountIsNotTaken(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.add("bob", "root@example.com", second, nil)
	res := e.start(ModeSeed, vars{"ADMIN_PASSWORD": first, "ADMIN_EMAIL": "ROOT@example.com"})
	if res.Action != ActionCreated || res.Admin.Email != "" || len(res.Warnings) != 1 {
		t.Errorf("%+v", res)
	}
	e.mustSignInWith("admin", first)
}

// A sign-in takes a username or an e-mail address, and must never be ambiguous between two accounts.
func TestSeedAvoidsNamesUsedAsEmail(t *testing.T) {
	t.Parallel()
	for what, v := range map[string]vars{
		"at the first start": {"ADMIN_PASSWORD": first, "ADMIN_USER": "Boss@example.com"},
		"by force": {
			"ADMIN_PASSWORD": first, "ADMIN_USER": "Boss@example.com",
			"ADMIN_PASSWORD_FORCE_SYNC": "true",
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			bob := e.add("bob", "boss@example.com", second, nil)
			if what == "by force" {
				e.add("alice", "", third, isAdmin)
			}
			res := e.start(ModeSeed, v)
			if res.Action != ActionCreated || res.Admin.Username != "Boss@example.com-admin" || len(res.Warnings) != 1 {
				t.Errorf("%+v", res)
			}
			e.mustSignInWith("boss@example.com-admin", first)
			if u, err := e.db.UserByLogin(t.Context(), "boss@example.com"); err != nil || u.ID != bob.ID ||
				u.Version != bob.Version {
				t.Errorf("bob's e-mail identifies %q, %v", u.Username, err)
			}
			e.mustStartWithoutWrites(ModeSeed, v)
		})
	}
}

func TestSeedAvoidsAnEmailUsedAsUsername(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.add("root@example.com", "", second, nil)
	v := vars{"ADMIN_PASSWORD": first, "ADMIN_EMAIL": "ROOT@example.com"}
	res := e.start(ModeSeed, v)
	if res.Action != ActionCreated || res.Admin.Email != "" || len(res.Warnings) != 1 {
		t.Errorf("%+v", res)
	}
	e.mustSignInWith("admin", first)
	e.mustStartWithoutWrites(ModeSeed, v)
	// The own e-mail address may be the username.
	own := newEnv(t)
	both := vars{"ADMIN_PASSWORD": first, "ADMIN_USER": "root@example.com", "ADMIN_EMAIL": "root@example.com"}
	if res := own.start(ModeSeed, both); res.Admin.Email != "root@example.com" || len(res.Warnings) != 0 {
		t.Errorf("%+v", res)
	}
	own.mustStartWithoutWrites(ModeSeed, both)
}

func TestSeedHashIsStoredUnchanged(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const werkzeug = "pbkdf2:sha256:1000$NaCl$c6f8af5b0ab4a0ab4f4a3b4d9a0d2e1a5b4b9f0d3f1e2a3b4c5d6e7f80910111"
	e.start(ModeSeed, vars{"ADMIN_PASSWORD_HASH": werkzeug})
	if got := e.user("admin").PasswordHash; got != werkzeug {
		t.Errorf("kept %q", got)
	}
	e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD_HASH": werkzeug})
	e.mustLog(0, zap.WarnLevel, "ignored")
	e.setPassword("admin", first)
	e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD_HASH": werkzeug})
	e.mustLog(1, zap.WarnLevel, "ADMIN_PASSWORD_HASH is ignored")
	e.mustSignInWith("admin", first)
}

// An open set-up link must not create another administrator after one was created by the seed.
func TestSeedCancelsSetupLinks(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	token, now := store.NewToken(), e.clock.Now()
	e.change(func(ctx context.Context, tx store.Tx) error {
		return tx.CreateLink(ctx, store.Link{
			ID: store.NewID(now), Hash: store.HashToken(token), Purpose: store.LinkSetup,
			CreatedBy: "start-up", CreatedAt: now, ExpiresAt: now.Add(1e15),
		})
	})
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	link, err := e.db.Link(t.Context(), store.HashToken(token))
	if err != nil || link.CancelledAt.IsZero() {
		t.Errorf("%+v, %v", link, err)
	}
}

func TestForceSyncResetsTheThrottle(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	key := "a:" + e.user("admin").ID
	for range 10 {
		if _, err := e.db.BeginAttempt(t.Context(), key, 1, 1e12, e.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"})
	if wait, err := e.db.BeginAttempt(t.Context(), key, 1, 1e12, e.clock.Now()); wait != 0 || err != nil {
		t.Errorf("still waits %v, %v", wait, err)
	}
}

func TestForceSyncRefusesADamagedSalt(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	e.change(func(ctx context.Context, tx store.Tx) error {
		return tx.SetSetting(ctx, saltSetting, "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA")
	})
	flag := e.parse(ModeSeed, vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"})
	if _, err := Apply(t.Context(), e.db, flag, e.hasher, Options{}); err == nil ||
		!strings.Contains(err.Error(), saltSetting) {
		t.Errorf("error %v", err)
	}
	e.mustSignInWith("admin", first)
}
