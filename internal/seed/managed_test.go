package seed

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

var rootVars = vars{"ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD": first}

func (v vars) with(more vars) vars {
	out := vars{}
	for _, m := range []vars{v, more} {
		for name, text := range m {
			out[name] = text
		}
	}
	return out
}

// One sub-test per row of the table for `admin managed`.
func TestManaged(t *testing.T) {
	t.Parallel()
	rows := map[string]func(e *env){
		"either missing, blank or invalid: refused, naming the variable":     managedRefuses,
		"store empty: creates the root":                                      managedCreates,
		"a user has that e-mail in any case: made an active administrator":   managedPromotes,
		"a user has that e-mail and password: promoted, sessions go on":      managedPromotesOnly,
		"users exist, none has it: creates an active root":                   managedCreatesBeside,
		"everything matches: no write at all":                                managedMatches,
		"password differs: written once, one epoch on, sessions end":         managedRotates,
		"ADMIN_EMAIL changed, former_admin keep: new root, old one stays":    managedKeeps,
		"ADMIN_EMAIL changed, former_admin demote: old one an ordinary user": managedDemotes,
		"ADMIN_EMAIL changed, former_admin disable: old one shut out":        managedDisables,
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row(newEnv(t))
		})
	}
}

func managedRefuses(e *env) {
	cases := map[string]struct {
		v    vars
		name string
	}{
		"nothing":            {vars{}, "ADMIN_EMAIL"},
		"nothing at all":     {vars{}, "ADMIN_PASSWORD"},
		"e-mail only":        {vars{"ADMIN_EMAIL": "root@example.com"}, "ADMIN_PASSWORD"},
		"password only":      {vars{"ADMIN_PASSWORD": first}, "ADMIN_EMAIL"},
		"blank e-mail":       {vars{"ADMIN_EMAIL": "  ", "ADMIN_PASSWORD": first}, "ADMIN_EMAIL"},
		"blank password":     {rootVars.with(vars{"ADMIN_PASSWORD": " \t "}), "ADMIN_PASSWORD"},
		"no e-mail":          {rootVars.with(vars{"ADMIN_EMAIL": "CANARY.example.com"}), "ADMIN_EMAIL"},
		"short password":     {rootVars.with(vars{"ADMIN_PASSWORD": "CANARY"}), "ADMIN_PASSWORD"},
		"e-mail as password": {rootVars.with(vars{"ADMIN_PASSWORD": "root@example.com"}), "ADMIN_PASSWORD"},
		"no hash": {
			vars{"ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD_HASH": "CANARY"},
			"ADMIN_PASSWORD_HASH",
		},
	}
	for name, c := range cases {
		_, err := Parse(Config{Mode: ModeManaged}, c.v.lookup, ReadFile, password.Policy{})
		if err == nil || !strings.Contains(err.Error(), c.name+" ") || strings.Contains(err.Error(), "CANARY") {
			e.Errorf("%s: %v", name, err)
		}
	}
}

func managedCreates(e *env) {
	res := e.start(ModeManaged, rootVars)
	if res.Action != ActionCreated || res.Admin.Username != "root" || res.NeedsSetup {
		e.Errorf("%+v", res)
	}
	e.mustSignInWith("root", first)
	if u := e.user("root"); !u.Managed || !u.RoleGranted || !u.EmailVerified || u.Email != "root@example.com" ||
		u.Origin != store.OriginEnv {
		e.Errorf("%+v", u)
	}
}

func managedPromotes(e *env) {
	e.add("alice", "ROOT@Example.com", second, func(u *store.User) { u.Active, u.MustChange = false, true })
	res := e.start(ModeManaged, rootVars)
	if res.Action != ActionUpdated || e.countUsers() != 1 {
		e.Errorf("%+v, %d users", res, e.countUsers())
	}
	e.mustSignInWith("alice", first)
	if u := e.user("alice"); !u.Managed || u.Email != "ROOT@Example.com" || u.Origin != store.OriginLocal {
		e.Errorf("%+v", u)
	}
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}

func managedPromotesOnly(e *env) {
	before := e.add("alice", "root@example.com", first, func(u *store.User) { u.MustChange = true })
	session := e.signIn("alice")
	e.start(ModeManaged, rootVars)
	e.mustSignInWith("alice", first)
	after := e.user("alice")
	if !e.live(session) || after.Epoch != before.Epoch || after.PasswordHash != before.PasswordHash || after.MustChange {
		e.Errorf("session live %t, %+v", e.live(session), after)
	}
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}

func managedCreatesBeside(e *env) {
	e.add("root", "someone@example.com", second, isAdmin)
	e.add("root-admin", "", second, nil)
	res := e.start(ModeManaged, rootVars)
	if res.Action != ActionCreated || res.Admin.Username != "root-admin-2" || len(res.Warnings) != 1 {
		e.Errorf("%+v", res)
	}
	e.mustSignInWith("root-admin-2", first)
	e.mustSignInWith("root", second)
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}

