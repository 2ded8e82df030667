package session

import (
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/store"
)

// maxLag is the maximum age of the last poll of the store with which the cache is used. Other processes' changes are
// polled several times as often, so that normally the cache is always used, and a session that was ended elsewhere is
// over here within a second: at most maxLag plus the time of one poll.
const maxLag = 700 * time.Millisecond

// cache holds resolved sessions.
//
// # Why a cached session is never stale
//
// Every reported change gets a sequence number, and recently changed subjects (sessions, tokens and users) are listed
// with the number of their last change. An entry has the sequence number from before its store read began. It is used
// only if neither its session nor its user has a change with a higher number.
//
//   - A change reported before that number was taken had been committed by then, so the read saw it.
//   - A change reported after it has a higher number, so the entry is not used, whether it was put into the cache
//     before or after the change was reported. There is no window between the two.
//   - This process's own changes are reported before the call that made them returns: they take effect on the next
//     request.
//   - Other processes' changes are reported by the store's poll. An entry is used only while the last finished poll
//     began less than maxLag ago (by the monotonic clock), so a failing poll turns the cache off instead of letting it
//     become stale.
//
// The list of changed subjects is bounded: when it is full, floor is raised to the present sequence number, which
// invalidates every older entry, and the list is cleared.
type cache struct {
	entries *otter.Cache[cacheKey, *entry]

	seq          atomic.Uint64
	floor        atomic.Uint64
	subjectCount atomic.Int64 // length of lastChange: 0 saves the lookup
	syncedAt     atomic.Int64 // nanoseconds from start to the beginning of the last finished poll
	start        time.Time
	mu           sync.RWMutex
	lastChange   map[string]uint64 // id of a session, token or user → sequence number of its last change
}

// cacheKey is what entries are found by. What is cached of one kind of token is nothing for another kind.
type cacheKey struct {
	hash     store.TokenHash
	program  bool
	external bool // of a program, and not in the store
}

// maxSubjects limits the list of recent changes: about 1 MiB.
const maxSubjects = 10_000

// entry is a resolved session in the cache.
type entry struct {
	live     Live
	seq      uint64
	readAt   int64                // nanoseconds from start to the beginning of its store read
	lastSeen atomic.Int64         // ms
	written  atomic.Int64         // ms; last use passed to the janitor
	memos    atomic.Pointer[memo] // see Live.Memoize
}

func newEntry(l Live, seen time.Time, seq uint64, readAt int64) *entry {
	s, u := l.Session, l.User
	s.UserID = u.ID
	for _, text := range []*string{
		&s.Method, &s.Methods, &s.Provider, &s.Issuer, &s.UserAgent, &s.Host, (*string)(&u.Role),
		(*string)(&u.Origin),
	} {
		*text = unique.Make(*text).Value() // interned: the same in many sessions
	}
	e := &entry{live: Live{Session: s, User: u, Token: l.Token, external: l.external}, seq: seq, readAt: readAt}
	e.live.entry = e
	e.lastSeen.Store(seen.UnixMilli())
	e.written.Store(s.LastSeenAt.UnixMilli())
	if l.Token != nil && l.Token.LastUsedAt.IsZero() {
		e.written.Store(0) // its first use is written
	}
	return e
}

// memo is one of the few values cached with a session, in a linked list: it takes a fifth of the memory of a map.
type memo struct {
	key, value any
	next       *memo
}

// maxMemos limits the list: each configuration that a session outlives leaves a value behind.
const maxMemos = 8

func (e *entry) memo(key any) (any, bool) {
	for v := e.memos.Load(); v != nil; v = v.next {
		if v.key == key {
			return v.value, true
		}
	}
	return nil, false
}

// setMemo adds a value, unless another request was faster, and returns the value that is stored.
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
			added.next = nil // the others are computed again
		}
		if e.memos.CompareAndSwap(first, added) {
			return made
		}
	}
}

func (e *entry) seen() time.Time { return time.UnixMilli(e.lastSeen.Load()) }

// seenAt records a use that is written by the caller.
func (e *entry) seenAt(at time.Time) {
	ms := at.UnixMilli()
	for _, last := range []*atomic.Int64{&e.lastSeen, &e.written} {
		for old := last.Load(); old < ms && !last.CompareAndSwap(old, ms); old = last.Load() {
		}
	}
}

func newCache(capacity int) *cache {
	c := &cache{
		entries:    otter.Must(&otter.Options[cacheKey, *entry]{MaximumSize: capacity}),
		start:      time.Now(),
		lastChange: make(map[string]uint64),
	}
	c.syncedAt.Store(neverSynced)
	return c
}

// neverSynced stands for a time long before the cache was created: no poll has finished yet.
const neverSynced = -int64(time.Hour)

// snapshot returns the sequence number and the time for an entry whose store read begins after this call.
func (c *cache) snapshot() (seq uint64, readAt int64) { return c.seq.Load(), c.sinceStart() }

func (c *cache) sinceStart() int64 { return int64(time.Since(c.start)) }

func (c *cache) put(key cacheKey, e *entry) { c.entries.Set(key, e) }

// get returns the entry if it is still valid, nil otherwise.
func (c *cache) get(key cacheKey) *entry {
	if c.syncStale() {
		return nil
	}
	e, ok := c.entries.GetIfPresent(key)
	if !ok {
		return nil
	}
	if !c.isCurrent(e) {
		c.entries.Invalidate(key)
		return nil
	}
	return e
}

// syncStale reports whether the last poll is too long ago for the cache to be used.
func (c *cache) syncStale() bool { return c.syncAge() > maxLag }

// syncAge returns the age of the last finished poll of the store. It is large before the first one.
func (c *cache) syncAge() time.Duration { return time.Duration(c.sinceStart() - c.syncedAt.Load()) }

// lastKnown returns the entry if it may be used while the store is unavailable: it was read before the last finished
// poll, which is not older than grace and would have reported the session's end, and no end was reported.
func (c *cache) lastKnown(key cacheKey, grace time.Duration) *entry {
	syncedAt := c.syncedAt.Load()
	if c.sinceStart()-syncedAt > int64(grace) {
		return nil
	}
	e, ok := c.entries.GetIfPresent(key)
	if !ok || e.readAt >= syncedAt || !c.isCurrent(e) {
		return nil
	}
	return e
}

// markEnded records that a read found the session missing or over. The poll may not report this if the store becomes
// unavailable, and during the outage the session must not be used.
func (c *cache) markEnded(key cacheKey) {
	if e, ok := c.entries.GetIfPresent(key); ok {
		c.changed([]store.Change{{Kind: store.ChangeSession, Subject: e.live.Session.ID}})
		c.entries.Invalidate(key)
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
		case store.ChangeSession, store.ChangeToken, store.ChangeUser:
			c.lastChange[ch.Subject] = n
		case store.ChangeSetting:
		default: // all subjects, and kinds that a newer version may report
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
