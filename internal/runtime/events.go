package runtime

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// batchedEvents is a store that writes audit events which belong to no change (failed sign-ins, mostly) in batches, so
// that a flood of guesses does not cost a transaction each. Events of changes are written with the change. Reading the
// log writes what is pending first.
type batchedEvents struct {
	store.Store
	complete func(store.Event) store.Event
	log      *zap.Logger

	mu      sync.Mutex
	pending []store.Event
	timer   *time.Timer
	closed  bool
	writing sync.Mutex // one batch at a time, in order
}

const (
	eventDelay = 250 * time.Millisecond
	eventBatch = 200 // at most in memory; the caller writes what is more
)

// newBatchedEvents returns st with its events in batches. complete sets the time and the id of an event.
func newBatchedEvents(st store.Store, complete func(store.Event) store.Event, log *zap.Logger) *batchedEvents {
	b := &batchedEvents{Store: st, complete: complete, log: log}
	b.timer = time.AfterFunc(time.Hour, b.writePending)
	b.timer.Stop()
	return b
}

// AddEvents implements store.Store.
func (b *batchedEvents) AddEvents(ctx context.Context, events ...store.Event) error {
	// Now and not when they are written: an event that is written with a change meanwhile happened later.
	events = slices.Clone(events)
	for i := range events {
		events[i] = b.complete(events[i])
	}
	b.mu.Lock()
	if b.closed || len(b.pending)+len(events) > eventBatch {
		b.mu.Unlock()
		if err := b.flush(ctx); err != nil {
			return err
		}
		return b.Store.AddEvents(ctx, events...)
	}
	if len(b.pending) == 0 {
		b.timer.Reset(eventDelay)
	}
	b.pending = append(b.pending, events...)
	b.mu.Unlock()
	return nil
}

// Events implements store.Reader.
func (b *batchedEvents) Events(ctx context.Context, q store.EventQuery) (store.EventPage, error) {
	if err := b.flush(ctx); err != nil {
		return store.EventPage{}, err
	}
	return b.Store.Events(ctx, q)
}

// Close implements store.Store: what is pending is written first.
func (b *batchedEvents) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.writePending()
	return b.Store.Close()
}

// writePending is the timer's flush; it tries again after a failure.
func (b *batchedEvents) writePending() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := b.flush(ctx); err != nil {
		b.log.Error("could not write the audit log", zap.Error(err))
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.closed {
			b.timer.Reset(time.Second) // try again
		}
	}
}

// flush writes what is pending. What could not be written stays pending, up to the batch's bound.
func (b *batchedEvents) flush(ctx context.Context) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	batch := b.pending
	b.pending = nil
	b.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	if err := b.Store.AddEvents(ctx, batch...); err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.pending = append(batch, b.pending...)[:min(len(batch)+len(b.pending), eventBatch)]
		return err
	}
	return nil
}