func managedMatches(e *env) {
	e.start(ModeManaged, rootVars)
	session := e.signIn("root")
	lines := e.logs.Len()
	for _, v := range []vars{
		rootVars, rootVars.with(vars{"ADMIN_EMAIL": " Root@EXAMPLE.com "}), rootVars.with(vars{
			"ADMIN_USER": "another",
			"ADMIN_NAME": "Another",
		}),
		rootVars.with(vars{"ADMIN_PASSWORD_FORCE_SYNC": "true"}),
	} {
		e.mustStartWithoutWrites(ModeManaged, v)
	}
	if !e.live(session) || e.logs.Len() != lines {
		e.Errorf("session live %t, logged %+v", e.live(session), e.logs.All()[lines:])
	}
	// Other hash parameters are not another password.
	e.hasher = password.NewHasher(password.Params{MemoryKiB: 128, Time: 1, Threads: 1}, nil)
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}

func managedRotates(e *env) {
	e.start(ModeManaged, rootVars)
	epoch, session := e.user("root").Epoch, e.signIn("root")
	rotated := rootVars.with(vars{"ADMIN_PASSWORD": second})
	if res := e.start(ModeManaged, rotated); res.Action != ActionUpdated {
		e.Errorf("%+v", res)
	}
	e.mustSignInWith("root", second)
	if e.live(session) || e.user("root").Epoch != epoch+1 {
		e.Errorf("session live %t, epoch %d, was %d", e.live(session), e.user("root").Epoch, epoch)
	}
	if n := len(e.events("password.reset")); n != 1 {
		e.Errorf("%d audit events", n)
	}
	e.mustStartWithoutWrites(ModeManaged, rotated)
}

// changeEmail starts with one managed administrator and then with another.
func (e *env) changeEmail(formerAdmin string) (session string) {
	e.Helper()
	e.start(ModeManaged, rootVars)
	session = e.signIn("root")
	v := vars{"ADMIN_EMAIL": "new@example.com", "ADMIN_PASSWORD": second, "former": formerAdmin}
	res := e.start(ModeManaged, v)
	if res.Action != ActionCreated || res.Admin.Username != "new" || len(res.Warnings) != 1 || e.user("root").Managed {
		e.Errorf("%+v, %+v", res, e.user("root"))
	}
	e.mustSignInWith("new", second)
	e.mustLog(1, zap.WarnLevel, `the former managed administrator "root"`)
	e.mustStartWithoutWrites(ModeManaged, v)
	return session
}

func managedKeeps(e *env) {
	session := e.changeEmail("")
	e.mustSignInWith("root", first)
	if !e.live(session) {
		e.Error("the session of the former root ended")
	}
}

func managedDemotes(e *env) {
	e.changeEmail(FormerDemote)
	if u := e.user("root"); u.Role != store.RoleUser || !u.Active || !u.RoleGranted {
		e.Errorf("%+v", u)
	}
}

func managedDisables(e *env) {
	session := e.changeEmail(FormerDisable)
	if u := e.user("root"); u.Active || e.live(session) {
		e.Errorf("%+v, session live %t", u, e.live(session))
	}
}

// An e-mail address never identifies an account from a provider; anybody may have it there.
func TestManagedNeverMatchesAProviderAccount(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	before := e.add("stranger", "root@example.com", "", func(u *store.User) {
		u.Local, u.Origin, u.EmailVerified = false, store.OriginOIDC, true
	})
	e.start(ModeManaged, rootVars)
	e.mustSignInWith("root", first)
	if after := e.user("stranger"); after.Role != store.RoleUser || after.Managed || after.PasswordHash != "" ||
		after.Version != before.Version {
		t.Errorf("%+v", after)
	}
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}

func TestManagedHashIsStoredUnchangedAndComparedAsText(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hashes := []string{e.hash(first), e.hash(first)}
	v := vars{"ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD_HASH": hashes[0]}
	e.start(ModeManaged, v)
	e.mustSignInWith("root", first)
	e.mustStartWithoutWrites(ModeManaged, v)
	session := e.signIn("root")
	e.start(ModeManaged, v.with(vars{"ADMIN_PASSWORD_HASH": hashes[1]}))
	if got := e.user("root").PasswordHash; got != hashes[1] || e.live(session) {
		t.Errorf("kept %q, session live %t", got, e.live(session))
	}
	// The plaintext of the same password matches any hash of it.
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}

