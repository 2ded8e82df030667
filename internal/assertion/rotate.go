package assertion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Rotation is what a rotation came to.
type Rotation struct {
	Key     string    // id of the newest key
	From    time.Time // when it signs; not after now if it does already
	Signing string    // id of the key that signs now
	Pending bool      // the newest key was waiting for its turn: nothing was changed
}

// tries bounds how often a rotation begins again because another process has changed the keys meanwhile.
const tries = 5

// clockError is how far clocks of several machines may differ.
const clockError = time.Minute

// Rotate publishes a new key, which signs from [Overlap] after now on. The key before it is published for as long after
// that. While a new key waits for its turn, nothing is changed: whoever repeats an interrupted rotation gets the same.
func Rotate(ctx context.Context, st seal.Store, now time.Time) (Rotation, error) {
	return change(ctx, st, now, "rotated", nextRing)
}

// Replace puts a new key in the place of all others, at once: for a key that has leaked, and for keys that cannot be
// opened.
func Replace(ctx context.Context, st seal.Store, now time.Time) (Rotation, error) {
	return change(ctx, st, now, "replaced at once", newRing)
}

// change writes the ring that next returns. Where that is pending, there is nothing to write.
func change(ctx context.Context, st seal.Store, now time.Time, how string,
	next func(context.Context, *seal.Sealer, row, time.Time) (r *Ring, pending bool, err error),
) (Rotation, error) {
	sealer := seal.New(st)
	for range tries {
		before, err := read(ctx, st)
		if err != nil {
			return Rotation{}, fmt.Errorf("reading the keys for signed identities: %w", err)
		}
		after, pending, err := next(ctx, sealer, before, now)
		if err != nil {
			return Rotation{}, err
		}
		if !pending {
			err = st.Change(ctx, func(tx store.Tx) error { return replace(ctx, tx, before, after, how) })
		}
		switch {
		case err == nil:
			return rotation(after, now, pending), nil
		case !errors.Is(err, errRaced):
			return Rotation{}, fmt.Errorf("writing a new key for signed identities: %w", err)
		}
	}
	return Rotation{}, errRaced
}

func rotation(r *Ring, now time.Time, pending bool) Rotation {
	last := r.keys[len(r.keys)-1]
	return Rotation{Key: last.id, From: last.from, Signing: r.keys[r.at(now)].id, Pending: pending}
}

// row is the setting, if there is one.
type row struct {
	exists bool
	text   string
}

func read(ctx context.Context, from interface {
	Setting(ctx context.Context, key string) (string, error)
},
) (row, error) {
	text, err := from.Setting(ctx, setting)
	if errors.Is(err, store.ErrNotFound) {
		return row{}, nil
	}
	return row{true, text}, err
}

// nextRing returns the ring after a rotation, or the present one if a key of it is waiting for its turn.
func nextRing(ctx context.Context, sealer *seal.Sealer, stored row, now time.Time) (r *Ring, pending bool,
	err error,
) {
	if !stored.exists { // nothing was ever signed: the first key needs no time to become known
		r, err = sealNew(ctx, sealer, nil, now)
		return r, false, err
	}
	old, err := open(ctx, sealer, stored.text)
	switch {
	case err != nil:
		return nil, false, err
	case now.Before(old.changed.Add(-clockError)):
		// By a clock that is behind, the new key would sign before the apps know it.
		return nil, false, fmt.Errorf("the keys for signed identities were changed at %s, but the clock of this machine "+
			"says %s: set the clock, and run this again; if it is right, the other one was wrong: --now replaces the keys "+
			"at once", old.changed.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case !old.Switch(now).IsZero():
		return old, true, nil
	}
	added, err := newKey(now.Add(Overlap))
	if err != nil {
		return nil, false, err
	}
	// What is not published any more signs nothing, whatever the clock will say.
	r = &Ring{keys: append(append([]*key(nil), old.published(now)...), added), changed: now}
	old.retire(r)
	err = r.seal(ctx, sealer)
	return r, false, err
}

// newRing returns a ring with one new key. What was there before may be impossible to open.
func newRing(ctx context.Context, sealer *seal.Sealer, stored row, now time.Time) (r *Ring, pending bool, err error) {
	var old *Ring
	if stored.exists {
		old, err = open(ctx, sealer, stored.text)
		if err != nil && !errors.Is(err, seal.ErrSealed) && !errors.Is(err, errMalformed) {
			return nil, false, err
		}
	}
	r, err = sealNew(ctx, sealer, old, now)
	return r, false, err
}

var errRaced = errors.New("the keys for signed identities were changed by another process at the same time; run this " +
	"again")

// replace writes the ring if the setting is still what it was. It is in the audit log: whoever has the new key can sign
// for everybody.
func replace(ctx context.Context, tx store.Tx, before row, after *Ring, how string) error {
	switch now, err := read(ctx, tx); {
	case err != nil:
		return err
	case now != before:
		return errRaced
	}
	if err := tx.SetSetting(ctx, setting, after.sealed); err != nil {
		return err
	}
	return tx.AddEvent(ctx, store.Event{
		Action: "assertion.rotate_keys", Actor: store.NameCommandLine, Outcome: store.Success,
		Details: map[string]string{"key": after.keys[len(after.keys)-1].id, "how": how},
	})
}
