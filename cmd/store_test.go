package cmd_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// TestStoreScripts runs the scripts about whole stores on SQLite and PostgreSQL. $DB is an empty store ($FROM with
// its engine), $OTHER one of the other engine ($TO).
func TestStoreScripts(t *testing.T) {
	t.Parallel()
	for engine, at := range map[string]func(env *testscript.Env, dsn string) string{
		"sqlite":   func(env *testscript.Env, _ string) string { return filepath.Join(env.WorkDir, "gate.db") },
		"postgres": func(_ *testscript.Env, dsn string) string { return dsn },
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			for _, script := range []string{"assertion", "backup", "check", "migrate"} {
				t.Run(script, func(t *testing.T) {
					t.Parallel()
					one, two := testenv.PostgresDSN(t), testenv.PostgresDSN(t)
					p := params("", func(env *testscript.Env) {
						full := map[string]string{"sqlite": two, "postgres": one}[engine] // the non-empty one on PostgreSQL
						if err := os.WriteFile(filepath.Join(env.WorkDir, "pg.env"), []byte("FULL_DSN="+full+"\n"), 0o600); err != nil {
							t.Fatal(err)
						}
						env.Setenv("DB", at(env, one))
						env.Setenv("ENGINE", engine)
						// The location of the store on the other engine.
						other := map[string]string{"sqlite": two, "postgres": filepath.Join(env.WorkDir, "other.db")}[engine]
						env.Setenv("OTHER", other)
						env.Setenv("FROM", engine+":"+env.Getenv("DB"))
						env.Setenv("TO", map[string]string{"sqlite": "postgres:", "postgres": "sqlite:"}[engine]+other)
					})
					p.Files = []string{filepath.Join("testdata", "store", script+".txt")}
					testscript.Run(t, p)
				})
			}
		})
	}
}
