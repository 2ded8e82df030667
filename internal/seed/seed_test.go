package seed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// Passwords of the tests. None may ever appear in a log, an error or the audit log.
const (
	first  = "CANARY-first-7f3a-walnut"
	second = "CANARY-second-91be-ginger"
	third  = "CANARY-third-c04d-velvet"
)

// env is one deployment: a store on disk and its log.
type env struct {
	*testing.T
	place  testenv.Place
	db     *countingStore
	hasher *password.Hasher
	clock  *testenv.Clock
	logs   *observer.ObservedLogs
	log    *zap.Logger
}

// countingStore is a real store that counts its transactions.
type countingStore struct {
	store.Store
	changes atomic.Int64
}

func (c *countingStore) Change(ctx context.Context, fn func(tx store.Tx) error) error {
	c.changes.Add(1)
	return c.Store.Change(ctx, fn)
}

func newEnv(t *testing.T) *env {
	t.Helper()
	e := &env{
		T: t, place: testenv.NewPlace(t),
		hasher: password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, password.NewSlots(2, 64)),
		clock:  testenv.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
	}
	e.db = e.open()
	var core zapcore.Core
	core, e.logs = observer.New(zapcore.DebugLevel)
	e.log = zap.New(core)
	t.Cleanup(e.checkNoLeaks)
	return e
}

func (e *env) open() *countingStore {
	e.Helper()
	return &countingStore{Store: e.place.Open(e.T, func(o *sqlstore.Options) { o.Clock = e.clock.Now })}
}

// checkNoLeaks looks for the passwords and their hashes in logs, errors and the audit log.
func (e *env) checkNoLeaks() {
	var all strings.Builder
	for _, entry := range e.logs.All() {
		fmt.Fprintln(&all, entry.Message, entry.ContextMap())
	}
	page, err := e.db.Events(context.Background(), store.EventQuery{Limit: 1000})
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		e.Error(err)
	}
	fmt.Fprintf(&all, "%+v", page.Items)
	for _, secret := range []string{"CANARY", "$argon2id$"} {
		if strings.Contains(all.String(), secret) {
			e.Errorf("%q is in the log or the audit log:\n%s", secret, all.String())
		}
	}
}

// vars are environment variables.
type vars map[string]string

func (v vars) lookup(name string) (string, bool) { s, ok := v[name]; return s, ok }

func (e *env) parse(mode Mode, v vars) *Values {
	e.Helper()
	values, err := Parse(Config{Mode: mode, FormerAdmin: v["former"]}, v.lookup, os.ReadFile, password.Policy{})
	if err != nil {
		e.Fatal(err)
	}
	return values
}

// start is a start, a restart or a reload of the server, which are the same.
func (e *env) start(mode Mode, v vars) Result {
	e.Helper()
	res, err := Apply(e.Context(), e.db, e.parse(mode, v), e.hasher, Options{Clock: e.clock.Now, Log: e.log})
	if err != nil {
		e.Fatal(err)
	}
	if res.Admin.PasswordHash != "" {
		e.Error("the result carries a password hash")
	}
	e.clock.Advance(time.Minute)
	return res
}

// mustStartWithoutWrites is a start that must not change a byte of the store.
func (e *env) mustStartWithoutWrites(mode Mode, v vars) Result {
	e.Helper()
	dump, done := e.place.Watch(e)
	defer done()
	before, transactions := e.snapshot(dump()), e.db.changes.Load()
	res := e.start(mode, v)
	if res.CheckIgnored != nil {
		res.CheckIgnored(e.Context())
	}
	if after := dump(); after != before {
		e.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
	}
	if n := e.db.changes.Load() - transactions; n != 0 {
		e.Errorf("%d transactions were begun", n)
	}
	if res.Action != ActionNone {
		e.Errorf("action %q", res.Action)
	}
	return res
}

// snapshot returns dump after checking that it would notice a write.
func (e *env) snapshot(dump string) string {
	e.Helper()
	if !strings.Contains(dump, "\nusers ") && e.countUsers() > 0 {
		e.Fatal("the dump misses the users: it could not notice a write")
	}
	return dump
}

