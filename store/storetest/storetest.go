// Package storetest is the conformance suite for implementations of package store.
//
// [Run] tests one handle, [RunShared] two handles on one store, like those of two processes.
package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Run runs the suite on stores that open returns: a fresh one for each test, closed when that test ends. The stores
// must use the machine's clock.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range [][]test{
		userTests, adminTests, userListTests, passwordTests, sessionTests, sessionListTests, providedTests, identityTests, linkTests, tokenTests, claimTests, deviceTests, flowTests,
		factorTests, passkeyTests, halfLoginTests, trustTests,
		smallTests, eventTests, throttleTests, sweepTests, changeTests, raceTests,
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, open(t))
			})
		}
	}
}

// RunShared runs the tests that need two handles on one fresh store.
func RunShared(t *testing.T, open func(t *testing.T) (a, b store.Store)) {
	for _, c := range sharedTests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			c.run(t, a, b)
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, s store.Store)
}

type sharedTest struct {
	name string
	run  func(t *testing.T, a, b store.Store)
}

// now returns the time in the precision of a store.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// change runs fn in a change that has to succeed.
func change(t *testing.T, s store.Store, fn func(ctx context.Context, tx store.Tx) error) {
	t.Helper()
	if err := try(t, s, fn); err != nil {
		t.Fatalf("change: %v", err)
	}
}

// try runs fn in a change and returns its error.
func try(t *testing.T, s store.Store, fn func(ctx context.Context, tx store.Tx) error) error {
	t.Helper()
	ctx := t.Context()
	return s.Change(ctx, func(tx store.Tx) error { return fn(ctx, tx) })
}

// newUser returns an active user without a password, not yet stored.
func newUser(name string) store.User {
	at := now()
	return store.User{
		ID: store.NewID(at), Username: name, Role: store.RoleUser, Active: true, Local: true, Origin: store.OriginLocal,
		CreatedAt: at, UpdatedAt: at, Version: 1,
	}
}

// addUser stores a user after changing it with with.
func addUser(t *testing.T, s store.Store, name string, with ...func(*store.User)) store.User {
	t.Helper()
	u := newUser(name)
	for _, w := range with {
		w(&u)
	}
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateUser(ctx, u) })
	return getUser(t, s, u.ID)
}

// asAdmin makes u an administrator who can sign in.
func asAdmin(u *store.User) { u.Role, u.PasswordHash = store.RoleAdmin, "hash" }

func withEmail(email string) func(*store.User) { return func(u *store.User) { u.Email = email } }

func getUser(t *testing.T, s store.Reader, id string) store.User {
	t.Helper()
	u, err := s.User(t.Context(), id)
	if err != nil {
		t.Fatalf("read the user: %v", err)
	}
	return u
}

// newSession returns a long-lived session of the user, and its token.
func newSession(u store.User) (store.Session, string) {
	at, token := now(), store.NewToken()
	return store.Session{
		ID: store.NewID(at), TokenHash: store.HashToken(token), UserID: u.ID, Epoch: u.Epoch,
		CreatedAt: at, AuthAt: at, LastSeenAt: at, Idle: time.Hour, ExpiresAt: at.Add(24 * time.Hour), Method: "password",
	}, token
}

func addSession(t *testing.T, s store.Store, u store.User, with ...func(*store.Session)) store.Session {
	t.Helper()
	sess, _ := newSession(u)
	for _, w := range with {
		w(&sess)
	}
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateSession(ctx, sess) })
	return sess
}

// lives reports whether the session is found by its token.
func lives(t *testing.T, s store.Reader, sess store.Session) bool {
	t.Helper()
	_, _, err := s.SessionByToken(t.Context(), sess.TokenHash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("resolve the session: %v", err)
	}
	return err == nil
}

func addLink(t *testing.T, s store.Store, purpose store.LinkPurpose, userID string) store.Link {
	t.Helper()
	at := now()
	l := store.Link{
		ID: store.NewID(at), Hash: store.HashToken(store.NewToken()), Purpose: purpose, UserID: userID,
		CreatedBy: "someone", CreatedAt: at, ExpiresAt: at.Add(time.Hour),
	}
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateLink(ctx, l) })
	return l
}

func wantErr(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want one that matches %q", err, target)
	}
}

func wantConflict(t *testing.T, err error, field string) {
	t.Helper()
	wantErr(t, err, store.ErrConflict)
	var c *store.ConflictError
	if !errors.As(err, &c) || c.Field != field {
		t.Fatalf("got %v, want a conflict of field %q", err, field)
	}
}

// within polls until ok returns true, with a generous time limit.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// hostileTexts are texts that clients can send and that engines reject or confuse.
var hostileTexts = []string{
	"\x00", "a\x00b", "\xff\xfe", "a\xc3", "'; DROP TABLE users; --", `%_\`, "$1 ?1 :x", strings.Repeat("ä", 2000),
	"\u202Egro.live", "line\nbreak", strings.Repeat("\uFDFA", 200), incompressible(6000),
}

// incompressible returns a text of n bytes that an engine cannot compress, to exceed the limits of an index.
func incompressible(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(store.NewToken())
	}
	return b.String()[:n]
}
