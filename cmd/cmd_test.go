package cmd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	_ "github.com/gatehouse-auth/gatehouse/cmd"
	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// TestMain makes the test binary usable as the command: scripts run it as "caddy".
func TestMain(m *testing.M) {
	// Hashes fit for the world outside would take most of the time of these tests. Scripts about hashes set the variable.
	if os.Getenv("HONEST_HASHES") == "" {
		password.DefaultParams, password.MinParams = webtest.Cheap, webtest.Cheap
	}
	testscript.Main(testMain{m}, map[string]func(){"caddy": caddycmd.Main})
}

// testMain stops the servers that tests started.
type testMain struct{ *testing.M }

// Run implements testscript.TestingM.
func (w testMain) Run() int { return testenv.Run(w.M) }

var _ = caddyauth.App{} // registers the module whose configuration the commands read

// TestScripts runs every script of testdata. The commands beyond testscript's own are below.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) < 9 {
		t.Fatalf("scripts are missing: %v %v", scripts, err)
	}
	testscript.Run(t, params("testdata", nil))
}

// params returns the parameters to run the scripts of a folder. setup may be nil.
func params(dir string, setup func(env *testscript.Env)) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("CADDY_ADMIN", "unix/"+filepath.Join(env.WorkDir, "no-caddy-runs-here.sock"))
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("DB", filepath.Join(env.WorkDir, "gate.db"))
			if setup != nil {
				setup(env)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"mode":     modeCmd,
			"password": passwordCmd,
			"manage":   manageCmd,
			"signin":   signInCmd,
			"link":     linkCmd,
			"live":     liveCmd,
			"break":    breakCmd,
			"json":     jsonCmd,
			"tokenid":  tokenIDCmd,
			"accepted": acceptedCmd,
			"factor":   factorCmd,
			"trust":    trustCmd,
		},
	}
}

func withStore(ts *testscript.TestScript, fn func(ctx context.Context, st store.Store)) {
	ctx := context.Background()
	opts := sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: ts.Getenv("DB")}
	if strings.HasPrefix(opts.Path, "postgres://") {
		opts = sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: opts.Path}
	}
	st, err := sqlstore.Open(ctx, opts)
	ts.Check(err)
	defer st.Close()
	fn(ctx, st)
}

func lookup(ctx context.Context, ts *testscript.TestScript, st store.Store, name string) store.User {
	u, err := st.UserByLogin(ctx, name)
	ts.Check(err)
	return u
}

// mode 600 file: checks the permissions of the file.
func modeCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode <octal> <file>")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := info.Mode().Perm(); got != os.FileMode(want) {
		ts.Fatalf("%s has mode %o, want %o", args[1], got, want)
	}
}

// [!] password user file: checks that the password in the file is (not) the user's.
func passwordCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] password <user> <file>")
	}
	pass := ts.ReadFile(args[1])
	if pass != "" && pass[len(pass)-1] == '\n' {
		pass = pass[:len(pass)-1]
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		u := lookup(ctx, ts, st, args[0])
		ok, _, err := password.NewHasher(password.MinParams, nil).Verify(ctx, u.PasswordHash, pass)
		ts.Check(err)
		if ok == neg {
			ts.Fatalf("the password in %s works for %s: %v", args[1], args[0], ok)
		}
	})
}

// manage user: makes the user the deployment's root administrator.
func manageCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: manage <user>")
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		ts.Check(st.Change(ctx, func(tx store.Tx) error {
			u, err := tx.UserByUsername(ctx, args[0])
			if err != nil {
				return err
			}
			u.Managed = true
			_, err = tx.UpdateUser(ctx, u)
			return err
		}))
	})
}

// signin user NAME: creates a session and puts its id into the variable NAME and its token into NAME_TOKEN.
func signInCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signin <user> <variable>")
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		m := session.NewManager(st, session.Options{})
		defer m.Close()
		u := lookup(ctx, ts, st, args[0])
		ts.Check(st.Change(ctx, func(tx store.Tx) error {
			token, s, err := m.Start(ctx, tx, session.StartOptions{
				User: u, Limits: session.DefaultLimits, Method: "password", AuthAt: time.Now(), IP: "192.0.2.1", UserAgent: "Fire\x1b[31mfox",
			})
			ts.Setenv(args[1], s.ID)
			ts.Setenv(args[1]+"_TOKEN", token)
			return err
		}))
	})
}

// link user SUBJECT: links an identity at a provider to a user.
func linkCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: link <user> <subject>")
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		u := lookup(ctx, ts, st, args[0])
		ts.Check(st.Change(ctx, func(tx store.Tx) error {
			return tx.CreateIdentity(ctx, store.Identity{
				Issuer: "https://idp.example", Subject: args[1], UserID: u.ID,
				Provider: "corp", CreatedAt: time.Now(),
			})
		}))
	})
}

