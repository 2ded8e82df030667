package runtime

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/store"
)

// timedStore is a store that measures the operations that requests wait for.
type timedStore struct {
	store.Store
	latency *prometheus.HistogramVec
}

func (t *timedStore) observe(op string, begin time.Time, err error) {
	outcome := "ok"
	if err != nil && errors.Is(err, store.ErrUnavailable) {
		outcome = "unavailable"
	}
	t.latency.WithLabelValues(op, outcome).Observe(time.Since(begin).Seconds())
}

func (t *timedStore) SessionByToken(ctx context.Context, h store.TokenHash) (store.Session, store.User, error) {
	begin := time.Now()
	s, u, err := t.Store.SessionByToken(ctx, h)
	t.observe("session", begin, err)
	return s, u, err
}

func (t *timedStore) Change(ctx context.Context, fn func(store.Tx) error) error {
	begin := time.Now()
	err := t.Store.Change(ctx, fn)
	t.observe("change", begin, err)
	return err
}

func (t *timedStore) Touch(ctx context.Context, b []store.Touch) error {
	begin := time.Now()
	err := t.Store.Touch(ctx, b)
	t.observe("touch", begin, err)
	return err
}

func (t *timedStore) BeginAttempt(
	ctx context.Context, key string, free int, longest time.Duration, now time.Time,
) (time.Duration, error) {
	begin := time.Now()
	w, err := t.Store.BeginAttempt(ctx, key, free, longest, now)
	t.observe("throttle", begin, err)
	return w, err
}
