package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// race runs n functions concurrently and returns how many succeeded; errors other than allowed fail the test.
func race(t *testing.T, n int, allowed error, fn func(i int) error) int {
	t.Helper()
	var won atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			switch err := fn(i); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, allowed):
				t.Errorf("number %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(won.Load())
}

var raceTests = []test{
	{"of concurrent uses of a link, one succeeds", func(t *testing.T, s store.Store) { raceLink(t, s, s) }},
	{"of concurrent uses of a flow, one succeeds", func(t *testing.T, s store.Store) { raceFlow(t, s, s) }},
	{
		"of concurrent decisions about a device grant, and of uses of it, one succeeds",
		func(t *testing.T, s store.Store) { raceDevice(t, s, s) },
	},
	{
		"of concurrent uses of a recovery code, one succeeds",
		func(t *testing.T, s store.Store) { raceRecoveryCode(t, s, s) },
	},
	{"of concurrent uses of a step of an app, one succeeds", func(t *testing.T, s store.Store) { raceStep(t, s, s) }},
	{"of concurrent uses of a half-login, one succeeds", func(t *testing.T, s store.Store) { raceHalfLogin(t, s, s) }},
	{
		"of concurrent confirmations of apps, as many succeed as one may have",
		func(t *testing.T, s store.Store) { raceConfirm(t, s, s) },
	},
	{"of concurrent uses of a one-time value, one is the first", func(t *testing.T, s store.Store) { raceOnce(t, s, s) }},
	{"of concurrent creations of a username, one succeeds", func(t *testing.T, s store.Store) { raceName(t, s, s) }},
	{"of administrators who demote each other, one stays", func(t *testing.T, s store.Store) { raceAdmins(t, s, s) }},
	{
		"a session rotated while all sessions end does not survive",
		func(t *testing.T, s store.Store) { raceRotation(t, s, s) },
	},
	{"of concurrent edits of one version, one is written", func(t *testing.T, s store.Store) { raceEdits(t, s, s) }},
	{
		"concurrent touches, sweeps, throttling and changes all succeed",
		func(t *testing.T, s store.Store) { raceEverything(t, s, s) },
	},
}

func raceLink(t *testing.T, a, b store.Store) {
	u := addUser(t, a, "u")
	l := addLink(t, a, store.LinkPassword, u.ID)
	won := race(t, 16, store.ErrNotFound, func(i int) error { return takeLink(t, pick(i, a, b), l) })
	if won != 1 {
		t.Fatalf("%d calls succeeded", won)
	}
}

func raceFlow(t *testing.T, a, b store.Store) {
	f := newFlow("login", "")
	change(t, a, func(ctx context.Context, tx store.Tx) error { return tx.CreateFlow(ctx, f) })
	won := race(t, 16, store.ErrNotFound, func(i int) error { return takeFlow(t, pick(i, a, b), f) })
	if won != 1 {
		t.Fatalf("%d calls succeeded", won)
	}
}

func raceOnce(t *testing.T, a, b store.Store) {
	var first atomic.Int64
	race(t, 16, nil, func(i int) error {
		return try(t, pick(i, a, b), func(ctx context.Context, tx store.Tx) error {
			ok, err := tx.UseOnce(ctx, "jti", "x", now(), now().Add(time.Hour))
			if ok {
				first.Add(1)
			}
			return err
		})
	})
	if n := first.Load(); n != 1 {
		t.Fatalf("%d were first", n)
	}
}

func raceName(t *testing.T, a, b store.Store) {
	won := race(t, 12, store.ErrConflict, func(i int) error {
		return try(t, pick(i, a, b), func(ctx context.Context, tx store.Tx) error {
			return tx.CreateUser(ctx, newUser([]string{"Straße", "STRASSE", "strasse"}[i%3]))
		})
	})
	if won != 1 {
		t.Fatalf("%d users of one name", won)
	}
}

