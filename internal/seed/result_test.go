package seed

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// describe is `caddy gatehouse seed --dry-run`. It must write nothing and show no secret.
func (e *env) describe(mode Mode, v vars) string {
	e.Helper()
	dump, done := e.place.Watch(e)
	defer done()
	before, transactions := e.snapshot(dump()), e.db.changes.Load()
	lines, err := Describe(e.Context(), e.db, e.parse(mode, v), e.hasher)
	if err != nil {
		e.Fatal(err)
	}
	if dump() != before || e.db.changes.Load() != transactions {
		e.Error("a dry run wrote to the store")
	}
	b, err := json.MarshalIndent(lines, "", " ")
	if err != nil {
		e.Fatal(err)
	}
	if strings.Contains(string(b), "CANARY") || strings.Contains(string(b), "$argon2id$") {
		e.Errorf("a secret is shown: %s", b)
	}
	return string(b)
}

func (e *env) mustDescribe(mode Mode, v vars, want ...string) {
	e.Helper()
	got := e.describe(mode, v)
	for _, text := range want {
		if quoted, _ := json.Marshal(text); !strings.Contains(got, strings.Trim(string(quoted), `"`)) {
			e.Errorf("%q is missing in %s", text, got)
		}
	}
}

func TestDescribeReportsWhatAStartWouldDo(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	force := vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"}
	e.mustDescribe(ModeSeed, vars{}, "set-up link", "(not set)")
	e.mustDescribe(ModeSeed, vars{"ADMIN_PASSWORD": first},
		`administrator "admin" made, with the password from ADMIN_PASSWORD`, "(hidden)", "the environment", "the default")
	e.mustDescribe(ModeManaged, rootVars, `administrator "root" made`, "the part of the e-mail before the @",
		"former_admin")
	e.start(ModeSeed, vars{"ADMIN_PASSWORD": first})
	e.mustDescribe(ModeSeed, vars{"ADMIN_PASSWORD": first}, "nothing to write")
	e.mustDescribe(ModeSeed, vars{"ADMIN_PASSWORD": second}, "nothing to write", "ADMIN_PASSWORD is ignored")
	e.mustDescribe(ModeSeed, vars{"ADMIN_PASSWORD": first, "ADMIN_USER": "root"}, "nothing to write",
		`administrators are: "admin"`)
	e.mustDescribe(ModeSeed, force, `password of "admin" set from ADMIN_PASSWORD; its sessions ended`)
	e.start(ModeSeed, force)
	e.mustDescribe(ModeSeed, force, "nothing to write", "was applied at 2026-03-01T12:01:00Z already")
	e.start(ModeManaged, rootVars)
	e.mustDescribe(ModeManaged, rootVars, "nothing to write")
	e.mustDescribe(ModeManaged, rootVars.with(vars{"ADMIN_EMAIL": "new@example.com", "former": FormerDisable}),
		`administrator "new" made`, `account "root" disabled; the deployment does not manage it any more`)
	e.mustDescribe(ModeManaged, rootVars.with(vars{"ADMIN_EMAIL": "new@example.com", "former": FormerDemote}),
		`account "root" made an ordinary user`)
	e.mustDescribe(ModeSeed, vars{}, `account "root" is not managed by the deployment any more`)
}

