package cmd_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// population is a store with users, for commands.
type population struct {
	t    *testing.T
	path string
	env  []string
}

func populate(t *testing.T, users ...store.User) population {
	t.Helper()
	p := population{t: t, path: filepath.Join(t.TempDir(), "gate.db"), env: cleanEnv(t.TempDir())}
	st, err := sqlstore.Open(t.Context(), sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: p.path, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Change(t.Context(), func(tx store.Tx) error {
		for _, u := range users {
			u.Role, u.Active, u.CreatedAt = store.RoleUser, true, time.Now()
			if err := tx.CreateUser(t.Context(), u); err != nil {
				return err
			}
		}
		return nil
	})
	if cerr := st.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	return p
}

// run runs a verb and returns what it printed.
func (p population) run(args ...string) (stdout, stderr string, err error) {
	c := exec.CommandContext(p.t.Context(), "caddy", append(append([]string{"gatehouse"}, args...), "--store", p.path)...)
	c.Dir, c.Env = p.t.TempDir(), p.env
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	return out.String(), errs.String(), err
}

// Users at a provider choose their usernames. Such a name must never be mistaken for another account on the command
// line.
func TestAmbiguousAccountNamesAreRefused(t *testing.T) {
	t.Parallel()
	bob, eve, mail := store.NewID(time.Now()), store.NewID(time.Now()), store.NewID(time.Now())
	p := populate(t,
		store.User{ID: bob, Username: "bob", Email: "bob@corp.test", Local: true, Origin: store.OriginLocal},
		store.User{ID: eve, Username: bob, Origin: store.OriginOIDC},
		store.User{ID: mail, Username: "Bob@Corp.test", Origin: store.OriginOIDC},
	)
	for name, want := range map[string]string{
		bob: bob, eve: eve, mail: mail, "bob": bob, "BOB": bob, "bob@corp.test": "",
		"BOB@corp.test": "",
	} {
		stdout, stderr, err := p.run("user", "show", name, "--json")
		var shown struct{ ID string }
		if err == nil {
			err = json.Unmarshal([]byte(stdout), &shown)
		}
		switch {
		case want == "" && (err == nil || !strings.Contains(stderr, bob) || !strings.Contains(stderr, mail)):
			t.Errorf("%q means two accounts, and got %q %q, %v", name, shown.ID, stderr, err)
		case want != "" && (err != nil || shown.ID != want):
			t.Errorf("%q: %q instead of %q: %v %s", name, shown.ID, want, err, stderr)
		}
	}
	if _, stderr, err := p.run("user", "disable", "bob@corp.test"); err == nil {
		t.Errorf("one of two was turned off: %s", stderr)
	}
}

// Like at a start, the environment refers to local accounts only: a stranger at a provider may have chosen ADMIN_USER
// as username.
func TestEnvironmentPasswordIsNotSetOnProviderAccounts(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{false, true} { // an administrator may have given them a password
		p := populate(t, store.User{ID: store.NewID(time.Now()), Username: "admin", Local: local, Origin: store.OriginOIDC})
		p.env = append(p.env, "ADMIN_PASSWORD=quiet otters row upstream")
		if _, stderr, err := p.run("reset-password", "--from-env"); err == nil ||
			!strings.Contains(stderr, "comes from a provider") {
			t.Errorf("local %t: %v %s", local, err, stderr)
		}
	}
}

// Names and User-Agents are untrusted: JSON output must be as safe for a terminal as text, and decode to the same
// values.
func TestJSONOutputIsSafeForTerminals(t *testing.T) {
	t.Parallel()
	const name = "a\u009b31mb\u202ec\u007fd\U000e0001e"
	p := populate(t, store.User{ID: store.NewID(time.Now()), Username: name, Origin: store.OriginOIDC})
	for _, verb := range [][]string{{"user", "list"}, {"user", "show", name}} {
		stdout, stderr, err := p.run(append(verb, "--json")...)
		if err != nil {
			t.Fatal(err, stderr)
		}
		if strings.ContainsAny(stdout, "\u009b\u202e\u007f\U000e0001") {
			t.Errorf("%v prints %q", verb, stdout)
		}
		if verb[1] == "list" {
			stdout = strings.Trim(stdout, "[]\n ")
		}
		var shown struct{ Username string }
		if err := json.Unmarshal([]byte(stdout), &shown); err != nil || shown.Username != name {
			t.Errorf("%v: %q, %v", verb, shown.Username, err)
		}
	}
}
