package caddyauth_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

const otherPass = "a wholly different passphrase"

// restart stops Caddy and starts it again, as a new process would.
func (s *caddyServer) restart() error {
	s.t.Helper()
	if err := caddy.Stop(); err != nil {
		s.t.Fatal(err)
	}
	return s.load()
}

func (s *caddyServer) canSignIn(name, pass string) bool {
	s.t.Helper()
	switch a := s.browser().post("/_auth/login", "username", name, "password", pass); a.StatusCode {
	case 303:
		return true
	case 401:
		return false
	default:
		s.t.Fatalf("sign-in of %s: %d\n%s", name, a.StatusCode, a.body)
		return false
	}
}

// Policy seed: the environment makes the administrator when the store has none; afterwards the store is the truth.
func TestSeedCreatesTheAdministratorOnce(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	if !s.canSignIn(adminName, adminPass) {
		t.Fatal("the administrator cannot sign in")
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	if a := b.post("/_auth/account/password", "current_password", adminPass, "new_password", otherPass); a.StatusCode != 303 {
		t.Fatalf("changing the password: %d\n%s", a.StatusCode, a.body)
	}
	for _, again := range []func() error{s.load, s.restart} {
		if err := again(); err != nil {
			t.Fatal(err)
		}
		if s.canSignIn(adminName, adminPass) || !s.canSignIn(adminName, otherPass) {
			t.Fatal("the environment took the administrator's own password back")
		}
	}
	log := s.logs.waitFor(t, "ADMIN_PASSWORD_FORCE_SYNC")
	if strings.Contains(log, adminPass) || strings.Contains(log, otherPass) {
		t.Error("a password is in the log")
	}
}

// The flag acts once per value; a password changed afterwards stays, at every restart and reload.
func TestForceSyncActsOncePerValue(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	setenv(t, "ADMIN_PASSWORD", otherPass)
	setenv(t, "ADMIN_PASSWORD_FORCE_SYNC", "true")
	open := s.browser()
	open.signIn(adminName, adminPass)
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	if s.canSignIn(adminName, adminPass) || !s.canSignIn(adminName, otherPass) {
		t.Fatal("the new password was not set")
	}
	if open.reaches("/") {
		t.Error("the sessions of before go on")
	}
	b := s.browser()
	b.signIn(adminName, otherPass)
	const own = "the one I chose in the page"
	if a := b.post("/_auth/account/password", "current_password", otherPass, "new_password", own); a.StatusCode != 303 {
		t.Fatalf("changing the password: %d\n%s", a.StatusCode, a.body)
	}
	for range 2 {
		if err := s.restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if !s.canSignIn(adminName, own) || !b.reaches("/") {
		t.Error("the flag took the password back that was set in the page")
	}
}

// No administrator and no password: the site is closed, every page says how to go on, and the log has a link that
// makes the first administrator, once.
func TestWithoutAnAdministratorASetUpLinkMakesOne(t *testing.T) {
	s := start(t, "gatehouse")
	b := s.browser()
	if a := b.fetch("/"); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || s.up.count() != 0 {
		t.Fatalf("the site answers %d", a.StatusCode)
	}
	if a := b.page("/_auth/login"); !strings.Contains(a.body, "ADMIN_PASSWORD") || strings.Contains(a.body, `name="password"`) {
		t.Errorf("the sign-in page does not say how to go on:\n%s", a.body)
	}
	log := s.logs.waitFor(t, "/_auth/link/")
	link := regexp.MustCompile(`/_auth/link/[A-Za-z0-9_-]{43}`).FindString(log)
	for range 3 { // a scanner opens it first, and again
		if a := s.browser().page(link); a.StatusCode != 303 {
			t.Fatalf("the link answers %d\n%s", a.StatusCode, a.body)
		}
	}
	to := b.page(link).Header.Get("Location")
	if a := b.page(to); a.StatusCode != 200 {
		t.Fatalf("%s answers %d\n%s", to, a.StatusCode, a.body)
	}
	second := s.browser()
	second.page(link)
	if a := b.post(to, "username", "root", "email", "root@example.com", "name", "", "password", adminPass); a.StatusCode != 303 {
		t.Fatalf("making the administrator: %d\n%s", a.StatusCode, a.body)
	}
	if !b.reaches("/") {
		t.Error("the new administrator is not signed in")
	}
	if a := second.post(to, "username", "evil", "password", otherPass); a.StatusCode == 303 {
		t.Error("the link worked twice")
	}
	if s.canSignIn("evil", otherPass) {
		t.Error("a second administrator was made")
	}
	if a := s.browser().page(link); strings.Contains(a.body, `name="password"`) {
		t.Error("a spent link still shows the form")
	}
}

// The variable that messages name is the one that is read.
func TestHintsNameTheVariableWithItsPrefix(t *testing.T) {
	s := start(t, "gatehouse", withGlobal("admin seed {\n\tenv_prefix APP_\n}"))
	if a := s.browser().page("/_auth/login"); a.StatusCode != 503 || !strings.Contains(a.body, "Set APP_ADMIN_PASSWORD in the environment") {
		t.Errorf("%d\n%s", a.StatusCode, a.body)
	}
	s.logs.waitFor(t, "or set APP_ADMIN_PASSWORD and restart")
	setenv(t, "APP_ADMIN_EMAIL", "root@example.com")
	setenv(t, "APP_ADMIN_PASSWORD", adminPass)
	s.global = "admin managed {\n\tenv_prefix APP_\n}"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.signIn("root@example.com", adminPass)
	a := b.post("/_auth/account/password", "current_password", adminPass, "new_password", otherPass)
	if a.StatusCode != 403 || !strings.Contains(a.body, "(APP_ADMIN_EMAIL and APP_ADMIN_PASSWORD, then restart or reload)") {
		t.Errorf("%d\n%s", a.StatusCode, a.body)
	}
}

// Policy managed: e-mail and password are required and are the truth at every start.
func TestManagedRefusesToStartWithoutValidValues(t *testing.T) {
	const secret = "short1!"
	for name, env := range map[string][2]string{
		"no e-mail": {"", adminPass}, "no password": {"root@example.com", ""}, "blank e-mail": {"  ", adminPass}, "blank password": {"root@example.com", "   "},
		"not an e-mail": {"root", adminPass}, "short password": {"root@example.com", secret},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, "APP_ADMIN_EMAIL", env[0])
			setenv(t, "APP_ADMIN_PASSWORD", env[1])
			s := &caddyServer{
				t: t, up: newUpstream(t), dir: t.TempDir(), addr: testenv.Address(t), site: "gatehouse", logs: &logBuffer{},
				global: "admin managed {\n\tenv_prefix APP_\n}",
			}
			s.place = testenv.EmptyPlace(t)
			err := s.load()
			if err == nil {
				_ = caddy.Stop()
				t.Fatal("Caddy started")
			}
			want := "APP_ADMIN_EMAIL"
			if strings.Contains(name, "password") {
				want = "APP_ADMIN_PASSWORD"
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not name %s: %v", want, err)
			}
			for _, v := range env {
				if len(v) > 4 && strings.Contains(err.Error(), v) && v != "root@example.com" {
					t.Errorf("the error shows the value: %v", err)
				}
			}
			if s.place.Exists(t) {
				t.Error("a refused configuration made a store")
			}
		})
	}
}

