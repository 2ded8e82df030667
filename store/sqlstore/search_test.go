package sqlstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// backToOne takes a schema back to what its first migration made, as an update finds it.
var backToOne = map[string][]string{
	sqlstore.EngineSQLite: {
		`DROP TRIGGER user_search_insert`, `DROP TRIGGER user_search_update`, `DROP TRIGGER user_search_regroup`, `DROP TRIGGER user_search_delete`,
		`DROP TABLE user_search`, `DROP TABLE user_search_rows`, `DROP TABLE user_search_groups`,
	},
	sqlstore.EnginePostgres: {
		`DROP TRIGGER user_search_insert ON users`, `DROP TRIGGER user_search_update ON users`, `DROP FUNCTION gatehouse_user_search()`,
		`DROP TABLE user_search`, `DROP FUNCTION gatehouse_grams(TEXT)`,
	},
}

// An update puts the accounts that are there already into the index of texts, one with broken groups among them.
func TestAnUpdateIndexesTheAccountsThatAreThere(t *testing.T) {
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
			statements := append(backToOne[engine], `DELETE FROM gatehouse_schema WHERE version_id = 2`,
				`UPDATE users SET group_names = 'broken' WHERE username_key = 'user7'`,
				`DROP INDEX identities_by_provider`, `DROP INDEX users_local`, `DROP INDEX sessions_by_ip`, `DROP INDEX links_open_by_user`,
				`DROP INDEX events_by_ip`, `DROP INDEX events_by_request`)
			for _, s := range statements {
				if _, err := old.Writer().ExecContext(t.Context(), s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := sqlstore.Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			sqlstore.SetReach(db, []int{1, 1}, 1000, 1000) // so that only the index can find them
			for text, want := range map[string]int{"user29": 11, "ser299": 1, "@example.com": 300, "nobody": 0} {
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
			repair(t, db)
		})
	}
}

// repair gives the account with broken groups good ones: triggers that read the old ones must not stumble.
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
