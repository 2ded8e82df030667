package sqlstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// plan answers how SQLite would run the query.
func plan(t *testing.T, db *sqlstore.DB, q sqlstore.Recorded) string {
	t.Helper()
	rows, err := db.Pool().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.Query, q.Args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var id, parent, unused int64
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pages looks at the queries of the first two pages of lists.
type pages struct {
	db  *sqlstore.DB
	rec *sqlstore.Recorder
}

// check looks at the plans of a list. One of rare rows has to walk an index of those alone.
func (p pages) check(t *testing.T, name string, rare bool, list func(cursor string) (next string, err error)) {
	t.Helper()
	p.rec.Take()
	next, err := list("")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if next == "" {
		t.Fatalf("%s: there is no second page to look at", name)
	}
	if _, err := list(next); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for i, q := range p.rec.Take() {
		steps := plan(t, p.db, q)
		for line := range strings.Lines(steps) {
			if isSlow(line, strings.Contains(q.Query, "both_lists")) {
				t.Errorf("%s, page %d: %s\n%s", name, i+1, q.Query, steps)
			}
		}
		if rare && !strings.Contains(steps, "users_admin_by") && !strings.Contains(steps, "users_pending_by") && !strings.Contains(steps, "users_inactive_by") {
			t.Errorf("%s, page %d reads all users: %s", name, i+1, steps)
		}
	}
}

// isSlow judges a step of a plan. A list that joins two bounded lists may sort and read those.
func isSlow(step string, joins bool) bool {
	if strings.Contains(step, "TEMP B-TREE") {
		return !joins
	}
	if !strings.HasPrefix(step, "SCAN") || strings.Contains(step, "INDEX") {
		return false
	}
	return !joins || strings.Contains(step, "events")
}

// With a million rows a list that sorts, or reads the whole table for a page, is of no use. Only a search for a part of
// a text may read on until its page is full.
func TestListsWalkAnIndex(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	fill(t, db, 30)
	for _, set := range []string{`role = 'admin'`, `pending = 1`, `active = 0`} { // enough of each for a second page
		if _, err := db.Writer().ExecContext(t.Context(), `UPDATE users SET `+set+` WHERE username_key LIKE 'user1_'`); err != nil {
			t.Fatal(err)
		}
	}
	p := pages{db, sqlstore.Record(db)}
	ctx := t.Context()
	for _, sort := range []store.UserSort{"", "username", "-username", "email", "-email", "created", "-created", "last_login", "-last_login"} {
		for _, q := range []store.UserQuery{
			{}, {Role: store.RoleUser}, {Status: "active"}, {Status: "never"}, {Role: store.RoleAdmin}, {Status: "pending"}, {Status: "inactive"},
		} {
			q.Sort, q.Limit = sort, 3
			rare := q.Role == store.RoleAdmin || q.Status == "pending" || q.Status == "inactive"
			p.check(t, fmt.Sprintf("users %+v", q), rare, func(c string) (string, error) {
				q.Cursor = c
				page, err := db.Users(ctx, q)
				return page.Next, err
			})
		}
	}
	user, err := db.UserByUsername(ctx, "user0")
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]store.SessionQuery{"everyone's sessions": {}, "a user's sessions": {UserID: user.ID}} {
		p.check(t, name, false, func(c string) (string, error) {
			q.Cursor, q.Limit, q.Now = c, 3, time.Now()
			page, err := db.Sessions(ctx, q)
			return page.Next, err
		})
	}
	for name, q := range map[string]store.EventQuery{
		"events": {}, "of a user": {UserID: user.ID}, "of an actor": {Actor: "USER0"}, "of an action": {Action: "session.sign_in"},
		"of a group": {Action: "session."}, "of an outcome": {Outcome: store.Success}, "from": {From: time.Now().Add(-time.Hour)},
		"to": {To: time.Now().Add(time.Hour)},
	} {
		p.check(t, "events "+name, false, func(c string) (string, error) {
			q.Cursor, q.Limit = c, 3
			page, err := db.Events(ctx, q)
			return page.Next, err
		})
	}
}

