package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// retention is for how long audit events are kept: the longest that any running configuration wants. It has a lock of
// its own, because the end of the runtime waits for the sweep under the runtime's.
type retention struct {
	mu     sync.Mutex
	wanted map[any]time.Duration // by configuration; 0: for ever

	changed chan struct{} // asks for a sweep at once
}

func newRetention() retention {
	return retention{wanted: make(map[any]time.Duration), changed: make(chan struct{}, 1)}
}

// KeepEvents sets for how long a configuration wants audit events to be kept, until Release. It acts at once, but of
// several running configurations the longest time counts: one that Caddy goes on to refuse has deleted nothing.
func (rt *Runtime) KeepEvents(config any, d time.Duration) {
	r := &rt.retention
	r.mu.Lock()
	r.wanted[config] = d
	r.mu.Unlock()
	r.askSweep()
}

// Release forgets a configuration.
func (rt *Runtime) Release(config any) {
	rt.turns.leave(config)
	r := &rt.retention
	r.mu.Lock()
	_, was := r.wanted[config]
	delete(r.wanted, config)
	r.mu.Unlock()
	if was {
		r.askSweep()
	}
}

func (r *retention) askSweep() {
	select {
	case r.changed <- struct{}{}:
	default: // one is asked for already
	}
}

// longest returns for how long audit events are kept, 0 for ever. It is not known while no configuration is running:
// when the last one stops, nothing has changed.
func (r *retention) longest() (longest time.Duration, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.wanted {
		if d == 0 {
			return 0, true
		}
		longest = max(longest, d)
	}
	return longest, len(r.wanted) > 0
}

const (
	sweepEvery = time.Minute
	sweepRows  = 500 // of a kind per transaction, so that no request waits long behind it
)

// sweepExpired deletes expired rows, and audits the end of tokens before those go. A changed retention is in the audit
// log before anything of it is deleted.
func (rt *Runtime) sweepExpired(log *zap.Logger) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-rt.stop:
			return
		case <-tick.C:
		case <-rt.retention.changed:
		}
		keep, known := rt.retention.longest()
		if !known {
			continue
		}
		if err := rt.auditRetention(keep); err != nil {
			log.Warn("auditing the retention of the audit log failed: nothing deleted, retrying", zap.Error(err))
			continue
		}
		if err := rt.auditExpiredTokens(time.Now()); err != nil {
			log.Warn("writing the end of tokens to the audit log failed, retrying", zap.Error(err))
			continue
		}
		if rt.sweep(keep, log) {
			return
		}
	}
}

// sweep deletes what has expired, in small steps. It reports whether the runtime was closed meanwhile.
func (rt *Runtime) sweep(keep time.Duration, log *zap.Logger) (closed bool) {
	for n := sweepRows; n >= sweepRows; {
		if now, known := rt.retention.longest(); !known || now != keep {
			return false // another sweep is asked for, with what counts now
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		began := time.Now()
		var err error
		n, err = rt.Store.Sweep(ctx, began, keep, sweepRows)
		cancel()
		if err != nil {
			log.Warn("deleting expired rows failed, retrying", zap.Error(err))
			return false
		}
		// A million old rows are thousands of steps: between them, everybody else has the store for as long.
		select {
		case <-rt.stop:
			return true
		case <-time.After(min(time.Since(began), time.Second)):
		}
	}
	return false
}

// Forever is how the configuration says that nothing of the audit log is deleted.
const Forever = "forever"

// RetentionText returns for how long the audit log is kept, as a Caddyfile has it.
func RetentionText(keep time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case keep == 0:
		return Forever
	case keep%day == 0:
		return fmt.Sprintf("%dd", keep/day)
	}
	return keep.String()
}

// retentionSetting is where the store has the retention that was last in force.
const retentionSetting = "audit.keep"

// auditRetention writes a changed retention to the audit log: anyone who shortens it deletes traces. Where nothing
// changed, nothing is written.
func (rt *Runtime) auditRetention(keep time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	now := RetentionText(keep)
	if before, err := lastRetention(ctx, rt.Store); err != nil || before == now {
		return err
	}
	return rt.Store.Change(ctx, func(tx store.Tx) error {
		before, err := lastRetention(ctx, tx)
		if err != nil || before == now { // another Caddy was first
			return err
		}
		if err := tx.SetSetting(ctx, retentionSetting, now); err != nil {
			return err
		}
		return tx.AddEvent(ctx, store.Event{
			Action: "audit.keep", Actor: store.NameStartUp, Outcome: store.Success,
			Details: map[string]string{"before.keep": before, "after.keep": now},
		})
	})
}

func lastRetention(ctx context.Context, r store.Reader) (string, error) {
	before, err := r.Setting(ctx, retentionSetting)
	if errors.Is(err, store.ErrNotFound) {
		return Forever, nil
	}
	return before, err
}
