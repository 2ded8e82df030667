package testenv

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

func TestMain(m *testing.M) { Main(m) }

// make test runs every package with engine-independent tests on both engines.
func TestEngineIndependentPackagesRunOnBothEngines(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^behavior = (.*) \$\(addprefix \./internal/,(.*)\)$`).FindStringSubmatch(string(makefile))
	if line == nil || !strings.Contains(string(makefile), storeEnv+"=postgres $(plain) $(GO) test") {
		t.Fatal("the Makefile does not run the tests of behavior on PostgreSQL")
	}
	have := strings.Fields(line[1])
	for _, name := range strings.Fields(line[2]) {
		have = append(have, "./internal/"+name)
	}
	var want []string
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && regexp.MustCompile(`(testenv\.(Store|NewPlace|EmptyPlace)|webtest\.NewServices)\(`).Match(text) {
			dir, _ := filepath.Rel(root, filepath.Dir(path))
			want = append(want, "./"+filepath.ToSlash(dir))
		}
		return err
	})
	slices.Sort(have)
	slices.Sort(want)
	if want = slices.Compact(want); err != nil || !slices.Equal(have, want) {
		t.Errorf("run on PostgreSQL: %v, leave the engine open: %v, %v", have, want, err)
	}
}

// Watch and Rows show every write on both engines.
func TestAPlaceUsesTheEngineUnderTestAndShowsWrites(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Setenv(storeEnv, engine)
		if EmptyPlace(t).Exists(t) {
			t.Errorf("%s: something is there already", engine)
		}
		p := NewPlace(t)
		db := p.Open(t)
		if db.Info().Engine != engine || !p.Exists(t) {
			t.Errorf("%s: opened %s, made=%v", engine, db.Info().Engine, p.Exists(t))
		}
		set := func() {
			t.Helper()
			if err := db.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "k", "something written") }); err != nil {
				t.Fatal(err)
			}
		}
		set()
		dump, done := p.Watch(t)
		defer done()
		before := dump()
		if dump() != before {
			t.Errorf("%s: it differs although nothing was written", engine)
		}
		set() // the same value
		if dump() == before {
			t.Errorf("%s: a write was not noticed", engine)
		}
		if !strings.Contains(p.Rows(t), "something written") {
			t.Errorf("%s: a row is missing", engine)
		}
		p.Break(t)
		if err := db.Ping(t.Context()); err == nil {
			t.Errorf("%s: it answers although it is broken", engine)
		}
	}
}
