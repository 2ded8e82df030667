package session

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

func followed(s *streams, id string) *Follower {
	f := &Follower{live: &Live{Session: store.Session{
		ID: id, Idle: time.Hour, LastSeenAt: time.Now(),
		ExpiresAt: time.Now().Add(time.Hour),
	}}, streams: s, cancel: func(error) {}}
	s.add(f)
	return f
}

// A check that began before a session's last request was released, and ended after its next one was followed, does not
// cover changes in between.
func TestACheckCoversOnlyChangesFromBeforeItBegan(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(s *streams){
		"told again":               func(s *streams) { s.markStale("x") },
		"gone, come back and told": func(s *streams) { s.byID["x"].first.Release(); followed(s, "x"); s.markStale("x") },
		"the same, another in between": func(s *streams) {
			s.byID["x"].first.Release()
			followed(s, "y")
			followed(s,
				"x")
			s.markStale("x")
		},
	} {
		s := newStreams()
		followed(s, "x")
		s.markStale("x")
		checked := s.due(time.Now())
		between(s)
		s.markLive(checked[0], time.Now().Add(time.Hour))
		if due := s.due(time.Now()); len(due) != 1 || due[0].id != "x" {
			t.Errorf("%s: to check are %v", name, due)
			continue
		}
		s.markLive(s.due(time.Now())[0], time.Now().Add(time.Hour))
		if due := s.due(time.Now()); len(due) != 0 {
			t.Errorf("%s: checked, and still to check are %v", name, due)
		}
	}
}

// slow is a store with slow reads, which has all sessions but one.
type slow struct {
	store.Store
	ended atomic.Pointer[string]
	asked atomic.Int64
}

func (s *slow) Session(ctx context.Context, id string) (store.Session, store.User, error) {
	s.asked.Add(1)
	select {
	case <-time.After(20 * time.Millisecond): // waits: a store that takes its time
	case <-ctx.Done():
		return store.Session{}, store.User{}, fmt.Errorf("asking: %w", ctx.Err())
	}
	if ended := s.ended.Load(); ended != nil && *ended == id {
		return store.Session{}, store.User{}, store.ErrNotFound
	}
	now := time.Now()
	return store.Session{
		ID: id, UserID: "u", LastSeenAt: now, Idle: time.Hour,
		ExpiresAt: now.Add(time.Hour),
	}, store.User{ID: "u", Active: true}, nil
}

func (*slow) Watch(store.Watcher) func() { return func() {} }

// When all streams have to be checked at once, an ended session's are canceled before all checks are done, and no live
// stream is canceled because the checks take longer than their budget.
func TestAnEndDoesNotWaitForOtherChecks(t *testing.T) {
	t.Parallel()
	const many = 120 // 2.4 s of reads, more than one round may take
	st := new(slow)
	m := NewManager(st, Options{})
	defer m.Close()
	var followers [many]Follower
	var done [many]<-chan struct{}
	for i := range followers {
		l := &Live{Session: store.Session{
			ID: fmt.Sprint(i), UserID: "u", Idle: time.Hour, LastSeenAt: time.Now(),
			ExpiresAt: time.Now().Add(time.Hour),
		}, User: store.User{ID: "u"}}
		done[i] = m.Follow(t.Context(), l, &followers[i]).Done()
		defer followers[i].Release()
	}
	m.Changed([]store.Change{{Kind: store.ChangeAll}})
	ended := "17"
	st.ended.Store(&ended)
	before := st.asked.Load()
	m.Changed([]store.Change{{Kind: store.ChangeSession, Subject: ended}})
	select {
	case <-done[17]:
	case <-time.After(time.Minute):
		t.Fatal("the stream goes on")
	}
	if n := st.asked.Load() - before; n > many/4 {
		t.Errorf("%d other sessions were checked first", n)
	}
	m.Synced(time.Now()) // until here no poll succeeded, so that all sessions were checked again and again
	for deadline := time.Now().Add(time.Minute); len(m.streams.due(time.Now())) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the judgments come to no end")
		}
	}
	for i, cut := range done {
		if i == 17 {
			continue
		}
		select {
		case <-cut:
			t.Fatalf("stream %d was cut", i)
		default:
		}
	}
}