// raceAdmins is the write skew of the last-admin rule: each demotion alone would be allowed.
func raceAdmins(t *testing.T, a, b store.Store) {
	const n = 10
	var admins []store.User
	for i := range n {
		admins = append(admins, addUser(t, a, fmt.Sprintf("admin%d", i), asAdmin))
	}
	won := race(t, n, store.ErrLastAdmin, func(i int) error {
		return try(t, pick(i, a, b), func(ctx context.Context, tx store.Tx) error {
			u := admins[i]
			switch i % 3 {
			case 0:
				return tx.DeleteUser(ctx, u.ID)
			case 1:
				u.Role = store.RoleUser
			default:
				u.Active = false
			}
			_, err := tx.UpdateUser(ctx, u)
			return err
		})
	})
	left, err := b.ActiveAdmins(t.Context(), 0)
	if err != nil || len(left) != 1 || won != n-1 {
		t.Fatalf("%d administrators are left after %d changes, %v", len(left), won, err)
	}
}

func raceRotation(t *testing.T, a, b store.Store) {
	u := addUser(t, a, "u")
	for range 10 {
		old := addSession(t, a, u)
		next, _ := newSession(u)
		race(t, 2, store.ErrNotFound, func(i int) error {
			if i == 0 {
				return try(t, a, func(ctx context.Context, tx store.Tx) error { return tx.ReplaceSession(ctx, old.ID, next) })
			}
			return try(t, b, func(ctx context.Context, tx store.Tx) error {
				// Like "sign out everywhere": the new epoch invalidates a session that is created concurrently.
				if err := tx.BumpEpoch(ctx, u.ID); err != nil {
					return err
				}
				_, err := tx.EndSessions(ctx, store.SessionSelector{UserID: u.ID})
				return err
			})
		})
		if lives(t, a, old) {
			t.Fatal("the old session lives")
		}
		if sess, user, err := a.SessionByToken(t.Context(), next.TokenHash); err == nil && sess.Epoch == user.Epoch {
			t.Fatal("the new session is of the new epoch")
		}
	}
}

func raceEdits(t *testing.T, a, b store.Store) {
	u := addUser(t, a, "u")
	won := race(t, 10, store.ErrStale, func(i int) error {
		return try(t, pick(i, a, b), func(ctx context.Context, tx store.Tx) error {
			edit := u
			edit.Name = fmt.Sprint(i)
			_, err := tx.UpdateUser(ctx, edit)
			return err
		})
	})
	if won != 1 || getUser(t, b, u.ID).Version != u.Version+1 {
		t.Fatalf("%d edits were written", won)
	}
}

