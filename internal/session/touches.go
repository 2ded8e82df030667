package session

import (
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// touches collects uses of sessions until the janitor writes them, so that a request needs no write.
type touches struct {
	mu       sync.Mutex
	seen     map[string]time.Time
	shortest time.Duration // how long the most impatient session may wait
}

func newTouches() *touches { return &touches{seen: make(map[string]time.Time), shortest: maxTouch} }

const (
	minTouch = 100 * time.Millisecond
	maxTouch = 30 * time.Second
)

// touchInterval returns how often a session's use is written: a tenth of its idle time, between 0.1 s and 30 s, so that
// another process or a restart misjudges idleness by a tenth at most.
func touchInterval(idle time.Duration) time.Duration { return min(max(idle/10, minTouch), maxTouch) }

func (t *touches) add(id string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[id].Before(at) {
		t.seen[id] = at
	}
}

// pending returns the last use of a session that is not written yet, or the zero time.
func (t *touches) pending(id string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[id]
}

// due reports whether there is something to write and janitorEvery has passed: uses are recorded at most once per
// touchInterval and session, so that this is one small transaction per tick at most.
func (t *touches) due(since time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.seen) > 0 && since >= janitorEvery
}

func (t *touches) drain() []store.Touch {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch := make([]store.Touch, 0, len(t.seen))
	for id, at := range t.seen {
		batch = append(batch, store.Touch{SessionID: id, LastSeen: at.UTC()})
	}
	clear(t.seen)
	return batch
}

// putBack keeps a batch that could not be written, up to maxPending, for the next attempt.
func (t *touches) putBack(batch []store.Touch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range batch {
		if len(t.seen) >= maxPending {
			return
		}
		if t.seen[b.SessionID].Before(b.LastSeen) {
			t.seen[b.SessionID] = b.LastSeen
		}
	}
}

// maxPending limits the memory of uses not yet written while the store is unavailable.
const maxPending = 100_000
