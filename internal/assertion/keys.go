package assertion

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/store"
)

// setting holds the sealed ring. It is also the row that the seal is bound to.
const (
	setting = "assertion.keys"
	purpose = "assertion keys"
)

// Store is the part of [store.Store] in which the keys are.
type Store interface {
	seal.Store
	Watch(w store.Watcher) (stop func())
}

// Keys are the keys of one store, in memory for as long as they are known to be the stored ones. They are safe for
// concurrent use.
//
// The rules are those of internal/session's cache: a change of this process is known before the call that made it
// returns; others' changes are polled; and when the poll is late, memory is not believed.
type Keys struct {
	store  Store
	sealer *seal.Sealer
	now    func() time.Time
	stop   func()

	known    atomic.Pointer[known]
	seq      atomic.Uint64 // of the last change that may be about the keys
	syncedAt atomic.Int64  // nanoseconds from start to the beginning of the last finished poll
	start    time.Time
}

// known is a ring that was read from the store.
type known struct {
	ring   *Ring
	seq    uint64 // from before it was read
	readAt int64  // nanoseconds from start to the beginning of the read
}

const (
	// maxLag is how old the last poll of the store may be, as for sessions: a change of another process is known within a
	// second.
	maxLag = 700 * time.Millisecond
	// loadTimeout bounds how long a request waits for a store that hangs.
	loadTimeout = 3 * time.Second
	// neverSynced stands for a time long before the start: no poll has finished yet.
	neverSynced = -int64(time.Hour)
)

// NewKeys returns the keys of a store. It does not read it yet: they are made when they are first needed. Call Close to
// stop watching the store.
func NewKeys(st Store, clock func() time.Time) *Keys {
	if clock == nil {
		clock = time.Now
	}
	k := &Keys{store: st, sealer: seal.New(st), now: clock, start: time.Now()}
	k.syncedAt.Store(neverSynced)
	k.stop = st.Watch(k)
	return k
}

// Close stops watching the store.
func (k *Keys) Close() { k.stop() }

// Changed implements store.Watcher.
func (k *Keys) Changed(changes []store.Change) {
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeSession, store.ChangeToken, store.ChangeUser:
		case store.ChangeSetting:
			if c.Subject == setting {
				k.seq.Add(1)
			}
		default: // everything, and kinds that a newer version may report
			k.seq.Add(1)
		}
	}
}

// Synced implements store.Watcher.
func (k *Keys) Synced(at time.Time) {
	ns := int64(at.Sub(k.start))
	for {
		old := k.syncedAt.Load()
		if ns <= old || k.syncedAt.CompareAndSwap(old, ns) {
			return
		}
	}
}

// Current reports whether a ring is the last one that is known. It is for what is kept with something that a late poll
// makes stale as well, such as a session.
func (k *Keys) Current(r *Ring) bool {
	l := k.known.Load()
	return l != nil && l.ring == r && l.seq == k.seq.Load()
}

// Get returns the keys, and makes them if there are none. While the store cannot be reached, those that were last known
// serve for as long as grace after its last poll.
func (k *Keys) Get(ctx context.Context, grace time.Duration) (*Ring, error) {
	l, seq := k.known.Load(), k.seq.Load()
	if l != nil && l.seq == seq {
		// During grace the store is not asked: each request would wait for it. What was read after the last poll began
		// may have been changed since.
		age := time.Duration(k.sinceStart() - k.syncedAt.Load())
		if age <= maxLag || age <= grace && l.readAt < k.syncedAt.Load() {
			return l.ring, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	readAt := k.sinceStart()
	text, err := k.stored(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the keys for signed identities: %w", err)
	}
	var ring *Ring
	if l != nil && l.ring.sealed == text {
		ring = l.ring // so that what it has signed is still good
	} else if ring, err = open(ctx, k.sealer, text); err != nil {
		return nil, err
	}
	k.remember(&known{ring: ring, seq: seq, readAt: readAt})
	return ring, nil
}

// Has reports whether the key with that thumbprint (RFC 7638) is or was one of ours. It makes no keys.
func (k *Keys) Has(ctx context.Context, thumbprint string) (bool, error) {
	if k.known.Load() == nil {
		bounded, cancel := context.WithTimeout(ctx, loadTimeout)
		_, err := k.store.Setting(bounded, setting)
		cancel()
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading the keys for signed identities: %w", err)
		}
	}
	r, err := k.Get(ctx, 0)
	if err != nil {
		return false, err
	}
	return r.has(thumbprint), nil
}

// remember keeps what was read, unless somebody has read a later state.
func (k *Keys) remember(read *known) {
	for {
		old := k.known.Load()
		if old != nil && (old.seq > read.seq || old.seq == read.seq && old.readAt > read.readAt) {
			return
		}
		if k.known.CompareAndSwap(old, read) {
			return
		}
	}
}

func (k *Keys) sinceStart() int64 { return int64(time.Since(k.start)) }

// stored returns the sealed ring, and makes the first one. Of several processes that do so at the same time, one wins.
func (k *Keys) stored(ctx context.Context) (string, error) {
	text, err := k.store.Setting(ctx, setting)
	if !errors.Is(err, store.ErrNotFound) {
		return text, err
	}
	made, err := sealNew(ctx, k.sealer, nil, k.now())
	if err != nil {
		return "", err
	}
	err = k.store.Change(ctx, func(tx store.Tx) (err error) {
		text, err = tx.SetSettingOnce(ctx, setting, made.sealed)
		return err
	})
	return text, err
}

// PublicKeys returns the JWK Set for verifiers; grace is as for [Keys.Get].
func (k *Keys) PublicKeys(ctx context.Context, grace time.Duration) ([]byte, error) {
	r, err := k.Get(ctx, grace)
	if err != nil {
		return nil, err
	}
	return r.PublicKeys(k.now())
}

// sealNew returns a ring with one new key. before may be nil.
func sealNew(ctx context.Context, sealer *seal.Sealer, before *Ring, now time.Time) (*Ring, error) {
	first, err := newKey(now)
	if err != nil {
		return nil, err
	}
	r := &Ring{keys: []*key{first}, changed: now}
	if before != nil {
		before.retire(r)
	}
	err = r.seal(ctx, sealer)
	return r, err
}

func (r *Ring) seal(ctx context.Context, sealer *seal.Sealer) error {
	plain, err := r.marshal()
	if err != nil {
		return err
	}
	r.sealed, err = sealer.Seal(ctx, plain, purpose, setting)
	return err
}

// open opens a sealed ring. Keys that cannot be opened are never replaced by new ones without being told to: the apps
// would refuse everybody, and nobody would know why.
func open(ctx context.Context, sealer *seal.Sealer, text string) (*Ring, error) {
	plain, err := sealer.Open(ctx, text, purpose, setting)
	var r *Ring
	if err == nil {
		r, err = parseRing(plain)
	}
	switch {
	case errors.Is(err, seal.ErrSealed), errors.Is(err, errMalformed):
		return nil, fmt.Errorf("opening the keys for signed identities, the setting %s of the store: %w; run \"caddy "+
			"gatehouse store rotate-keys --assertion --now\" to replace them", setting, err)
	case err != nil:
		return nil, fmt.Errorf("opening the keys for signed identities: %w", err)
	}
	r.sealed = text
	return r, nil
}
