package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// sweepAll sweeps until nothing is left and returns the number of deleted rows.
func sweepAll(t *testing.T, s store.Store, at time.Time, keepEvents time.Duration, limit int) int {
	t.Helper()
	total := 0
	for range 10_000 {
		n, err := s.Sweep(t.Context(), at, keepEvents, limit)
		if err != nil {
			t.Fatalf("sweep: %v", err)
		}
		if total += n; n == 0 {
			return total
		}
	}
	t.Fatal("sweeping has no end")
	return 0
}

var sweepTests = []test{
	{"sweeping deletes expired rows and nothing else", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		live := addSession(t, s, u)
		over := addSession(t, s, u, func(x *store.Session) { x.ExpiresAt = at.Add(-time.Second) })
		idle := addSession(t, s, u, func(x *store.Session) { x.LastSeenAt = at.Add(-2 * time.Hour) })
		justIdle := addSession(t, s, u, func(x *store.Session) { x.LastSeenAt = at.Add(-time.Hour - time.Second) })
		liveFlow, deadFlow := newFlow("login", ""), newFlow("login", "")
		deadFlow.ExpiresAt = at.Add(-time.Second)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.UseOnce(ctx, "jti", "old", at.Add(-time.Hour), at.Add(-time.Minute))
			return errors.Join(err, tx.CreateFlow(ctx, liveFlow), tx.CreateFlow(ctx, deadFlow),
				tx.PutDevice(ctx, store.HashToken("old"), u.ID, at, at.Add(-time.Second)),
				tx.PutDevice(ctx, store.HashToken("new"), u.ID, at, at.Add(time.Hour)),
				tx.AddEvent(ctx, store.Event{Time: at.Add(-48 * time.Hour), Action: "old.event"}),
				tx.AddEvent(ctx, store.Event{Time: at, Action: "new.event"}))
		})
		sweepAll(t, s, at, 24*time.Hour, 1)
		if lives(t, s, over) || lives(t, s, idle) {
			t.Error("expired sessions were kept")
		}
		if !lives(t, s, live) {
			t.Error("a live session was deleted")
		}
		if !lives(t, s, justIdle) {
			t.Error("a session was deleted whose last use may not be written yet")
		}
		if err := takeFlow(t, s, liveFlow); err != nil {
			t.Errorf("a live flow was deleted: %v", err)
		}
		if known, err := s.KnownDevice(t.Context(), store.HashToken("new"), u.ID); err != nil || !known {
			t.Errorf("a live device was deleted: %v", err)
		}
		if events := allEvents(t, s, store.EventQuery{}); len(events) != 1 || events[0].Action != "new.event" {
			t.Errorf("events: %+v", events)
		}
		if n := sweepAll(t, s, at, 24*time.Hour, 100); n != 0 {
			t.Errorf("%d rows were left", n)
		}
	}},
	{"events are kept forever without a retention time", func(t *testing.T, s store.Store) {
		if err := s.AddEvents(t.Context(), store.Event{
			Time:   now().Add(-10 * 365 * 24 * time.Hour),
			Action: "a.b",
		}); err != nil {
			t.Fatal(err)
		}
		sweepAll(t, s, now(), 0, 100)
		if n := len(allEvents(t, s, store.EventQuery{})); n != 1 {
			t.Fatalf("%d events", n)
		}
	}},
	{"a sweep deletes at most limit rows of each kind", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			for range 25 {
				sess, _ := newSession(u)
				sess.ExpiresAt = at.Add(-time.Minute)
				if err := tx.CreateSession(ctx, sess); err != nil {
					return err
				}
			}
			return nil
		})
		for _, want := range []int{10, 10, 5, 0} {
			if n, err := s.Sweep(t.Context(), at, 0, 10); err != nil || n != want {
				t.Fatalf("swept %d, %v, want %d", n, err, want)
			}
		}
		if n, err := s.Sweep(t.Context(), at, 0, 0); err != nil || n != 0 {
			t.Fatalf("with a limit of 0: %d, %v", n, err)
		}
	}},
	{"an expired link is kept for a week", func(t *testing.T, s store.Store) {
		l := addLink(t, s, store.LinkSetup, "")
		sweepAll(t, s, l.ExpiresAt.Add(24*time.Hour), 0, 100)
		if _, err := s.Link(t.Context(), l.Hash); err != nil {
			t.Fatal(err)
		}
		sweepAll(t, s, l.ExpiresAt.Add(8*24*time.Hour), 0, 100)
		_, err := s.Link(t.Context(), l.Hash)
		wantErr(t, err, store.ErrNotFound)
	}},
	{"throttle counts are deleted when they have no effect", func(t *testing.T, s store.Store) {
		at := now()
		for i := range 3 {
			key := fmt.Sprintf("k%d", i)
			if _, err := s.CountInWindow(t.Context(), key, 2, time.Minute, at); err != nil {
				t.Fatal(err)
			}
			if _, err := s.BeginAttempt(t.Context(), key, 0, time.Hour, at); err != nil {
				t.Fatal(err)
			}
		}
		if n := sweepAll(t, s, at.Add(30*time.Second), 0, 100); n != 0 {
			t.Fatalf("%d effective counts were deleted", n)
		}
		if n := sweepAll(t, s, at.Add(time.Minute), 0, 100); n != 3 {
			t.Fatalf("%d expired windows were deleted, want 3", n)
		}
		if n := sweepAll(t, s, at.Add(24*time.Hour), 0, 100); n != 3 {
			t.Fatalf("%d attempts of yesterday were deleted, want 3", n)
		}
	}},
}