func TestManagedRestoresChangedFields(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeManaged, rootVars)
	e.add("other", "", second, isAdmin)
	e.change(func(ctx context.Context, tx store.Tx) error {
		u, err := tx.UserByUsername(ctx, "root")
		if err != nil {
			return err
		}
		u.Role, u.Active, u.Managed = store.RoleUser, false, false
		if _, err := tx.UpdateUser(ctx, u); err != nil {
			return err
		}
		return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "", At: e.clock.Now()})
	})
	e.start(ModeManaged, rootVars)
	e.mustSignInWith("root", first)
	if !e.user("root").Managed {
		t.Error("not managed")
	}
}

func TestSwitchingFromSeedToManagedAndBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first, "ADMIN_EMAIL": "root@example.com"})
	e.start(ModeManaged, rootVars)
	if u := e.user("admin"); !u.Managed || e.countUsers() != 1 {
		t.Errorf("%+v", u)
	}
	session := e.signIn("admin")
	res := e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	if res.Action != ActionReleased || e.user("admin").Managed || !e.live(session) {
		t.Errorf("%+v, session live %t", res, e.live(session))
	}
	events := e.events("user.update")
	if len(events) != 2 || events[0].Details["after.managed"] != "false" || events[0].Actor != "environment" {
		t.Errorf("%+v", events)
	}
	e.mustSignInWith("admin", first)
	e.mustStartWithoutWrites(ModeSeed, vars{"ADMIN_PASSWORD": first})
}

func TestSeedReleasesAndForcesAnAccountInOneWrite(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeManaged, rootVars)
	e.start(ModeSeed, vars{"ADMIN_USER": "root", "ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"})
	e.mustSignInWith("root", second)
	if e.user("root").Managed {
		t.Error("still managed")
	}
}

// The managed administrator keeps the e-mail address that identifies it, even if another account has it as username.
func TestManagedWarnsIfItsEmailIsAnotherUsername(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	other := e.add("root@example.com", "", second, nil)
	res := e.start(ModeManaged, rootVars)
	if res.Action != ActionCreated || res.Admin.Email != "root@example.com" || res.Admin.Username != "root" ||
		len(res.Warnings) != 1 ||
		!strings.Contains(res.Warnings[0], "ADMIN_EMAIL is the username of another account, too") {
		t.Errorf("%+v", res)
	}
	e.mustSignInWith("root", first)
	if res = e.mustStartWithoutWrites(ModeManaged, rootVars); len(res.Warnings) != 1 {
		t.Errorf("%+v", res)
	}
	if u := e.user("root@example.com"); u.ID != other.ID || u.Version != other.Version {
		t.Errorf("%+v", u)
	}
}

func TestManagedAvoidsNamesUsedAsEmail(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.add("bob", "bob@example.com", second, nil)
	v := rootVars.with(vars{"ADMIN_USER": "bob@example.com"})
	res := e.start(ModeManaged, v)
	if res.Action != ActionCreated || res.Admin.Username != "bob@example.com-admin" || len(res.Warnings) != 1 {
		t.Errorf("%+v", res)
	}
	e.mustStartWithoutWrites(ModeManaged, v)
}

// The environment says the password and no more: the second factors are the administrator's own, and whoever can only
// set the password gets no further than the second step.
func TestARotatedPasswordLeavesSecondFactors(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeManaged, rootVars)
	root := e.user("root")
	e.change(func(ctx context.Context, tx store.Tx) error {
		now := e.clock.Now()
		app := store.TOTP{ID: store.NewID(now), UserID: root.ID, Name: "phone", Secret: "s1.1.sealed", CreatedAt: now}
		if err := tx.PutTOTP(ctx, app); err != nil {
			return err
		}
		return tx.ConfirmTOTP(ctx, root.ID, app.ID, app.Name, 1, now)
	})
	e.change(func(ctx context.Context, tx store.Tx) error {
		now := e.clock.Now()
		return tx.CreateTrustedBrowser(ctx, store.TrustedBrowser{
			ID: store.NewID(now), Hash: store.HashToken("trust"), UserID: root.ID, MFAAt: now, CreatedAt: now,
			ExpiresAt: now.Add(time.Hour),
		})
	})
	e.mustStartWithoutWrites(ModeManaged, rootVars)
	if _, err := e.db.TrustedBrowser(t.Context(), store.HashToken("trust")); err != nil {
		t.Errorf("a start that changes nothing ends trust: %v", err)
	}
	e.start(ModeManaged, rootVars.with(vars{"ADMIN_PASSWORD": second}))
	after := e.user("root")
	if after.PasswordHash == root.PasswordHash {
		t.Error("the password was not rotated")
	}
	if _, err := e.db.TrustedBrowser(t.Context(), store.HashToken("trust")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("with the password of before a browser is trusted: %v", err)
	}
	if after.ID != root.ID || after.Factors.TOTPs != 1 {
		t.Errorf("the second factors are %+v", after.Factors)
	}
}
