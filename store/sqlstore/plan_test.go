package sqlstore_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// plan returns the engine's query plan. PostgreSQL scans small tables sequentially and sorts few rows: with these
// disabled, it shows whether it could do without.
func plan(t *testing.T, db *sqlstore.DB, q sqlstore.Recorded) string {
	t.Helper()
	explain, disable := "EXPLAIN QUERY PLAN ", []string(nil)
	if db.Info().Engine == sqlstore.EnginePostgres {
		explain, disable = "EXPLAIN ", []string{
			"enable_seqscan", "enable_sort", "enable_incremental_sort",
			"enable_bitmapscan", "enable_hashjoin", "enable_mergejoin",
		}
		if strings.Contains(q.Query, "@>") {
			// such an index supports no other scan
			disable = slices.DeleteFunc(disable, func(s string) bool { return s == "enable_bitmapscan" })
		}
	}
	tx, err := db.Writer().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, setting := range disable {
		if _, err := tx.ExecContext(t.Context(), "SET LOCAL "+setting+" = off"); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.QueryContext(t.Context(), explain+q.Query, q.Args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var id, parent, unused int64
		var detail string
		dest := []any{&id, &parent, &unused, &detail}
		if disable != nil {
			dest = dest[3:]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// readsAll finds the steps of a plan that read a whole table, and sorts those that sort it. The result of a subquery
// with a limit may be read and sorted: its alias is few, found or counted.
var (
	readsAll = regexp.MustCompile(`(?m)^SCAN (?:[a-z]+|\(subquery-\d+\))$|Seq Scan on `)
	bounded  = regexp.MustCompile(`^SCAN (few|found|counted|expired|CONSTANT ROW)$`)
	fewRows  = regexp.MustCompile(`AS few\)| IN \(\$1, \$2`)
	sorts    = regexp.MustCompile(`TEMP B-TREE FOR ORDER BY|Sort Key`)
)

// pages checks the queries of the first two pages of lists.
type pages struct {
	db  *sqlstore.DB
	rec *sqlstore.Recorder
}

// check checks the plans of the first two pages of a list.
func (p pages) check(t *testing.T, name string, list func(cursor string) (next string, err error)) {
	t.Helper()
	p.rec.Take()
	next, err := list("")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if next != "" {
		if _, err := list(next); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for i, q := range p.rec.Take() {
		steps := plan(t, p.db, q)
		for _, step := range readsAll.FindAllString(steps, -1) {
			if !bounded.MatchString(step) {
				t.Errorf("%s, query %d reads a whole table (%s): %s\n%s", name, i+1, step, q.Query, steps)
			}
		}
		if sorts.MatchString(steps) && !fewRows.MatchString(q.Query) {
			t.Errorf("%s, query %d sorts: %s\n%s", name, i+1, q.Query, steps)
		}
	}
}

// With a million rows a list must not sort them, or read the whole table for a page. A page scans an index, or sorts
// the bounded number of rows that a text index has found.
func TestListsUseAnIndex(t *testing.T) {
	t.Parallel()
	onEngines(t, 30, func(t *testing.T, db *sqlstore.DB) {
		for _, set := range []string{`role = 'admin'`, `pending = 1`, `active = 0`, `totp_count = 1`} { // enough of each for a second page
			if _, err := db.Writer().ExecContext(t.Context(),
				`UPDATE users SET `+set+` WHERE username_key LIKE 'user1_'`); err != nil {
				t.Fatal(err)
			}
		}
		// Once by the text index, once by scanning, and once by scanning first.
		for _, few := range []int{1000, 0} {
			sqlstore.SetSearchBudget(db, []int{2, 5}, few, 20*few)
			p := pages{db, sqlstore.Record(db)}
			checkUserLists(t, p)
			checkSessionLists(t, p)
			checkTokenLists(t, p)
			checkEventLists(t, p)
		}
	})
}

// engines open a fresh store.
var engines = map[string]func(testing.TB, ...func(*sqlstore.Options)) *sqlstore.DB{
	"sqlite":   testenv.SQLite,
	"postgres": testenv.Postgres,
}

// onEngines runs a test on a store of each kind that holds so many users.
func onEngines(t *testing.T, users int, test func(t *testing.T, db *sqlstore.DB)) {
	t.Helper()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			fill(t, db, users)
			test(t, db)
		})
	}
}

func checkUserLists(t *testing.T, p pages) {
	t.Helper()
	for _, sort := range []store.UserSort{
		"", "username", "-username", "email", "-email", "created", "-created",
		"last_login", "-last_login",
	} {
		for _, q := range []store.UserQuery{
			{},
			{Role: store.RoleUser},
			{Status: "active"},
			{Status: "never"},
			{Role: store.RoleAdmin},
			{Status: "pending"},
			{Status: "inactive"},
			{Kind: store.KindService},
			{Role: store.RoleAdmin, Status: "never"},
			{Text: "ser1"},
			{Text: "er"},
			{Text: "nobody"},
			{Group: "staff"},
			{Provider: "local"},
			{Provider: "corp"},
			{MFA: store.MFAAny},
			{MFA: store.MFANone},
			{MFA: store.MFANone, MFAFor: &store.MFADemand{Admins: true}},
			{MFA: store.MFANone, MFAFor: &store.MFADemand{Admins: true, Groups: []string{"staff", "other"}}},
			{MFA: store.MFANone, MFAFor: &store.MFADemand{}, Role: store.RoleAdmin},
			{Text: "ser1", Group: "staff", Provider: "local", Status: "active", Role: store.RoleUser},
		} {
			q.Sort, q.Limit = sort, 3
			p.check(t, fmt.Sprintf("users %+v", q), func(c string) (string, error) {
				q.Cursor = c
				page, err := p.db.Users(t.Context(), q)
				return page.Next, err
			})
		}
	}
}

func checkSessionLists(t *testing.T, p pages) {
	t.Helper()
	ctx := t.Context()
	user, err := p.db.UserByUsername(ctx, "user0")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []store.SessionQuery{
		{},
		{UserID: user.ID},
		{Text: "ser1"},
		{Text: "er"},
		{Text: "192.0.2.7"},
		{Text: "2.7"},
		{UserID: user.ID, Text: "ser"},
	} {
		p.check(t, fmt.Sprintf("sessions %+v", q), func(c string) (string, error) {
			q.Cursor, q.Limit, q.Now = c, 3, time.Now()
			page, err := p.db.Sessions(ctx, q)
			return page.Next, err
		})
	}
	for _, q := range []store.LinkQuery{{}, {UserID: user.ID}, {Purpose: store.LinkPassword}} {
		p.check(t, fmt.Sprintf("links %+v", q), func(c string) (string, error) {
			q.Cursor, q.Limit, q.Now = c, 3, time.Now()
			page, err := p.db.Links(ctx, q)
			return page.Next, err
		})
	}
}

func checkTokenLists(t *testing.T, p pages) {
	t.Helper()
	user, err := p.db.UserByUsername(t.Context(), "user0")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []store.TokenQuery{{}, {UserID: user.ID}} {
		p.check(t, fmt.Sprintf("tokens %+v", q), func(c string) (string, error) {
			q.Cursor, q.Limit = c, 3
			page, err := p.db.Tokens(t.Context(), q)
			return page.Next, err
		})
	}
}

func checkEventLists(t *testing.T, p pages) {
	t.Helper()
	user, err := p.db.UserByUsername(t.Context(), "user0")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []store.EventQuery{
		{},
		{UserID: user.ID},
		{TargetID: user.ID},
		{Actor: "USER0"},
		{Action: "session.sign_in"},
		{Action: "session."},
		{Action: "session.sign."},
		{Outcome: store.Success},
		{From: time.Now().Add(-time.Hour)},
		{To: time.Now().Add(time.Hour)},
		{Text: "ser1"},
		{Text: "nothing"},
		{Text: "192.0.2.7"},
		{Text: "request-1"},
		{
			UserID: user.ID, Actor: "user0", Action: "session.", Outcome: store.Success, Text: "ser",
			From: time.Now().Add(-time.Hour),
		},
		{Outcome: store.Failure, Action: "session.sign_in"},
		{Text: "192.0.2.7", Outcome: store.Failure},
	} {
		p.check(t, fmt.Sprintf("events %+v", q), func(c string) (string, error) {
			q.Cursor, q.Limit = c, 3
			page, err := p.db.Events(t.Context(), q)
			return page.Next, err
		})
	}
}

func TestLookupsUseAnIndex(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	fill(t, db, 5)
	rec := sqlstore.Record(db)
	ctx, hash := t.Context(), store.HashToken("x")
	for name, call := range map[string]func() error{
		"session": func() error { _, _, err := db.SessionByToken(ctx, hash); return err },
		"by id":   func() error { _, _, err := db.Session(ctx, "x"); return err },
		"token":   func() error { _, _, err := db.TokenByHash(ctx, hash); return err },
		"tokens":  func() error { _, err := db.CountTokens(ctx, "x", time.Now()); return err },
		"expired": func() error { _, err := db.ExpiredTokens(ctx, time.Now(), 10); return err },
		"user":    func() error { _, err := db.User(ctx, "x"); return err },
		"login":   func() error { _, err := db.UserByLogin(ctx, "x"); return err },
		"name":    func() error { _, err := db.UserByUsername(ctx, "x"); return err },
		"email":   func() error { _, err := db.UserByLocalEmail(ctx, "x"); return err },
		"admins":  func() error { _, err := db.ActiveAdmins(ctx, 1); return err },
		"ident":   func() error { _, err := db.Identity(ctx, "x", "y"); return err },
		"idents":  func() error { _, err := db.Identities(ctx, "x"); return err },
		"link":    func() error { _, err := db.Link(ctx, hash); return err },
		"apps":    func() error { _, err := db.TOTPs(ctx, "x"); return err },
		"keys":    func() error { _, err := db.Passkeys(ctx, "x"); return err },
		"key":     func() error { _, _, err := db.PasskeyByCredential(ctx, "x", "y"); return err },
		"sites":   func() error { _, err := db.PasskeySites(ctx); return err },
		"codes":   func() error { _, err := db.RecoveryCodes(ctx, "x"); return err },
		"half":    func() error { _, _, err := db.HalfLogin(ctx, hash); return err },
		"trust":   func() error { _, err := db.TrustedBrowser(ctx, hash); return err },
		"trusts":  func() error { _, err := db.TrustedBrowsers(ctx, "x"); return err },
		"device":  func() error { _, err := db.KnownDevice(ctx, hash, "x"); return err },
		"count":   func() error { _, err := db.CountSessions(ctx, time.Now(), 0); return err },
		"sweep":   func() error { _, err := db.Sweep(ctx, time.Now().Add(-24*time.Hour), time.Hour, 10); return err },
	} {
		_ = call() // mostly it finds nothing; the query is what counts
		queries := rec.Take()
		if len(queries) == 0 {
			t.Errorf("%s: no query", name)
		}
		for _, q := range queries {
			checkLookup(t, db, name, q)
		}
	}
}

// checkLookup checks that a statement reads no whole table.
func checkLookup(t *testing.T, db *sqlstore.DB, name string, q sqlstore.Recorded) {
	t.Helper()
	for line := range strings.Lines(plan(t, db, q)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "SCAN") && !strings.Contains(line, "INDEX") && !bounded.MatchString(line) {
			t.Errorf("%s: %s reads the whole table: %s", name, q.Query, line)
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
			u := store.User{
				ID: store.NewID(at), Username: fmt.Sprintf("user%d", i), Email: fmt.Sprintf("user%d@example.com", i),
				Role: store.RoleUser, Active: true, Local: true, CreatedAt: at, Groups: []string{"staff"}, PasswordHash: strings.Repeat("h", 100),
			}
			if err := tx.CreateUser(ctx, u); err != nil {
				return err
			}
			if first == "" {
				first = u.ID
			}
			token := store.NewToken()
			tokens = append(tokens, token)
			err := tx.CreateSession(ctx, store.Session{
				ID: store.NewID(at), TokenHash: store.HashToken(token), UserID: first,
				CreatedAt: at,
				AuthAt:    at, LastSeenAt: at, Idle: time.Hour, ExpiresAt: at.Add(time.Hour), Method: "password", IP: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
			})
			if err != nil {
				return err
			}
			err = tx.AddEvent(ctx, store.Event{
				ActorID: first, Actor: "user0", Action: "session.sign_in", TargetID: u.ID,
				Outcome: store.Success,
				IP:      "192.0.2.7", RequestID: "request-1",
			})
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
	for name, open := range engines {
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
