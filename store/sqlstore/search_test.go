package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// downToFirst and revertToFirst revert a schema to its first migration.
var downToFirst = map[string][]string{
	sqlstore.EngineSQLite: {
		`DROP TRIGGER user_search_insert`, `DROP TRIGGER user_search_update`, `DROP TRIGGER user_search_regroup`, `DROP TRIGGER user_search_delete`,
		`DROP TABLE user_search`, `DROP TABLE user_search_rows`, `DROP TABLE user_search_groups`,
	},
	sqlstore.EnginePostgres: {
		`DROP TRIGGER user_search_insert ON users`, `DROP TRIGGER user_search_update ON users`, `DROP FUNCTION gatehouse_user_search()`,
		`DROP TABLE user_search`, `DROP FUNCTION gatehouse_grams(TEXT)`, `DROP FUNCTION gatehouse_groups(TEXT)`,
	},
}

func revertToFirst(t *testing.T, db *sqlstore.DB) {
	t.Helper()
	statements := append(slices.Concat(backToThree, downToFirst[db.Info().Engine]),
		`DELETE FROM gatehouse_schema WHERE version_id >= 2`,
		`ALTER TABLE throttle_buckets DROP COLUMN used`,
		`DROP INDEX identities_by_provider`, `DROP INDEX users_local`, `DROP INDEX sessions_by_ip`, `DROP INDEX links_open_by_user`,
		`DROP INDEX events_by_ip`, `DROP INDEX events_by_request`)
	for _, s := range statements {
		if _, err := db.Writer().ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// A migration adds existing accounts to the text index, including one with malformed groups.
func TestMigrationIndexesExistingAccounts(t *testing.T) {
	t.Parallel()
	path, dsn := filepath.Join(t.TempDir(), "gatehouse.db"), testenv.PostgresDSN(t)
	for engine, opts := range map[string]sqlstore.Options{
		sqlstore.EngineSQLite:   {Engine: sqlstore.EngineSQLite, Path: path, Migrate: true},
		sqlstore.EnginePostgres: {Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true},
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			old, err := sqlstore.Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			fill(t, old, 300)
			member := withManyGroups(t, old)
			revertToFirst(t, old)
			if _, err := old.Writer().ExecContext(t.Context(),
				`UPDATE users SET group_names = 'broken' WHERE username_key = 'user7'`); err != nil {
				t.Fatal(err)
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			soon, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			db, err := sqlstore.Open(soon, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			sqlstore.SetSearchBudget(db, []int{1, 1}, 1000, 1000) // so that only the index can find them
			for text, want := range map[string]int{
				"user29": 11, "ser299": 1, "@example.com": 301, "any groups": 1,
				"nobody": 0,
			} {
				got, _ := walkPages(t, text, 1000, func(c string) (keys []string, next string, err error) {
					page, err := db.Users(t.Context(), store.UserQuery{Text: text, Cursor: c, Limit: 1000})
					for _, u := range page.Items {
						keys = append(keys, u.ID)
					}
					return keys, page.Next, err
				})
				if len(got) != want {
					t.Errorf("%q finds %d, want %d", text, len(got), want)
				}
			}
			if n, err := db.CountUsers(t.Context(), store.UserQuery{Group: "staff"}); err != nil || n != 299 {
				t.Errorf("the group has %d, %v, want 299", n, err)
			}
			inGroups(t, db, member)
			repair(t, db)
		})
	}
}

// A sign-in and a migration at the same time could deadlock, as each locks tables that the other needs next. The
// migration waits, and both succeed.
func TestMigrationWaitsForChangesInProgress(t *testing.T) {
	t.Parallel()
	dsn := testenv.PostgresDSN(t)
	opts := sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn, Migrate: true}
	old := testenv.OpenPostgres(t, dsn)
	fill(t, old, 3)
	ctx := t.Context()
	u, err := old.UserByUsername(ctx, "user1")
	if err != nil {
		t.Fatal(err)
	}
	revertToFirst(t, old)
	updated := make(chan error, 1)
	err = old.Change(ctx, func(tx store.Tx) error {
		at := time.Now()
		if err := tx.SetLastLogin(ctx, u.ID, at); err != nil {
			return err
		}
		go func() {
			db, err := sqlstore.Open(ctx, opts)
			if err == nil {
				err = db.Close()
			}
			updated <- err
		}()
		waiting := `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
		for deadline := at.Add(20 * time.Second); testenv.PostgresText(t, dsn, waiting) == "0"; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the update waits for nothing")
			}
		}
		return tx.PutDevice(ctx, store.HashToken("browser"), u.ID, at, at.Add(time.Hour))
	})
	if err != nil {
		t.Errorf("the change: %v", err)
	}
	if err := <-updated; err != nil {
		t.Errorf("the update: %v", err)
	}
	db := testenv.OpenPostgres(t, dsn, withoutMigrate)
	if known, err := db.KnownDevice(ctx, store.HashToken("browser"), u.ID); !known || err != nil {
		t.Errorf("the change is lost: %v, %v", known, err)
	}
}

// repair sets valid groups on the account with malformed ones: triggers that read the old value must not fail.
func repair(t *testing.T, db *sqlstore.DB) {
	t.Helper()
	ctx := t.Context()
	err := db.Change(ctx, func(tx store.Tx) error {
		u, err := tx.UserByUsername(ctx, "user7")
		if err != nil {
			return err
		}
		u.Groups = []string{"mended", "ünï \" <x>"}
		_, err = tx.UpdateUser(ctx, u)
		return err
	})
	var counted error
	for _, group := range []string{"mended", "ünï \" <x>"} {
		n, err := db.CountUsers(ctx, store.UserQuery{Group: group})
		if n != 1 {
			counted = errors.Join(counted, fmt.Errorf("%s has %d members", group, n))
		}
		counted = errors.Join(counted, err)
	}
	if err := errors.Join(err, counted); err != nil {
		t.Error(err)
	}
}

// withManyGroups creates an account with as many and as long groups as a provider may send, and with two that are too
// long for an index key and share their first characters.
func withManyGroups(t *testing.T, db *sqlstore.DB) store.User {
	t.Helper()
	at := time.Now()
	u := store.User{
		ID: store.NewID(at), Username: "many", Email: "many@example.com", Name: "Many Groups",
		Role: store.RoleUser, Active: true, CreatedAt: at,
	}
	for i := range 200 {
		u.Groups = append(u.Groups, fmt.Sprintf("%03d", i)+strings.Repeat("ü", 251))
	}
	noise := ""
	for range 200 {
		noise += store.NewToken()
	}
	u.Groups = append(u.Groups, noise+"a", noise+"b")
	if err := db.Change(t.Context(), func(tx store.Tx) error { return tx.CreateUser(t.Context(), u) }); err != nil {
		t.Fatal(err)
	}
	u, err := db.User(t.Context(), u.ID)
	if err != nil || len(u.Groups) != 202 {
		t.Fatalf("%d groups, %v", len(u.Groups), err)
	}
	return u
}

// inGroups finds an account by its groups, by the index alone.
func inGroups(t *testing.T, db *sqlstore.DB, u store.User) {
	t.Helper()
	sqlstore.SetSearchBudget(db, []int{1, 1}, 1000, 1000)
	for i, group := range append([]string{"nobody's", u.Groups[0] + "x", u.Groups[0][:3]}, u.Groups...) {
		page, err := db.Users(t.Context(), store.UserQuery{Group: group})
		if found := len(page.Items) == 1 && page.Items[0].ID == u.ID; err != nil || found != (i >= 3) || !found &&
			len(page.Items) > 0 {
			t.Errorf("%.10s (%d) finds %d, %v", group, i, len(page.Items), err)
		}
	}
}

// All changes wait while one account is written, and a provider determines its size. A sign-in with very many groups
// takes no longer than others, and does not fail because of the limits of an index.
func TestManyGroupsDoNotSlowDownChanges(t *testing.T) {
	t.Parallel()
	onEngines(t, 12, func(t *testing.T, db *sqlstore.DB) { // so that the account is not found by scanning
		began := time.Now()
		u := withManyGroups(t, db)
		at := time.Now()
		ident := store.Identity{
			Issuer: "https://idp.example", Subject: "s", UserID: u.ID, Provider: "corp",
			Groups: u.Groups, CreatedAt: at,
		}
		err := db.Change(t.Context(), func(tx store.Tx) error { return tx.CreateIdentity(t.Context(), ident) })
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			u.Groups[3+i] = fmt.Sprintf("%03d", i) + strings.Repeat("é", 251)
			err := db.Change(t.Context(), func(tx store.Tx) error {
				var err error
				if u, err = tx.UpdateUser(t.Context(), u); err != nil {
					return err
				}
				ident.Groups = u.Groups
				if err := tx.UpdateIdentity(t.Context(), ident); err != nil {
					return err
				}
				return errors.Join(tx.SetLastLogin(t.Context(), u.ID, at),
					tx.CreateSession(t.Context(), store.Session{
						ID: store.NewID(at), TokenHash: store.HashToken(store.NewToken()),
						UserID: u.ID, CreatedAt: at, AuthAt: at, LastSeenAt: at, Idle: time.Hour, ExpiresAt: at.Add(time.Hour), Method: "oidc",
					}))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("six changes took %v", took)
		}
		inGroups(t, db, u)
	})
}

// gatehouse_grams returns all trigrams of a text, however long it is.
func TestTrigramsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	db := testenv.Postgres(t)
	parts := func(text string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var list string
		err := db.Pool().QueryRowContext(ctx,
			`SELECT array_to_string(ARRAY(SELECT unnest(gatehouse_grams($1)) COLLATE "C" ORDER BY 1), '|')`, text).Scan(&list)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for text, want := range map[string]string{
		"": "", "a": "", "üx": "", "abc": "abc", "abab": "aba|bab", "ababab": "aba|bab", "aaaaa": "aaa", "a\nb c": "\nb |a\nb|b c",
		"王小明🔑x": "小明🔑|明🔑x|王小明", `{"\,`: `"\,|{"\`,
	} {
		if got := parts(text); got != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
	if got := parts(strings.Repeat("ü", 200_000)); got != "üüü" {
		t.Errorf("a long text has %q", got)
	}
}