func TestManagedReconcilesAtEveryStart(t *testing.T) {
	setenv(t, "ADMIN_EMAIL", "Root@example.com")
	setenv(t, "ADMIN_PASSWORD", adminPass)
	s := start(t, "gatehouse", withGlobal("admin managed"))
	b := s.browser()
	b.signIn("root@EXAMPLE.com", adminPass)
	before := s.adminRow("root@example.com")
	if !before.Managed || before.Role != store.RoleAdmin {
		t.Fatalf("the root is %+v", before)
	}
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	after := s.adminRow("root@example.com")
	if after.Version != before.Version || !after.UpdatedAt.Equal(before.UpdatedAt) || after.PasswordHash != before.PasswordHash || !b.reaches("/") {
		t.Errorf("a start with the same values wrote something:\n%+v\n%+v", before, after)
	}
	// The root is locked against its own pages.
	if a := b.post("/_auth/account/password", "current_password", adminPass, "new_password", otherPass); a.StatusCode != 403 {
		t.Errorf("the managed root changed its password: %d", a.StatusCode)
	}
	setenv(t, "ADMIN_PASSWORD", otherPass)
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if b.reaches("/") {
		t.Error("the sessions outlived the rotation")
	}
	rotated := s.adminRow("root@example.com")
	if rotated.Epoch != before.Epoch+1 {
		t.Errorf("the epoch went from %d to %d", before.Epoch, rotated.Epoch)
	}
	if s.canSignIn("root@example.com", adminPass) || !s.canSignIn("root@example.com", otherPass) {
		t.Error("the rotated password is not in force")
	}
	setenv(t, "ADMIN_EMAIL", "new@example.com")
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	if former := s.adminRow("root@example.com"); former.Managed || !former.Active || former.Role != store.RoleAdmin {
		t.Errorf("the former root should be kept as it is: %+v", former)
	}
	if !s.adminRow("new@example.com").Managed {
		t.Error("the new root is not managed")
	}
	s.logs.waitFor(t, "former")
}