// raceEverything looks for deadlocks between writers of the same rows in different orders.
func raceEverything(t *testing.T, a, b store.Store) {
	u := addUser(t, a, "u")
	var sessions []store.Session
	for range 40 {
		sessions = append(sessions, addSession(t, a, u))
	}
	race(t, 24, nil, func(i int) error {
		s, ctx := pick(i, a, b), t.Context()
		for range 5 {
			var err error
			switch (i / 2) % 6 {
			case 0:
				touches := make([]store.Touch, len(sessions))
				for j := range touches {
					touches[j] = store.Touch{SessionID: sessions[(j*7+i)%len(sessions)].ID, LastSeen: now()}
				}
				err = s.Touch(ctx, touches)
			case 1:
				err = s.Change(ctx, func(tx store.Tx) error {
					_, err := tx.EndSessions(ctx, store.SessionSelector{ID: sessions[i].ID})
					return err
				})
			case 2:
				_, err = s.Sweep(ctx, now(), time.Hour, 10)
			case 3:
				_, err = s.BeginAttempt(ctx, "k", 3, time.Minute, now())
			case 4:
				_, err = s.Sessions(ctx, store.SessionQuery{Now: now()})
			case 5:
				err = s.AddEvents(ctx, store.Event{Action: "a.b"})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func pick(i int, a, b store.Store) store.Store {
	if i%2 == 0 {
		return a
	}
	return b
}

var sharedTests = []sharedTest{
	{"two handles: of concurrent uses of a link, one succeeds", raceLink},
	{"two handles: of concurrent uses of a flow, one succeeds", raceFlow},
	{"two handles: of concurrent decisions about a device grant, and of uses of it, one succeeds", raceDevice},
	{"two handles: of concurrent uses of a recovery code, one succeeds", raceRecoveryCode},
	{"two handles: of concurrent uses of a step of an app, one succeeds", raceStep},
	{"two handles: of concurrent uses of a half-login, one succeeds", raceHalfLogin},
	{"two handles: of concurrent confirmations of apps, as many succeed as one may have", raceConfirm},
	{"two handles: of concurrent uses of a one-time value, one is the first", raceOnce},
	{"two handles: of concurrent creations of a username, one succeeds", raceName},
	{"two handles: of administrators who demote each other, one stays", raceAdmins},
	{"two handles: a session rotated while all sessions end does not survive", raceRotation},
	{"two handles: of concurrent edits of one version, one is written", raceEdits},
	{"two handles: concurrent touches, sweeps and changes all succeed", raceEverything},
	{"changes of another process arrive within a second, in order", func(t *testing.T, a, b store.Store) {
		u := addUser(t, a, "u")
		r := Watch(t, b)
		var took []time.Duration
		for i := range 5 {
			sess := addSession(t, a, u)
			want := store.Change{Kind: store.ChangeSession, Subject: sess.ID}
			endSessions(t, a, store.SessionSelector{ID: sess.ID})
			ended := time.Now()
			within(t, 10*time.Second, fmt.Sprintf("change %d", i), func() bool { return r.Count(want) > 0 })
			took = append(took, time.Since(ended))
			r.WaitSynced(t, ended)
		}
		slices.Sort(took) // a busy machine may hold one of them up, not most
		if took[2] > time.Second {
			t.Errorf("the changes took %v", took)
		}
		r.Take()
		var want []store.Change
		for i := range 20 {
			c := store.Change{Kind: store.ChangeSetting, Subject: fmt.Sprintf("k%d", i)}
			change(t, a, func(ctx context.Context, tx store.Tx) error { return tx.SetSetting(ctx, c.Subject, "v") })
			want = append(want, c)
		}
		within(t, 10*time.Second, "the last change", func() bool { return r.Count(want[19]) > 0 })
		if got := r.Take(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("delivered %v, want %v", got, want)
		}
	}},
	{"Synced never covers an undelivered change", func(t *testing.T, a, b store.Store) {
		// Caches depend on it: what was committed before at is delivered before Synced(at).
		o := &orderWatcher{t: t, committed: map[string]time.Time{}, delivered: map[string]bool{}}
		defer b.Watch(o)()
		// The first poll reports that everything changed: it may cover a change that is committed, but not recorded here
		// yet.
		within(t, 10*time.Second, "the first poll", o.started)
		for i := range 60 {
			key := fmt.Sprintf("k%d", i)
			change(t, a, func(ctx context.Context, tx store.Tx) error { return tx.SetSetting(ctx, key, "v") })
			o.commit(key)
			time.Sleep(time.Duration(i%7) * time.Millisecond) // waits: spreads the changes over the polls
		}
		within(t, 10*time.Second, "all changes to be delivered", o.allDelivered)
	}},
	{"a new watcher first hears that everything changed", func(t *testing.T, a, b store.Store) {
		change(t, a, func(ctx context.Context, tx store.Tx) error { return tx.SetSetting(ctx, "k", "v") })
		r := &Recorder{}
		defer b.Watch(r)()
		r.WaitSynced(t, time.Now())
		if r.Count(store.Change{Kind: store.ChangeAll}) == 0 {
			t.Fatal("data read before the watch counts as fresh")
		}
	}},
	{"a change at one handle is read at the other", func(t *testing.T, a, b store.Store) {
		u := addUser(t, a, "u")
		sess := addSession(t, b, u)
		if !lives(t, a, sess) {
			t.Fatal("the session is not there")
		}
		endSessions(t, a, store.SessionSelector{UserID: u.ID})
		if lives(t, b, sess) {
			t.Fatal("the session still is there")
		}
	}},
}

// orderWatcher checks every Synced against the changes that are known to be committed.
type orderWatcher struct {
	t         *testing.T
	mu        sync.Mutex
	committed map[string]time.Time
	delivered map[string]bool
	all       bool
}

func (o *orderWatcher) commit(key string) {
	at := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.committed[key] = at
}

func (o *orderWatcher) Changed(changes []store.Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range changes {
		if c.Kind == store.ChangeAll {
			for key := range o.committed {
				o.delivered[key] = true
			}
			o.all = true
		}
		o.delivered[c.Subject] = true
	}
}

func (o *orderWatcher) Synced(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, committed := range o.committed {
		if committed.Before(at) && !o.delivered[key] {
			o.t.Errorf("Synced(%v) covers %s of %v, which was not delivered", at, key, committed)
		}
	}
}

func (o *orderWatcher) started() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all
}

func (o *orderWatcher) allDelivered() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.committed {
		if !o.delivered[key] {
			return false
		}
	}
	return true
}
