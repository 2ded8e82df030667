package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// Growth compares a store with a hundred users and sessions to one with a million of each, on SQLite: every figure
// has to stay within twice the small one (docs/performance.md says where it does not, and why). Filling the large one
// takes up to half an hour.
//
//	go test -run '^$' -bench Growth -benchtime 2000x -timeout 60m ./bench

const growthBatch = 5000

type grown struct {
	path   string
	tokens []string
	ids    []string
}

// fill creates a store with n signed-in users.
func fill(b *testing.B, n int) *grown {
	b.Helper()
	path := filepath.Join(b.TempDir(), "gatehouse.db")
	g := fillStore(b, (&grown{path: path}).open(b), n)
	g.path = path
	return g
}

// fillStore fills st and closes it.
func fillStore(b *testing.B, st *sqlstore.DB, n int) *grown {
	b.Helper()
	g := new(grown)
	ctx, now := context.Background(), time.Now().UTC().Truncate(time.Millisecond)
	m := session.NewManager(st, session.Options{})
	defer m.Close()
	for done := 0; done < n; {
		err := st.Change(ctx, func(tx store.Tx) error {
			for end := min(done+growthBatch, n); done < end; done++ {
				u := store.User{
					ID: store.NewID(now), Username: fmt.Sprintf("user%07d", done),
					Email: fmt.Sprintf("user%07d@example.com", done),
					Name:  "Somebody", Role: store.RoleUser, Active: true, Local: true, Origin: store.OriginLocal, CreatedAt: now, UpdatedAt: now,
				}
				if err := tx.CreateUser(ctx, u); err != nil {
					return err
				}
				token, _, err := m.Start(ctx, tx, session.StartOptions{
					User: u, Limits: session.DefaultLimits, Method: "password",
					AuthAt: time.Now(), IP: "192.0.2.1", UserAgent: "bench",
				})
				if err != nil {
					return err
				}
				if done%max(1, n/1000) == 0 {
					g.tokens, g.ids = append(g.tokens, token), append(g.ids, u.ID)
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d users and sessions made in %s", n, time.Since(now).Round(time.Second))
	return g
}

func (g *grown) open(b *testing.B) *sqlstore.DB {
	b.Helper()
	st, err := sqlstore.Open(context.Background(), sqlstore.Options{
		Engine: sqlstore.EngineSQLite, Path: g.path,
		Migrate: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	return st
}

func BenchmarkGrowth(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			g := fill(b, n)
			b.Run("open", g.benchOpen)
			st := g.open(b)
			defer st.Close()
			b.Run("resolve-cold", func(b *testing.B) { g.benchCold(b, st) })
			g.benchCommon(b, st, fmt.Sprintf("ser%07d", n/2))
			b.Run("users-search-common", func(b *testing.B) { g.benchUsers(b, st, store.UserQuery{Text: "example.com"}) })
		})
	}
}

// benchCommon measures what is measured on both engines. rare is a text that one user has.
func (g *grown) benchCommon(b *testing.B, st store.Store, rare string) {
	b.Run("resolve-warm", func(b *testing.B) { g.benchWarm(b, st) })
	b.Run("sign-in", func(b *testing.B) { g.benchSignIn(b, st) })
	for _, list := range []struct {
		name  string
		query store.UserQuery
	}{
		{"users-first-page", store.UserQuery{}},
		{"users-by-last-sign-in", store.UserQuery{Sort: "-" + store.SortLastLogin}},
		{"users-search-rare", store.UserQuery{Text: rare}},
	} {
		b.Run(list.name, func(b *testing.B) { g.benchUsers(b, st, list.query) })
	}
	b.Run("sessions-first-page", func(b *testing.B) { g.benchSessions(b, st) })
}

func (g *grown) benchOpen(b *testing.B) {
	for b.Loop() {
		if err := g.open(b).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func (g *grown) benchCold(b *testing.B, st store.Store) {
	i := 0
	for b.Loop() {
		if _, _, err := st.SessionByToken(context.Background(), store.HashToken(g.tokens[i%len(g.tokens)])); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func (g *grown) benchWarm(b *testing.B, st store.Store) {
	m := session.NewManager(st, session.Options{})
	defer m.Close()
	for range 2 { // the first poll of changes clears the cache
		for _, token := range g.tokens {
			if _, err := m.Resolve(context.Background(), token); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	i := 0
	for b.Loop() {
		if _, err := m.Resolve(context.Background(), g.tokens[i%len(g.tokens)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// benchSignIn measures a sign-in without the password hash, whose cost is configurable.
func (g *grown) benchSignIn(b *testing.B, st store.Store) {
	m := session.NewManager(st, session.Options{})
	defer m.Close()
	s := &login.Service{
		Store: st, Sessions: m, Hasher: password.NewHasher(password.Params{
			MemoryKiB: 8, Time: 1,
			Threads: 1,
		}, nil),
		Throttle: login.NewThrottle(st, time.Now), Limits: login.Limits{
			FreeAttempts: 100,
			MaxWait:      time.Second,
		}, Lifetime: session.DefaultLimits, Clock: time.Now, Log: zap.NewNop(), Passwords: login.AllPasswords,
		Sealer: seal.New(st),
	}
	i := 0
	for b.Loop() {
		u, err := st.User(context.Background(), g.ids[i%len(g.ids)])
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.CheckPassword(context.Background(), login.Client{}, u.Username, "wrong"); !errors.Is(err, login.ErrInvalidCredentials) {
			b.Fatal(err)
		}
		if _, err := s.SignIn(context.Background(), login.Client{}, login.Proof{User: u},
			login.SignInOptions{Method: "link"}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func (g *grown) benchUsers(b *testing.B, st store.Store, q store.UserQuery) {
	for b.Loop() {
		page, err := st.Users(context.Background(), q)
		if err != nil || len(page.Items) == 0 {
			b.Fatal(err)
		}
	}
}

func (g *grown) benchSessions(b *testing.B, st store.Store) {
	for b.Loop() {
		page, err := st.Sessions(context.Background(), store.SessionQuery{Now: time.Now()})
		if err != nil || len(page.Items) == 0 {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory reports how much memory a resolved session takes in the cache.
func BenchmarkMemory(b *testing.B) {
	const n = 1000
	g := fill(b, n)
	st := g.open(b)
	defer st.Close()
	m := session.NewManager(st, session.Options{})
	defer m.Close()
	before := heap()
	for b.Loop() {
		for _, token := range g.tokens {
			if _, err := m.Resolve(context.Background(), token); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(heap()-before)/float64(len(g.tokens)), "B/session")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