func TestLookUpsUseAnIndex(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	fill(t, db, 5)
	rec := sqlstore.Record(db)
	ctx, hash := t.Context(), store.HashToken("x")
	for name, call := range map[string]func() error{
		"session": func() error { _, _, err := db.SessionByToken(ctx, hash); return err },
		"by id":   func() error { _, _, err := db.Session(ctx, "x"); return err },
		"user":    func() error { _, err := db.User(ctx, "x"); return err },
		"login":   func() error { _, err := db.UserByLogin(ctx, "x"); return err },
		"name":    func() error { _, err := db.UserByUsername(ctx, "x"); return err },
		"email":   func() error { _, err := db.UserByLocalEmail(ctx, "x"); return err },
		"admins":  func() error { _, err := db.ActiveAdmins(ctx, 1); return err },
		"ident":   func() error { _, err := db.Identity(ctx, "x", "y"); return err },
		"idents":  func() error { _, err := db.Identities(ctx, "x"); return err },
		"link":    func() error { _, err := db.Link(ctx, hash); return err },
		"device":  func() error { _, err := db.KnownDevice(ctx, hash, "x"); return err },
		"count":   func() error { _, err := db.CountSessions(ctx, time.Now()); return err },
		"sweep":   func() error { _, err := db.Sweep(ctx, time.Now().Add(-24*time.Hour), time.Hour, 10); return err },
	} {
		_ = call() // mostly it finds nothing; the query is what counts
		queries := rec.Take()
		if len(queries) == 0 {
			t.Errorf("%s: no query", name)
		}
		for _, q := range queries {
			for line := range strings.Lines(plan(t, db, q)) {
				if strings.HasPrefix(line, "SCAN") && !strings.Contains(line, "INDEX") && !strings.Contains(line, "expired") {
					t.Errorf("%s: %s reads the whole table: %s", name, q.Query, line)
				}
			}
		}
	}
}

// fill stores n users, each with a session, an event by them and one about them.
func fill(t testing.TB, db *sqlstore.DB, n int) (tokens []string) {
	t.Helper()
	ctx, at := t.Context(), time.Now()
	err := db.Change(ctx, func(tx store.Tx) error {
		var first string
		for i := range n {
			u := store.User{ID: store.NewID(at), Username: fmt.Sprintf("user%d", i), Email: fmt.Sprintf("user%d@example.com", i),
				Role: store.RoleUser, Active: true, Local: true, CreatedAt: at, Groups: []string{"staff"}, PasswordHash: strings.Repeat("h", 100)}
			if err := tx.CreateUser(ctx, u); err != nil {
				return err
			}
			if first == "" {
				first = u.ID
			}
			token := store.NewToken()
			tokens = append(tokens, token)
			err := tx.CreateSession(ctx, store.Session{ID: store.NewID(at), TokenHash: store.HashToken(token), UserID: first, CreatedAt: at,
				AuthAt: at, LastSeenAt: at, Idle: time.Hour, ExpiresAt: at.Add(time.Hour), Method: "password", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)"})
			if err != nil {
				return err
			}
			err = tx.AddEvent(ctx, store.Event{ActorID: first, Actor: "user0", Action: "session.sign_in", TargetID: u.ID, Outcome: store.Success})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func BenchmarkSessionByToken(b *testing.B) {
	for name, open := range map[string]func(testing.TB, ...func(*sqlstore.Options)) *sqlstore.DB{"sqlite": testenv.SQLite, "postgres": testenv.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := open(b)
			tokens := fill(b, db, 10_000)
			i := 0
			for b.Loop() {
				if _, _, err := db.SessionByToken(b.Context(), store.HashToken(tokens[i%len(tokens)])); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}