func (s *caddyServer) adminRow(email string) store.User {
	s.t.Helper()
	u, err := s.openStore().UserByLocalEmail(context.Background(), email)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// `caddy validate` reports a bad value and changes nothing, not even a file.
func TestValidateChangesNothing(t *testing.T) {
	s := &caddyServer{t: t, up: newUpstream(t), dir: t.TempDir(), addr: testenv.Address(t), site: "gatehouse", logs: &logBuffer{}}
	s.place = testenv.EmptyPlace(t)
	validate := func() error {
		cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile()), nil)
		if err != nil {
			t.Fatal(err)
		}
		var c caddy.Config
		if err := caddy.StrictUnmarshalJSON(cfg, &c); err != nil {
			t.Fatal(err)
		}
		return caddy.Validate(&c)
	}
	setenv(t, "ADMIN_PASSWORD", adminPass)
	if err := validate(); err != nil {
		t.Fatal(err)
	}
	setenv(t, "ADMIN_PASSWORD", "short")
	if err := validate(); err == nil || !strings.Contains(err.Error(), "ADMIN_PASSWORD") {
		t.Errorf("a short ADMIN_PASSWORD: %v", err)
	}
	setenv(t, "ADMIN_PASSWORD", adminPass)
	setenv(t, "ADMIN_PASSWORD_FORCE_SYNC", "maybe")
	if err := validate(); err == nil || !strings.Contains(err.Error(), "ADMIN_PASSWORD_FORCE_SYNC") {
		t.Errorf("a flag that is neither yes nor no: %v", err)
	}
	if s.place.Exists(t) {
		t.Error("validate made something in the store, or its folder")
	}
}

// A secret that only a placeholder names is nowhere in the configuration that Caddy shows, nor in the log.
func TestSecretsStayOutOfConfigurationAndLog(t *testing.T) {
	const canary = "canary-5fe1c0de-secret-passphrase"
	setenv(t, "THE_SECRET", canary)
	s := start(t, "gatehouse", withGlobal("admin seed {\n\tpassword {env.THE_SECRET}\n}"))
	b := s.browser()
	b.signIn(adminName, canary)
	s.browser().post("/_auth/login", "username", canary, "password", canary)
	token := b.cookie()
	b.page("/_auth/account")
	if got := adapt(s.caddyfile()); strings.Contains(got, canary) {
		t.Error("the secret is in the adapted configuration")
	}
	log, stored := s.logs.waitFor(t, "signed in"), s.place.Rows(t)
	if !strings.Contains(stored, "argon2id$") {
		t.Fatal("the store was not looked at")
	}
	for what, secret := range map[string]string{"the password": canary, "the session token": token} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log", what)
		}
		if strings.Contains(stored, secret) {
			t.Errorf("%s is in the store", what)
		}
	}
}

// A placeholder without a value is an error that names the option.
func TestAnEmptyPlaceholderIsAnError(t *testing.T) {
	for option, global := range map[string]string{
		"admin password": "admin seed {\n\tpassword {env.NOT_SET_ANYWHERE}\n}",
		"admin email":    "admin seed {\n\temail {file./does/not/exist}\n}",
	} {
		s := &caddyServer{t: t, up: newUpstream(t), dir: t.TempDir(), addr: testenv.Address(t), site: "gatehouse", logs: &logBuffer{}, global: global}
		s.place = testenv.EmptyPlace(t)
		err := s.load()
		if err == nil {
			_ = caddy.Stop()
			t.Fatalf("%s: Caddy started", option)
		}
		if !strings.Contains(err.Error(), option) {
			t.Errorf("the error does not name the option %s: %v", option, err)
		}
	}
}
