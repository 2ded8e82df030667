package sqlstore_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// backToThree makes the schema that of version 3, as an update finds it.
var backToThree = []string{
	`DROP TABLE trusted_browsers`, `DROP INDEX sessions_trusted`,
	`DROP TABLE passkeys`, `ALTER TABLE users DROP COLUMN webauthn_handle`,
	`DROP TABLE half_logins`, `DROP TABLE recovery_codes`, `DROP TABLE totps`, `DROP INDEX users_with_mfa`, `DROP INDEX users_without_mfa`,
	`ALTER TABLE users DROP COLUMN totp_count`, `ALTER TABLE users DROP COLUMN passkey_count`, `ALTER TABLE users DROP COLUMN ask_second_factor`,
	`ALTER TABLE users DROP COLUMN mfa_due_at`, `ALTER TABLE users DROP COLUMN mfa_failures`, `ALTER TABLE users DROP COLUMN codes_saved`,
	`ALTER TABLE users DROP COLUMN notices_seen_at`, `ALTER TABLE sessions DROP COLUMN methods`, `ALTER TABLE sessions DROP COLUMN mfa_at`,
	`DROP TABLE device_grants`, `DROP TABLE tokens`, `DROP INDEX users_service_by_username`, `DROP INDEX users_service_by_email`, `DROP INDEX users_service_by_created`,
	`DROP INDEX users_service_by_last_login`, `ALTER TABLE users DROP COLUMN kind`,
	`DROP TABLE former_names`, `DROP TABLE session_sids`, `ALTER TABLE users DROP COLUMN role_provided`, `ALTER TABLE users DROP COLUMN provided_groups`,
	`ALTER TABLE sessions DROP COLUMN claims`, `DELETE FROM gatehouse_schema WHERE version_id >= 4`,
}

// A store of an older version: provided roles and groups are derived from the identities, and granted ones are kept.
func TestMigrationSeparatesProvidedFromGrantedRoles(t *testing.T) {
	t.Parallel()
	path, dsn := testenv.SQLitePath(t), testenv.MigratedDSN(t)
	for name, open := range map[string]func(with ...func(*sqlstore.Options)) *sqlstore.DB{
		"sqlite":   func(with ...func(*sqlstore.Options)) *sqlstore.DB { return testenv.OpenSQLite(t, path, with...) },
		"postgres": func(with ...func(*sqlstore.Options)) *sqlstore.DB { return testenv.OpenPostgres(t, dsn, with...) },
	} {
		t.Run(name, func(t *testing.T) {
			db := open()
			at := time.Now().UTC().Truncate(time.Millisecond)
			odd := []string{"a\"b", `c\d`, "ü☃", "<&>", "e f"}
			users := map[string]store.User{
				"local":   {Role: store.RoleAdmin, RoleGranted: true, Groups: []string{"x"}, Origin: store.OriginLocal},
				"theirs":  {Role: store.RoleAdmin, Groups: append([]string{"here"}, odd...), Origin: store.OriginOIDC},
				"granted": {Role: store.RoleAdmin, RoleGranted: true, Groups: []string{"here", "there"}, Origin: store.OriginOIDC},
			}
			err := db.Change(t.Context(), func(tx store.Tx) error { return fillOld(t.Context(), tx, users, odd, at) })
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range append([]string{`UPDATE identities SET group_names = 'broken' WHERE subject = 'broken'`},
				backToThree...) {
				if _, err := db.Writer().ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(func(o *sqlstore.Options) { o.Migrate = true })
			slices.Sort(odd)
			for name, want := range map[string]store.User{
				"local": {}, "theirs": {RoleProvided: true, ProvidedGroups: odd}, "granted": {ProvidedGroups: []string{"there"}},
			} {
				got, err := db.UserByUsername(t.Context(), name)
				slices.Sort(got.ProvidedGroups)
				if err != nil || got.RoleProvided != want.RoleProvided || !slices.Equal(got.ProvidedGroups, want.ProvidedGroups) {
					t.Errorf("%s: %t, %q, %v", name, got.RoleProvided, got.ProvidedGroups, err)
				}
			}
			page, err := db.Sessions(t.Context(), store.SessionQuery{Now: at})
			// nothing that was cleaned before counts as proved
			if err != nil || len(page.Items) != 1 || page.Items[0].Claims != "" {
				t.Errorf("sessions %+v, %v", page.Items, err)
			}
		})
	}
}

// During an update an older version grants a role to a user who had it from a provider. It does not write the new
// column, but the role counts as granted, also for the last-admin rule.
func TestARoleGrantedByAnOlderVersionCounts(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	var users []store.User
	for _, name := range []string{"own", "theirs"} {
		at := time.Now().UTC()
		u := store.User{
			ID: store.NewID(at), Username: name, Role: store.RoleAdmin, RoleProvided: name == "theirs",
			Active: true, PasswordHash: "hash", CreatedAt: at,
		}
		if err := db.Change(t.Context(), func(tx store.Tx) error { return tx.CreateUser(t.Context(), u) }); err != nil {
			t.Fatal(err)
		}
		users = append(users, u)
	}
	if _, err := db.Writer().ExecContext(t.Context(),
		`UPDATE users SET role_granted = 1 WHERE username = 'theirs'`); err != nil {
		t.Fatal(err)
	}
	if u, err := db.User(t.Context(), users[1].ID); err != nil || u.RoleProvided {
		t.Errorf("%+v, %v", u, err)
	}
	if err := db.Change(t.Context(), func(tx store.Tx) error { return tx.DeleteUser(t.Context(), users[0].ID) }); err != nil {
		t.Errorf("they do not count: %v", err)
	}
}

func fillOld(ctx context.Context, tx store.Tx, users map[string]store.User, odd []string, at time.Time) error {
	for name, u := range users {
		u.ID, u.Username, u.Active, u.CreatedAt = store.NewID(at), name, true, at
		if err := tx.CreateUser(ctx, u); err != nil {
			return err
		}
		if name == "local" {
			continue
		}
		groups := map[string][]string{"theirs": odd, "granted": {"there"}}[name]
		for _, subject := range []string{name, "broken"} {
			id := store.Identity{Issuer: "i", Subject: subject, UserID: u.ID, Groups: groups, CreatedAt: at}
			if subject == "broken" {
				if name == "theirs" {
					continue
				}
				id.Groups = nil
			}
			if err := tx.CreateIdentity(ctx, id); err != nil {
				return err
			}
		}
		if name == "granted" {
			err := tx.CreateSession(ctx, store.Session{
				ID: store.NewID(at), TokenHash: store.HashToken("t"), UserID: u.ID, CreatedAt: at, LastSeenAt: at, Idle: time.Hour,
				ExpiresAt: at.Add(time.Hour), Method: "oidc", Provider: "p", Issuer: "i", Subject: name,
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