// [!] live token: checks that the session of the token is (not) live.
func liveCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] live <token>")
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		m := session.NewManager(st, session.Options{})
		defer m.Close()
		_, err := m.Peek(ctx, args[0])
		if err != nil && !errors.Is(err, session.ErrNone) {
			ts.Check(err)
		}
		if (err == nil) == neg {
			ts.Fatalf("live: %v", err == nil)
		}
	})
}

// json [member...]: checks that the last command printed one JSON value and nothing else on standard output. It is an
// object with exactly these members, or a list of at least one such object. Without members, it is a list of
// anything.
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: json [member...]")
	}
	var list []json.RawMessage
	raw := []byte(ts.ReadFile("stdout"))
	want := strings.Fields(strings.Join(args, " ")) // a variable may hold several
	if err := json.Unmarshal(raw, &list); err != nil {
		list = []json.RawMessage{raw}
	} else if len(list) == 0 {
		ts.Fatalf("the list is empty")
	}
	slices.Sort(want)
	for _, item := range list {
		var object map[string]json.RawMessage
		ts.Check(json.Unmarshal(item, &object))
		if have := slices.Sorted(maps.Keys(object)); len(want) > 0 && !slices.Equal(have, want) {
			ts.Fatalf("the members are %v, want %v", have, want)
		}
	}
}

// tokenid user NAME: puts the id of the user's newest token into the variable NAME.
func tokenIDCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tokenid <user> <variable>")
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		page, err := st.Tokens(ctx, store.TokenQuery{UserID: lookup(ctx, ts, st, args[0]).ID})
		ts.Check(err)
		if len(page.Items) == 0 {
			ts.Fatalf("%s has no token", args[0])
		}
		ts.Setenv(args[1], page.Items[0].ID)
	})
}

// [!] accepted file user: checks that the file holds one token alone, and that the user (does not) act with it.
func acceptedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] accepted <file> <user>")
	}
	text, ok := strings.CutSuffix(ts.ReadFile(args[0]), "\n")
	if !ok || !credential.Valid(text) {
		ts.Fatalf("%s holds %q, which is no token alone", args[0], text)
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		m := session.NewManager(st, session.Options{})
		defer m.Close()
		l, _, err := m.ResolveToken(ctx, text, netip.Addr{}, 0)
		if err != nil && !errors.Is(err, session.ErrNone) {
			ts.Check(err)
		}
		if (err == nil && l.User.Username == args[1]) == neg {
			ts.Fatalf("accepted: %v", err)
		}
	})
}

// break statement: runs SQL in the store to damage it.
func breakCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: break <statement>")
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		_, err := st.(*sqlstore.DB).Maintenance().ExecContext(ctx, args[0])
		ts.Check(err)
	})
}

// TestCommandsTakeEffectOnARunningServerWithinASecond watches a store like a server while another process changes it.
func TestCommandsTakeEffectOnARunningServerWithinASecond(t *testing.T) {
	t.Parallel()
	for _, verb := range [][]string{
		{"user", "disable", "ada"},
		{"user", "delete", "ada", "--yes"},
		{"session", "revoke", "--user", "ada"},
		{"user", "reset-mfa", "ada", "--yes"},
		{"session", "revoke", "--all", "--yes"},
	} {
		t.Run(fmt.Sprint(verb), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "gate.db")
			st, err := sqlstore.Open(ctx, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			m := session.NewManager(st, session.Options{})
			defer m.Close()
			var token string
			err = st.Change(ctx, func(tx store.Tx) (err error) {
				u := store.User{
					ID: store.NewID(time.Now()), Username: "ada", Role: store.RoleUser, Active: true, Local: true,
					CreatedAt: time.Now(),
				}
				if err := tx.CreateUser(ctx, u); err != nil {
					return err
				}
				token, _, err = m.Start(ctx, tx, session.StartOptions{
					User: u, Limits: session.DefaultLimits, Method: "password",
					AuthAt: time.Now(),
				})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			live, err := m.Resolve(ctx, token)
			if err != nil {
				t.Fatal(err)
			}
			var request session.Follower
			stream := m.Follow(ctx, live, &request)
			defer request.Release()

			runCaddy(t, append(append([]string{"gatehouse"}, verb...), "--store", path)...)
			done := time.Now()
			select {
			case <-stream.Done():
			case <-time.After(time.Second):
				t.Error("an open stream was not closed within a second")
			}
			for ; ; time.Sleep(5 * time.Millisecond) {
				_, err := m.Resolve(ctx, token)
				if errors.Is(err, session.ErrNone) {
					break
				}
				if time.Since(done) > time.Second {
					t.Fatalf("the session is still live after a second: %v", err)
				}
			}
		})
	}
}
