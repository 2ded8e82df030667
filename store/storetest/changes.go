package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

var changeTests = []test{
	{"a failed change is rolled back", func(t *testing.T, s store.Store) {
		r, fail := Watch(t, s), errors.New("no")
		u := newUser("u")
		got := try(t, s, func(ctx context.Context, tx store.Tx) error {
			if err := errors.Join(tx.CreateUser(ctx, u), tx.SetSetting(ctx, "k", "v"), tx.BumpEpoch(ctx, u.ID)); err != nil {
				t.Error(err)
			}
			if _, err := tx.User(ctx, u.ID); err != nil {
				t.Errorf("a change does not read what it wrote: %v", err)
			}
			return fail
		})
		if got != fail { //nolint:errorlint // it has to be the very error
			t.Fatalf("got %v, want the function's own error", got)
		}
		_, err := s.User(t.Context(), u.ID)
		wantErr(t, err, store.ErrNotFound)
		r.WaitSynced(t, time.Now())
		if got := r.Take(); len(got) != 0 {
			t.Fatalf("watchers were notified of %v", got)
		}
	}},
	{"a panic in a change rolls back, propagates and blocks nobody", func(t *testing.T, s store.Store) {
		u := newUser("u")
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("recovered %v", p)
				}
			}()
			_ = s.Change(t.Context(), func(tx store.Tx) error {
				if err := tx.CreateUser(t.Context(), u); err != nil {
					t.Error(err)
				}
				panic("boom")
			})
		}()
		_, err := s.User(t.Context(), u.ID)
		wantErr(t, err, store.ErrNotFound)
		addUser(t, s, "next")
	}},
	{"a transaction cannot be used after its change", func(t *testing.T, s store.Store) {
		var old store.Tx
		change(t, s, func(_ context.Context, tx store.Tx) error { old = tx; return nil })
		if err := old.CreateUser(t.Context(), newUser("u")); err == nil {
			t.Fatal("it wrote")
		}
		if _, err := old.User(t.Context(), "x"); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Fatalf("it read: %v", err)
		}
	}},
	{"nothing is committed after a failed statement", func(t *testing.T, s store.Store) {
		// If an engine rolls back by itself, later statements would run outside of any transaction.
		u := newUser("u")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		err := s.Change(t.Context(), func(tx store.Tx) error {
			if err := tx.CreateUser(t.Context(), u); err != nil {
				t.Error(err)
			}
			if err := tx.SetSetting(gone, "k", "v"); err == nil {
				t.Error("a statement ran with a context that is over")
			}
			if err := tx.SetSetting(t.Context(), "after", "v"); err == nil {
				t.Error("a statement ran in a transaction that has failed")
			}
			return nil
		})
		wantErr(t, err, context.Canceled)
		_, err = s.User(t.Context(), u.ID)
		wantErr(t, err, store.ErrNotFound)
		_, err = s.Setting(t.Context(), "after")
		wantErr(t, err, store.ErrNotFound)
	}},
	{"a canceled call returns context.Canceled", func(t *testing.T, s store.Store) {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range map[string]func() error{
			"read":   func() error { _, err := s.User(gone, "x"); return err },
			"change": func() error { return s.Change(gone, func(store.Tx) error { t.Error("it ran"); return nil }) },
			"touch":  func() error { return s.Touch(gone, []store.Touch{{SessionID: "x"}}) },
			"token":  func() error { _, err := s.CountInWindow(gone, "k", 1, time.Second, now()); return err },
		} {
			if err := call(); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: got %v, want context.Canceled alone", name, err)
			}
		}
	}},
	{"watchers are notified before Change returns", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		old, doomed := addSession(t, s, u), addSession(t, s, u)
		next, _ := newSession(u)
		r := Watch(t, s)
		user, session := store.Change{Kind: store.ChangeUser, Subject: u.ID}, func(id string) store.Change {
			return store.Change{Kind: store.ChangeSession, Subject: id}
		}
		for _, c := range []struct {
			name string
			fn   func(ctx context.Context, tx store.Tx) error
			want []store.Change
		}{
			{"update", func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err }, []store.Change{user}},
			{"password", func(ctx context.Context, tx store.Tx) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "h", At: now()})
			}, []store.Change{user}},
			{"re-hash", func(ctx context.Context, tx store.Tx) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "i", At: now(), Rehash: true, IfHash: "h"})
			}, nil},
			{"epoch", func(ctx context.Context, tx store.Tx) error { return tx.BumpEpoch(ctx, u.ID) }, []store.Change{user}},
			{
				"replace", func(ctx context.Context, tx store.Tx) error { return tx.ReplaceSession(ctx, old.ID, next) },
				[]store.Change{session(old.ID)},
			},
			{"end", func(ctx context.Context, tx store.Tx) error {
				_, err := tx.EndSessions(ctx, store.SessionSelector{ID: doomed.ID})
				return err
			}, []store.Change{session(doomed.ID)}},
			{"end nothing", func(ctx context.Context, tx store.Tx) error {
				_, err := tx.EndSessions(ctx, store.SessionSelector{ID: doomed.ID})
				return err
			}, nil},
			{
				"setting", func(ctx context.Context, tx store.Tx) error { return tx.SetSetting(ctx, "k", "v") },
				[]store.Change{{Kind: store.ChangeSetting, Subject: "k"}},
			},
			{"sign-in", func(ctx context.Context, tx store.Tx) error { return tx.SetLastLogin(ctx, u.ID, now()) }, nil},
			{"own", func(ctx context.Context, tx store.Tx) error {
				return errors.Join(tx.RecordChange(ctx, user), tx.RecordChange(ctx, user), tx.RecordChange(ctx, session("x")))
			}, []store.Change{user, session("x")}},
			{"delete", func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, u.ID) }, []store.Change{user}},
		} {
			change(t, s, c.fn)
			if got := r.Take(); !slices.Equal(got, c.want) {
				t.Errorf("%s: delivered %v, want %v", c.name, got, c.want)
			}
		}
		r.WaitSynced(t, time.Now())
		if again := r.Take(); len(again) != 0 {
			t.Errorf("its own changes were delivered again: %v", again)
		}
	}},
	{"ending very many sessions is reported as one change", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "u")
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			for range 501 {
				sess, _ := newSession(u)
				if err := tx.CreateSession(ctx, sess); err != nil {
					return err
				}
			}
			return nil
		})
		r := Watch(t, s)
		if n := len(endSessions(t, s, store.SessionSelector{All: true})); n != 501 {
			t.Fatalf("ended %d", n)
		}
		if got := r.Take(); !slices.Equal(got, []store.Change{{Kind: store.ChangeAll}}) {
			t.Fatalf("delivered %d changes", len(got))
		}
	}},
	{"stopping a watcher waits for it, and it is not called again", func(t *testing.T, s store.Store) {
		entered, leave := make(chan struct{}), make(chan struct{})
		slow := &slowWatcher{entered: entered, leave: leave}
		stop := s.Watch(slow)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "k", "v") }); err != nil {
				t.Error(err)
			}
		}()
		<-entered
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		select {
		case <-stopped:
			t.Error("stop did not wait for the call in progress")
		case <-time.After(20 * time.Millisecond): // waits: to see that stop goes on waiting
		}
		close(leave)
		<-stopped
		<-done
		before := slow.count()
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.SetSetting(ctx, "k", "w") })
		if after := slow.count(); after != before {
			t.Fatalf("called %d times after it was stopped", after-before)
		}
		stop() // twice is fine
	}},
	{"after Close every call returns ErrUnavailable", func(t *testing.T, s store.Store) {
		r := Watch(t, s)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"user":     func() error { _, err := s.User(ctx, "x"); return err },
			"users":    func() error { _, err := s.Users(ctx, store.UserQuery{}); return err },
			"token":    func() error { _, _, err := s.SessionByToken(ctx, store.HashToken("x")); return err },
			"change":   func() error { return s.Change(ctx, func(store.Tx) error { t.Error("it ran"); return nil }) },
			"touch":    func() error { return s.Touch(ctx, []store.Touch{{SessionID: "x"}}) },
			"events":   func() error { return s.AddEvents(ctx, store.Event{Action: "a.b"}) },
			"throttle": func() error { _, err := s.CountInWindow(ctx, "k", 1, time.Second, now()); return err },
			"attempt":  func() error { _, err := s.BeginAttempt(ctx, "k", 1, time.Second, now()); return err },
			"forgive":  func() error { return s.ForgiveAttempt(ctx, "k", now()) },
			"sweep":    func() error { _, err := s.Sweep(ctx, now(), 0, 10); return err },
			"ping":     func() error { return s.Ping(ctx) },
		} {
			if err := call(); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: got %v, want ErrUnavailable", name, err)
			}
		}
		at := r.LastSynced()
		s.Watch(&Recorder{})()
		time.Sleep(50 * time.Millisecond) // waits: to see that nothing comes; a poll comes sooner
		if r.LastSynced() != at {
			t.Error("a closed store calls Synced")
		}
	}},
}

type slowWatcher struct {
	entered, leave chan struct{}
	once           sync.Once
	mu             sync.Mutex
	calls          int
}

func (w *slowWatcher) Changed(changes []store.Change) {
	if changes[0].Kind != store.ChangeSetting {
		return
	}
	w.mu.Lock()
	w.calls++
	w.mu.Unlock()
	w.once.Do(func() { close(w.entered); <-w.leave })
}

func (w *slowWatcher) Synced(time.Time) {}

func (w *slowWatcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}
