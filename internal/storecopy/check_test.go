package storecopy_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func findings(t *testing.T, db *sqlstore.DB) []string {
	t.Helper()
	before := dump(t, db.Maintenance())
	report, err := storecopy.Check(t.Context(), side(db))
	if err != nil {
		t.Fatal(err)
	}
	after := dump(t, db.Maintenance())
	for name := range before {
		if !slices.Equal(before[name], after[name]) {
			t.Errorf("the check changed %s", name)
		}
	}
	var list []string
	for _, f := range report.Findings {
		if f.Detail == "" {
			t.Errorf("%s says nothing", f.Check)
		}
		list = append(list, f.Check)
	}
	return list
}

// Each fault is found, and nothing else is reported.
func TestCheckFindsEachFault(t *testing.T) {
	t.Parallel()
	for want, statements := range map[string][]string{
		"":                 nil,
		"no administrator": {`UPDATE users SET role = 'user'`},
		"orphans":          {`UPDATE links SET user_id = 'nobody'`},
		"second factors":   {`UPDATE users SET totp_count = 0`},
		"session epoch":    {`UPDATE sessions SET epoch = 5`},
		"change counter":   {`UPDATE change_counter SET seq = 0`, `UPDATE changes SET seq = seq + 1000`},
		"time":             {`UPDATE sessions SET over_at = expires_at + 1`},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, opts sqlstore.Options) {
				db := open(t, opts)
				fill(t, db, 8)
				for _, s := range statements {
					if _, err := db.Maintenance().ExecContext(t.Context(), s); err != nil {
						t.Fatal(err)
					}
				}
				got := findings(t, db)
				if want == "" && len(got) > 0 || want != "" && !slices.Equal(got, []string{want}) {
					t.Errorf("found %q, want %q", got, want)
				}
			})
		})
	}
}

// Faults that only SQLite allows: orphaned rows, values of another type.
func TestCheckFindsFaultsThatSQLiteAllows(t *testing.T) {
	t.Parallel()
	for want, statements := range map[string][]string{
		"orphans": {
			`PRAGMA foreign_keys = OFF`, `UPDATE sessions SET user_id = 'nobody' WHERE ip <> ''`,
			`PRAGMA foreign_keys = ON`,
		},
		"malformed value": {`UPDATE users SET epoch = 'many'`},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			opts := engines["sqlite"](t)
			db := open(t, opts)
			fill(t, db, 8)
			for _, s := range statements {
				if _, err := db.Maintenance().ExecContext(t.Context(), s); err != nil {
					t.Fatal(s, err)
				}
			}
			report, err := storecopy.Check(t.Context(), side(db))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(report.Findings, func(f storecopy.Finding) bool { return f.Check == want }) {
				t.Errorf("found %v, want %q", report.Findings, want)
			}
		})
	}
}

// An index that disagrees with its table: queries would not find a session, and could not end it.
func TestCheckFindsADamagedFile(t *testing.T) {
	t.Parallel()
	opts := engines["sqlite"](t)
	db, err := sqlstore.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db, 8)
	var page, size int64
	err = db.Maintenance().QueryRowContext(t.Context(), `SELECT rootpage, page_size FROM sqlite_master, pragma_page_size
		WHERE name = 'sessions_token_hash'`).Scan(&page, &size)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(opts.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("AAAAAAAA"), page*size-30) // in the last key of the page
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if got := findings(t, open(t, opts)); !slices.Contains(got, "damaged file") {
		t.Errorf("found %q", got)
	}
}

// The test servers run without durability settings, which the check reports.
func TestCheckReportsUnsafePostgresSettings(t *testing.T) {
	t.Parallel()
	db := open(t, engines["postgres"](t))
	db.Maintenance().SetMaxOpenConns(1) // the setting is that of one connection
	if _, err := db.Maintenance().ExecContext(t.Context(), `SET synchronous_commit = off`); err != nil {
		t.Fatal(err)
	}
	report, err := storecopy.Check(t.Context(), side(db))
	if err != nil || !slices.ContainsFunc(report.Notes, func(n string) bool {
		return n == "PostgreSQL's synchronous_commit is off: a sign-out that was acknowledged may be undone by a power cut"
	}) {
		t.Errorf("%v, %v", report.Notes, err)
	}
}

// Sums depend on everything except the order of rows.
func TestSumsDifferForDifferentRows(t *testing.T) {
	t.Parallel()
	h := func(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }
	sum := func(rows ...string) (s storecopy.Sum) {
		for _, r := range rows {
			s.Add(h(r))
		}
		return s
	}
	if sum("a", "b", "c") != sum("c", "a", "b") {
		t.Error("the order counts")
	}
	different := []storecopy.Sum{
		sum(), sum("a"), sum("a", "a"), sum("a", "a", "a"), sum("b"), sum("a", "b"),
		sum("a", "b", "b"),
	}
	for i, a := range different {
		for _, b := range different[i+1:] {
			if a == b {
				t.Errorf("two contents have the sum %s", a)
			}
		}
	}
	var ones, one storecopy.Sum
	for i := range ones {
		ones[i] = 0xff
	}
	one[len(one)-1] = 1
	if ones.Add([sha256.Size]byte(one)); ones != (storecopy.Sum{}) {
		t.Errorf("the carry is lost: %x", ones)
	}
}

func TestCountReturnsEveryTable(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, opts sqlstore.Options) {
		db := open(t, opts)
		fill(t, db, 8)
		list, err := storecopy.Count(t.Context(), side(db))
		if err != nil || len(list) != len(tables(t)) {
			t.Fatalf("%v, %v", list, err)
		}
		for _, c := range list {
			if (c.Table == "users" || c.Table == "sessions") && c.Rows != 8 {
				t.Errorf("%s: %d", c.Table, c.Rows)
			}
		}
	})
}

// Whichever page of a backup is overwritten: it is detected before anything is replaced, unless the page was unused.
func TestADamagedBackupIsDetected(t *testing.T) {
	t.Parallel()
	db := open(t, engines["sqlite"](t))
	fill(t, db, 150)
	want := dump(t, db.Maintenance())
	file := filepath.Join(t.TempDir(), "b.db")
	if err := storecopy.Backup(t.Context(), side(db), file, nil, storecopy.Options{}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	addFinding, dir := 0, t.TempDir()
	for page := 1; page < len(content)/4096; page += 3 {
		spoilt := slices.Clone(content)
		copy(spoilt[page*4096+8:(page+1)*4096], bytes.Repeat([]byte{0xa5}, 4088))
		path := filepath.Join(dir, fmt.Sprintf("%d.db", page))
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		raw, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		damage, err := storecopy.Damage(t.Context(), storecopy.Side{DB: raw, Engine: "sqlite", Location: path})
		if err != nil || damage != "" {
			addFinding++
		} else {
			same(t, want, dump(t, raw))
		}
		if err := raw.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if addFinding < 10 {
		t.Errorf("only %d damages were found", addFinding)
	}
}
