package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Recorder is a watcher that records its calls.
type Recorder struct {
	mu      sync.Mutex
	changes []store.Change
	synced  time.Time
}

// Watch starts a recorder and waits until it is up to date.
func Watch(t *testing.T, s store.Store) *Recorder {
	t.Helper()
	r := &Recorder{}
	t.Cleanup(s.Watch(r))
	r.WaitSynced(t, time.Now())
	r.Take()
	return r
}

// Changed implements [store.Watcher].
func (r *Recorder) Changed(changes []store.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, changes...)
}

// Synced implements [store.Watcher]. It panics if it is called with an earlier time than before.
func (r *Recorder) Synced(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Before(r.synced) {
		panic("Synced goes back")
	}
	r.synced = at
}

// Take returns the changes since the last call.
func (r *Recorder) Take() []store.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.changes
	r.changes = nil
	return list
}

// Count returns how often a change was reported since the last Take.
func (r *Recorder) Count(c store.Change) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.changes {
		if other == c {
			n++
		}
	}
	return n
}

// LastSynced returns the time of the last Synced.
func (r *Recorder) LastSynced() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.synced
}

// WaitSynced waits for a Synced with a later time than at.
func (r *Recorder) WaitSynced(t *testing.T, at time.Time) {
	t.Helper()
	within(t, 10*time.Second, "a Synced", func() bool { return r.LastSynced().After(at) })
}
