package sqlstore_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// olderStore fills a store and reverts it to the folding rule that distinguished names by invisible characters.
type olderStore struct {
	t  *testing.T
	db *sqlstore.DB
	at time.Time
}

// add creates a user with a plain name, and then sets the text and the keys as an older version stored them.
func (o *olderStore) add(u store.User) store.User {
	o.t.Helper()
	o.at = o.at.Add(time.Minute)
	username, email := u.Username, u.Email
	u.ID, u.CreatedAt = store.NewID(o.at), o.at
	u.Username, u.Email, u.Role, u.Active = u.ID, "", store.RoleUser, true
	err := o.db.Change(o.t.Context(), func(tx store.Tx) error {
		if err := tx.CreateUser(o.t.Context(), u); err != nil {
			return err
		}
		return tx.CreateSession(o.t.Context(), store.Session{
			ID: store.NewID(o.at), TokenHash: store.HashToken(store.NewToken()), UserID: u.ID, CreatedAt: o.at, AuthAt: o.at, LastSeenAt: o.at,
			Idle: time.Hour, ExpiresAt: o.at.Add(10000 * time.Hour), IP: "192.0.2.7", Method: "password",
		})
	})
	if err == nil {
		err = o.db.AddEvents(o.t.Context(), store.Event{
			Time: o.at, ActorID: u.ID, Actor: username,
			Action: "session.sign_in", TargetID: u.ID, Target: username,
		})
	}
	if err != nil {
		o.t.Fatal(err)
	}
	o.exec(`UPDATE users SET username = $2, username_key = $3, email = $4, email_key = $5, email_verified = 1, search = $6 WHERE id = $1`,
		u.ID, username, strings.ToLower(username), email, strings.ToLower(email), strings.ToLower(username)+"\n"+strings.ToLower(email)+"\n")
	o.exec(`UPDATE sessions SET search = $2 WHERE user_id = $1`, u.ID, strings.ToLower(username)+"\n192.0.2.7")
	o.exec(`UPDATE events SET actor_key = $2, search = $2 WHERE actor_id = $1`, u.ID, strings.ToLower(username))
	return u
}

func (o *olderStore) exec(query string, args ...any) {
	o.t.Helper()
	if _, err := o.db.Writer().ExecContext(o.t.Context(), query, args...); err != nil {
		o.t.Fatal(err)
	}
}

func TestRefoldingLosesNoAccount(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "new", "gatehouse.db")
		refolds(t, func() *sqlstore.DB { return testenv.OpenSQLite(t, path) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := testenv.PostgresDSN(t)
		refolds(t, func() *sqlstore.DB { return testenv.OpenPostgres(t, dsn) })
	})
}

func refolds(t *testing.T, open func() *sqlstore.DB) {
	ctx := t.Context()
	o := &olderStore{t: t, db: open(), at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	early := o.add(store.User{
		Username: "admin\u034f", Email: "a\u00ad@corp.example", Local: true,
		Origin: store.OriginLocal,
	})
	plain := o.add(store.User{Username: "Admin", Email: "a@corp.example", Local: true, Origin: store.OriginLocal})
	third := o.add(store.User{Username: "admin\ufe0f", Origin: store.OriginOIDC})
	taken := o.add(store.User{Username: "admin-2", Origin: store.OriginLocal})
	alone := o.add(store.User{Username: "j\u200bim", Email: "jim@corp.example", Local: true, Origin: store.OriginLocal})
	blank := o.add(store.User{Username: "\u3164", Origin: store.OriginOIDC})
	lower := o.add(store.User{Username: "\uab70", Origin: store.OriginOIDC})
	for _, statement := range backToThree {
		o.exec(statement)
	}
	if err := o.db.Close(); err != nil {
		t.Fatal(err)
	}
	db := open()
	names := map[string]string{}
	for _, u := range []store.User{early, plain, third, taken, alone, blank, lower} {
		got, err := db.User(ctx, u.ID)
		if err != nil {
			t.Fatalf("an account is lost: %v", err)
		}
		names[u.ID] = got.Username
		if by, err := db.UserByUsername(ctx, got.Username); err != nil || by.ID != u.ID {
			t.Errorf("%+q is not found by its name: %v", got.Username, err)
		}
		sessions, err := db.Sessions(ctx, store.SessionQuery{Text: got.Username, Now: o.at, Limit: 10})
		if err != nil || len(sessions.Items) == 0 {
			t.Errorf("the session of %+q is not found: %v", got.Username, err)
		}
	}
	for id, want := range map[string]string{
		plain.ID: "Admin", early.ID: "admin-3", third.ID: "admin-4", taken.ID: "admin-2", alone.ID: "j\u200bim", blank.ID: "user-2", lower.ID: "\uab70",
	} {
		if names[id] != want {
			t.Errorf("is called %+q, want %+q", names[id], want)
		}
	}
	if u, _ := db.User(ctx, early.ID); u.Email != "" || u.EmailVerified {
		t.Errorf("two accounts have one address: %q", u.Email)
	}
	if u, err := db.UserByLogin(ctx, "a@corp.example"); err != nil || u.ID != plain.ID {
		t.Errorf("the address signs in %q, %v", u.Username, err)
	}
	if u, err := db.UserByLogin(ctx, "jim"); err != nil || u.ID != alone.ID {
		t.Errorf("jim is %q, %v", u.Username, err)
	}
	checkAuditLog(ctx, t, db, early.ID, third.ID, blank.ID)
	if page, err := db.Events(ctx, store.EventQuery{Actor: "jim", Text: "jim"}); err != nil || len(page.Items) != 1 {
		t.Errorf("what jim did is not found: %d, %v", len(page.Items), err)
	}
	if page, err := db.Users(ctx, store.UserQuery{Text: "jim@"}); err != nil || len(page.Items) != 1 {
		t.Errorf("jim is not found: %d, %v", len(page.Items), err)
	}
}

// checkAuditLog checks that the audit log has an entry for exactly these accounts.
func checkAuditLog(ctx context.Context, t *testing.T, db *sqlstore.DB, ids ...string) {
	t.Helper()
	page, err := db.Events(ctx, store.EventQuery{Action: "user.update", ActorKind: store.ActorStartUp})
	if err != nil || len(page.Items) != len(ids) {
		t.Errorf("%d events, %v", len(page.Items), err)
	}
	for _, id := range ids {
		page, err := db.Events(ctx, store.EventQuery{Action: "user.update", UserID: id})
		if err != nil || len(page.Items) != 1 ||
			page.Items[0].Details["before.username"] == page.Items[0].Details["after.username"] {
			t.Errorf("the audit log says %+v, %v", page.Items, err)
		}
	}
}