func (e *env) countUsers() int {
	e.Helper()
	n, err := e.db.CountUsers(e.Context(), store.UserQuery{})
	if err != nil {
		e.Fatal(err)
	}
	return n
}

func (e *env) user(name string) store.User {
	e.Helper()
	u, err := e.db.UserByUsername(e.Context(), name)
	if err != nil {
		e.Fatalf("user %q: %v", name, err)
	}
	return u
}

// change writes like the pages.
func (e *env) change(fn func(ctx context.Context, tx store.Tx) error) {
	e.Helper()
	if err := e.db.Store.Change(e.Context(), func(tx store.Tx) error { return fn(e.Context(), tx) }); err != nil {
		e.Fatal(err)
	}
}

// add creates a user; edit may be nil.
func (e *env) add(name, email, pass string, edit func(*store.User)) store.User {
	e.Helper()
	u := store.User{
		ID: store.NewID(e.clock.Now()), Username: name, Email: email, Role: store.RoleUser, Active: true,
		Local: true, Origin: store.OriginLocal, CreatedAt: e.clock.Now(),
	}
	if pass != "" {
		u.PasswordHash = e.hash(pass)
	}
	if edit != nil {
		edit(&u)
	}
	e.change(func(ctx context.Context, tx store.Tx) error { return tx.CreateUser(ctx, u) })
	return e.user(name)
}

func isAdmin(u *store.User) { u.Role = store.RoleAdmin }

func (e *env) hash(pass string) string {
	e.Helper()
	hash, err := e.hasher.Hash(e.Context(), pass)
	if err != nil {
		e.Fatal(err)
	}
	return hash
}

func (e *env) setPassword(name, pass string) {
	e.Helper()
	u, hash := e.user(name), e.hash(pass)
	e.change(func(ctx context.Context, tx store.Tx) error {
		return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: hash, At: e.clock.Now()})
	})
}

// canSignIn reports whether the account is an active administrator with this password.
func (e *env) canSignIn(name, pass string) bool {
	e.Helper()
	u := e.user(name)
	ok, _, err := e.hasher.Verify(e.Context(), u.PasswordHash, pass)
	if err != nil {
		e.Fatal(err)
	}
	return ok && u.IsActiveAdmin() && u.Local && !u.MustChange
}

// mustSignInWith checks that exactly this of the passwords signs in.
func (e *env) mustSignInWith(name, pass string) {
	e.Helper()
	for _, p := range []string{first, second, third} {
		if got := e.canSignIn(name, p); got != (p == pass) {
			e.Errorf("%q opens %q: %t", p, name, got)
		}
	}
}

// signIn creates a session and returns its id.
func (e *env) signIn(name string) string {
	e.Helper()
	u, now := e.user(name), e.clock.Now()
	s := store.Session{
		ID: store.NewID(now), TokenHash: store.HashToken(store.NewToken()), UserID: u.ID, Epoch: u.Epoch,
		CreatedAt: now, AuthAt: now, LastSeenAt: now, Idle: time.Hour, ExpiresAt: now.Add(24 * time.Hour), Method: "password",
	}
	e.change(func(ctx context.Context, tx store.Tx) error { return tx.CreateSession(ctx, s) })
	return s.ID
}

// live reports whether a session is still valid.
func (e *env) live(id string) bool {
	e.Helper()
	s, u, err := e.db.Session(e.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return false
	}
	if err != nil {
		e.Fatal(err)
	}
	return s.Epoch == u.Epoch && u.Active
}

func (e *env) events(action string) []store.Event {
	e.Helper()
	page, err := e.db.Events(e.Context(), store.EventQuery{Action: action, Limit: 1000})
	if err != nil {
		e.Fatal(err)
	}
	return page.Items
}

// logged counts the lines of a level that contain text.
func (e *env) logged(level zapcore.Level, text string) int {
	n := 0
	for _, entry := range e.logs.All() {
		if entry.Level == level && strings.Contains(entry.Message, text) {
			n++
		}
	}
	return n
}

func (e *env) mustLog(n int, level zapcore.Level, text string) {
	e.Helper()
	if got := e.logged(level, text); got != n {
		e.Errorf("%d lines at %s with %q, want %d: %+v", got, level, text, n, e.logs.All())
	}
}
