package session

import (
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/store"
)

// maxLag is how old the news from the store may be while the cache answers. Other processes' changes are polled
// several times as often, so that in health the cache is always on, and a session ended elsewhere is over here
// within a second: at most maxLag plus the time of one poll.
const maxLag = 700 * time.Millisecond

// cache keeps resolved sessions.
//
// # Why an answer from it is never stale
//
// Every change is given a number when it is told to us (seq), and the subjects of recent changes are kept with the
// number of their last one. An entry carries the number that stood before its store read began (its mark). It
// answers only if neither its session nor its user has a change with a number above its mark.
//
//   - A change told before the mark was taken had been committed by then, so the read saw it.
//   - A change told after it has a number above the mark, so the entry no longer counts, whether the entry was
//     put into the cache before or after the change was told. There is no window between the two.
//   - This process's own changes are told before the call that made them returns: over on the next request.
//   - Other processes' changes are told by the store's poll. The entry answers only while the last finished poll
//     began less than maxLag ago (measured by the monotonic clock), so a broken channel turns the cache off
//     instead of letting it go stale.
//
// The list of changed subjects is bounded: when it is full, the floor is raised to the present number, which makes
// every entry of before refuse, and the list starts again.
type cache struct {
	entries *otter.Cache[store.TokenHash, *entry]

	seq          atomic.Uint64
	floor        atomic.Uint64
	subjectCount atomic.Int64 // how many subjects are in subjects: 0 spares the look-up
	syncedAt     atomic.Int64 // nanoseconds since epoch0 at which the last finished poll began
	start        time.Time
	mu           sync.RWMutex
	lastChange   map[string]uint64 // session or user id → number of its last change
}

// maxSubjects bounds the list of recent changes: about 1 MiB.
const maxSubjects = 10_000

// entry is a resolved session in the cache.
type entry struct {
	live     Live
	seq      uint64
	readAt   int64                // nanoseconds since epoch0 at which its store read began
	lastSeen atomic.Int64         // ms
	written  atomic.Int64         // ms; last use handed to the janitor
	memos    atomic.Pointer[memo] // see Live.Values
}

func newEntry(s store.Session, u store.User, seen time.Time, seq uint64, readAt int64) *entry {
	s.UserID = u.ID
	for _, text := range []*string{&s.Method, &s.Provider, &s.Issuer, &s.UserAgent, &s.Host, (*string)(&u.Role), (*string)(&u.Origin)} {
		*text = unique.Make(*text).Value() // the same in many sessions: kept once
	}
	e := &entry{live: Live{Session: s, User: u}, seq: seq, readAt: readAt}
	e.live.entry = e
	e.lastSeen.Store(seen.UnixMilli())
	e.written.Store(s.LastSeenAt.UnixMilli())
	return e
}

// memo is one of the few values kept beside a session: a list of them takes a fifth of the memory of a map.
type memo struct {
	key, value any
	next       *memo
}

// maxMemos bounds the list: each configuration that a session outlives leaves a value behind.
const maxMemos = 8

func (e *entry) memo(key any) (any, bool) {
	for v := e.memos.Load(); v != nil; v = v.next {
		if v.key == key {
			return v.value, true
		}
	}
	return nil, false
}

// setMemo adds a value, unless another request was faster, and returns the one that counts.
func (e *entry) setMemo(key, made any) any {
	added := &memo{key: key, value: made}
	for {
		first := e.memos.Load()
		n := 0
		for v := first; v != nil; v, n = v.next, n+1 {
			if v.key == key {
				return v.value
			}
		}
		if added.next = first; n >= maxMemos {
			added.next = nil // the others are made again
		}
		if e.memos.CompareAndSwap(first, added) {
			return made
		}
	}
}

func (e *entry) seen() time.Time { return time.UnixMilli(e.lastSeen.Load()) }

func newCache(capacity int) *cache {
	c := &cache{
		entries:    otter.Must(&otter.Options[store.TokenHash, *entry]{MaximumSize: capacity}),
		start:      time.Now(),
		lastChange: make(map[string]uint64),
	}
	c.syncedAt.Store(neverSynced)
	return c
}

// neverSynced stands for a time long before the cache was made: nothing is known yet.
const neverSynced = -int64(time.Hour)

// seq returns the number and the time to give to an entry whose store read begins after this call.
func (c *cache) snapshot() (seq uint64, readAt int64) { return c.seq.Load(), c.sinceEpoch() }

func (c *cache) sinceEpoch() int64 { return int64(time.Since(c.start)) }

func (c *cache) put(hash store.TokenHash, e *entry) { c.entries.Set(hash, e) }

// get returns the entry if it may still answer, nil otherwise.
func (c *cache) get(hash store.TokenHash) *entry {
	if c.syncStale() {
		return nil
	}
	e, ok := c.entries.GetIfPresent(hash)
	if !ok {
		return nil
	}
	if !c.isCurrent(e) {
		c.entries.Invalidate(hash)
		return nil
	}
	return e
}

// syncStale reports whether the news are too old for the cache to answer.
func (c *cache) syncStale() bool { return c.syncAge() > maxLag }

// syncAge returns how old the news from the store are. It is long while there were none yet.
func (c *cache) syncAge() time.Duration { return time.Duration(c.sinceEpoch() - c.syncedAt.Load()) }

// lastKnown answers an entry that may stand for what the store would say, while that is away: the news that came last
// are not older than grace and would have told of its end, and none told of it.
func (c *cache) lastKnown(hash store.TokenHash, grace time.Duration) *entry {
	syncedAt := c.syncedAt.Load()
	if c.sinceEpoch()-syncedAt > int64(grace) {
		return nil
	}
	e, ok := c.entries.GetIfPresent(hash)
	if !ok || e.readAt >= syncedAt || !c.isCurrent(e) {
		return nil
	}
	return e
}

// markEnded notes that the store, asked, does not know the session or calls it over. News may not come while it is away,
// and what is known to be over must not go on then.
func (c *cache) markEnded(hash store.TokenHash) {
	if e, ok := c.entries.GetIfPresent(hash); ok {
		c.changed([]store.Change{{Kind: store.ChangeSession, Subject: e.live.Session.ID}})
		c.entries.Invalidate(hash)
	}
}

func (c *cache) isCurrent(e *entry) bool {
	if e.seq < c.floor.Load() {
		return false
	}
	if c.subjectCount.Load() == 0 {
		return true
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.lastChange[e.live.Session.ID] <= e.seq && c.lastChange[e.live.User.ID] <= e.seq
}

func (c *cache) changed(changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.seq.Add(1)
	for _, ch := range changes {
		switch ch.Kind {
		case store.ChangeSession, store.ChangeUser:
			c.lastChange[ch.Subject] = n
		case store.ChangeSetting:
		default: // everything, and kinds that a newer version may tell
			c.floor.Store(n)
		}
	}
	if len(c.lastChange) > maxSubjects {
		c.floor.Store(n)
	}
	if c.floor.Load() == n {
		clear(c.lastChange)
		c.entries.InvalidateAll()
	}
	c.subjectCount.Store(int64(len(c.lastChange)))
}

func (c *cache) synced(at time.Time) {
	ns := int64(at.Sub(c.start))
	for {
		old := c.syncedAt.Load()
		if ns <= old || c.syncedAt.CompareAndSwap(old, ns) {
			return
		}
	}
}
