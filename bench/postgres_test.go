package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// The figures of docs/operations.md, "Size, and growth": PostgreSQL with a million users who are all signed in, made
// by the server itself from one of each, beside one with a thousand, as only their ratio says much on a busy machine.
//
//	go test -run '^$' -bench Millions -benchtime 2s -timeout 60m ./bench

func TestMain(m *testing.M) { testenv.Main(m) }

// copies makes n-1 more users and sessions like the one there is, with what has to be unique made so.
var copies = []string{
	`INSERT INTO users SELECT r.* FROM (SELECT * FROM users LIMIT 1) u, generate_series(1, %d) n, LATERAL jsonb_populate_record(NULL::users, to_jsonb(u) || jsonb_build_object(
		'id', 'u' || lpad(n::text, 9, '0'), 'username', 'copy' || n, 'username_key', 'copy' || n, 'email', 'copy' || n || '@example.com',
		'email_key', 'copy' || n || '@example.com', 'search', 'copy' || n || ' copy' || n || '@example.com somebody',
		'created_at', u.created_at - n, 'last_login_at', u.created_at - n)) r`,
	`INSERT INTO sessions SELECT r.* FROM (SELECT * FROM sessions LIMIT 1) s, generate_series(1, %d) n, LATERAL jsonb_populate_record(NULL::sessions, to_jsonb(s) || jsonb_build_object(
		'id', 's' || lpad(n::text, 9, '0'), 'token_hash', substr(encode(sha256(n::text::bytea), 'hex'), 1, 43),
		'user_id', 'u' || lpad(n::text, 9, '0'), 'last_seen_at', s.last_seen_at - n, 'over_at', s.over_at - n)) r`,
	`VACUUM ANALYZE`,
}

// fillPostgres returns a store with n users more than a thousand, and the thousand's tokens.
func fillPostgres(b *testing.B, n int) (g *grown, dsn string) {
	b.Helper()
	dsn = testenv.PostgresDSN(b)
	began := time.Now()
	g = fillStore(b, testenv.OpenPostgres(b, dsn), 1000)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, statement := range copies {
		if statement != copies[len(copies)-1] {
			statement = fmt.Sprintf(statement, n)
		}
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d users and sessions more in %s, %s", n, time.Since(began).Round(time.Second),
		testenv.PostgresText(b, dsn, "SELECT pg_size_pretty(pg_database_size(current_database()))"))
	return g, dsn
}

func BenchmarkMillionsOnPostgres(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) { benchPostgres(b, n) })
	}
}

func benchPostgres(b *testing.B, n int) {
	g, dsn := fillPostgres(b, n)
	st := testenv.OpenPostgres(b, dsn)
	b.Run("resolve-cold", func(b *testing.B) { g.benchCold(b, st) })
	b.Run("resolve-cold-parallel", func(b *testing.B) {
		var i atomic.Int64
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := st.SessionByToken(context.Background(), store.HashToken(g.tokens[int(i.Add(1))%len(g.tokens)])); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
	})
	b.Run("resolve-warm", func(b *testing.B) { g.benchWarm(b, st) })
	b.Run("sign-in", func(b *testing.B) { g.benchSignIn(b, st) })
	b.Run("users-first-page", func(b *testing.B) { g.benchUsers(b, st, store.UserQuery{}) })
	b.Run("users-by-last-sign-in", func(b *testing.B) { g.benchUsers(b, st, store.UserQuery{Sort: "-" + store.SortLastLogin}) })
	b.Run("users-search-rare", func(b *testing.B) { g.benchUsers(b, st, store.UserQuery{Text: fmt.Sprintf("opy%d", n-1)}) })
	b.Run("sessions-first-page", func(b *testing.B) { g.benchSessions(b, st) })
	b.Run("feed", func(b *testing.B) { benchFeed(b, st, dsn) })
	if n >= 100_000 { // fewer are gone before the clock has moved
		b.Run("sweep", func(b *testing.B) { benchSweep(b, st, dsn, n/10) })
	}
}

// heard counts the changes that arrive at another process.
type heard struct{ n atomic.Int64 }

func (h *heard) Changed(changes []store.Change) { h.n.Add(int64(len(changes))) }
func (h *heard) Synced(time.Time)               {}

// benchFeed measures how many changes a second one process writes and another one hears of.
func benchFeed(b *testing.B, st *sqlstore.DB, dsn string) {
	var h heard
	defer testenv.OpenPostgres(b, dsn).Watch(&h)()
	for deadline := time.Now().Add(time.Minute); h.n.Load() == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) { // the first look
	}
	h.n.Store(0)
	wrote := int64(0)
	for b.Loop() {
		wrote++
		err := st.Change(context.Background(), func(tx store.Tx) error {
			return tx.NoteChange(context.Background(), store.Change{Kind: store.ChangeSession, Subject: fmt.Sprint(wrote)})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(wrote)/b.Elapsed().Seconds(), "changes/s")
	behind := time.Now()
	for ; h.n.Load() < wrote && time.Since(behind) < time.Minute; time.Sleep(time.Millisecond) {
	}
	b.ReportMetric(float64(time.Since(behind).Milliseconds()), "ms-behind")
	if h.n.Load() != wrote {
		b.Errorf("%d of %d changes were heard", h.n.Load(), wrote)
	}
}

// benchSweep deletes n sessions that have expired, in the steps that a Caddy takes.
func benchSweep(b *testing.B, st *sqlstore.DB, dsn string, n int) {
	testenv.PostgresExec(b, dsn, fmt.Sprintf(`UPDATE sessions SET expires_at = 1, over_at = 1 WHERE id > 's' AND id <= 's%09d'`, n))
	began, swept := time.Now(), 0
	for n := 500; n >= 500; {
		var err error
		if n, err = st.Sweep(context.Background(), time.Now(), 0, 500); err != nil {
			b.Fatal(err)
		}
		swept += n
	}
	b.ReportMetric(float64(swept)/time.Since(began).Seconds(), "rows/s")
	b.ReportMetric(0, "ns/op")
}