// Each value has the right source, and "the default" only if it is not set.
func TestDescribeReportsTheSourcesOfValues(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := func(s string) *string { return &s }
	root := vars{"ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD": first}
	for name, c := range map[string]struct {
		cfg  Config
		env  vars
		want map[string]string
	}{
		"nothing is set": {Config{Mode: ModeSeed, ModeDefault: true}, nil, map[string]string{
			"mode": SourceDefault, "ADMIN_USER": SourceDefault, "ADMIN_EMAIL": SourceNone, "ADMIN_NAME": SourceNone,
			"ADMIN_PASSWORD": SourceNone, "ADMIN_PASSWORD_FORCE_SYNC": SourceDefault,
		}},
		"the configuration sets the mode": {Config{Mode: ModeSeed}, vars{"ADMIN_PASSWORD": first}, map[string]string{
			"mode": SourceConfig, "ADMIN_PASSWORD": SourceEnv,
		}},
		"managed": {Config{Mode: ModeManaged}, root, map[string]string{
			"mode": SourceConfig, "former_admin": SourceDefault, "ADMIN_EMAIL": SourceEnv, "ADMIN_USER": "the part of the e-mail before the @",
		}},
		"managed, and what becomes of the former": {
			Config{Mode: ModeManaged, FormerAdmin: FormerKeep},
			root,
			map[string]string{
				"former_admin": SourceConfig,
			},
		},
		"the configuration wins": {Config{Mode: ModeSeed, Name: text("Ada"), ForceSync: text("no")}, vars{
			"ADMIN_NAME": "Eve", "ADMIN_USER": "eve", "ADMIN_PASSWORD_FORCE_SYNC": "yes",
		}, map[string]string{"ADMIN_NAME": SourceConfig, "ADMIN_USER": SourceEnv, "ADMIN_PASSWORD_FORCE_SYNC": SourceConfig}},
		"a file that the environment names": {Config{Mode: ModeSeed}, vars{"ADMIN_PASSWORD_FILE": secret}, map[string]string{
			"ADMIN_PASSWORD_FILE": "the file " + secret + " (named by the environment)",
		}},
		"a file that the configuration names": {Config{Mode: ModeSeed, PasswordFile: &secret}, nil, map[string]string{
			"ADMIN_PASSWORD_FILE": "the file " + secret + " (named by the configuration)",
		}},
	} {
		values, err := Parse(c.cfg, c.env.lookup, ReadFile, password.Policy{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := make(map[string]string)
		for _, l := range values.lines() {
			got[l.Name] = l.Source
		}
		for key, source := range c.want {
			if got[key] != source {
				t.Errorf("%s: %s comes from %q, want %q", name, key, got[key], source)
			}
		}
	}
}

func TestDescribeWithoutAStore(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	lines, err := Describe(t.Context(), nil, e.parse(ModeManaged, rootVars), e.hasher)
	if err != nil || len(lines) == 0 || !strings.Contains(lines[len(lines)-1].Text, `administrator "root" made`) {
		t.Errorf("%+v, %v", lines, err)
	}
}

// A reload while all hashing slots are busy waits; it does not fail, and it stops with its context.
func TestApplyWaitsWhileHashingIsBusy(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	// One slot, no queue: two concurrent starts always contend.
	e.hasher = password.NewHasher(password.Params{MemoryKiB: 16 * 1024, Time: 2, Threads: 1}, password.NewSlots(1, 0))
	e.startConcurrently([]*countingStore{e.db, e.open(), e.open(), e.open()}, ModeManaged, rootVars)
	e.mustSignInWith("root", first)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Apply(gone, e.db, e.parse(ModeManaged, rootVars), e.hasher, Options{}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A start fails if the store is unavailable, instead of assuming an empty one.
func TestApplyFailsWithTheStore(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	values := e.parse(ModeSeed, vars{"ADMIN_PASSWORD": first})
	if err := e.db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Apply(t.Context(), e.db, values, e.hasher, Options{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err := Describe(t.Context(), e.db, values, e.hasher); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// A change that fails halfway is rolled back.
func TestApplyIsOneTransaction(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.start(ModeManaged, rootVars)
	values := e.parse(ModeManaged, vars{
		"ADMIN_EMAIL": "new@example.com", "ADMIN_PASSWORD": second,
		"former": FormerDemote,
	})
	broken := errors.New("the power failed")
	_, err := Apply(t.Context(), failingStore{e.db, broken}, values, e.hasher, Options{Clock: e.clock.Now})
	if !errors.Is(err, broken) {
		t.Fatalf("%v", err)
	}
	if e.countUsers() != 1 || !e.user("root").Managed {
		t.Errorf("%d users, %+v", e.countUsers(), e.user("root"))
	}
	e.mustStartWithoutWrites(ModeManaged, rootVars)
}

// failingStore is a store whose transactions fail after the last write, before the commit.
type failingStore struct {
	store.Store
	err error
}

func (f failingStore) Change(ctx context.Context, fn func(tx store.Tx) error) error {
	return f.Store.Change(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return f.err
	})
}

func TestHashPasswordForTheCommandLine(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hash, err := e.parse(ModeSeed, vars{"ADMIN_PASSWORD": first}).HashPassword(t.Context(), e.hasher)
	if ok, _, _ := e.hasher.Verify(t.Context(), hash, first); !ok || err != nil {
		t.Errorf("ok %t, %v", ok, err)
	}
	given := e.hash(second)
	if hash, err := e.parse(ModeSeed, vars{"ADMIN_PASSWORD_HASH": given}).HashPassword(t.Context(),
		e.hasher); hash != given || err != nil {
		t.Errorf("%q, %v", hash, err)
	}
	if _, err := e.parse(ModeSeed, vars{}).HashPassword(t.Context(), e.hasher); err == nil ||
		!strings.Contains(err.Error(), "ADMIN_PASSWORD is not set") {
		t.Errorf("%v", err)
	}
}
