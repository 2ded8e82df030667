package caddyauth

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// registerer is what Caddy gives us to register metrics with: a new registry per configuration.
type registerer interface {
	Register(prometheus.Collector) error
}

// metrics are the gatehouse_* collectors. They live in the runtime, so that counters go on over reloads; each
// configuration registers the same ones in its own registry. Labels never hold names, addresses or paths.
type metrics struct {
	signIns   *prometheus.CounterVec
	decisions *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	streams   prometheus.GaugeFunc
	sessions  prometheus.GaugeFunc
	grace     prometheus.GaugeFunc
	graced    prometheus.CounterFunc

	// counters of the request path, looked up once
	allowed, public, anonymous, forbidden, unavailable prometheus.Counter

	source atomic.Pointer[metricSource]
}

type metricSource struct {
	store    store.Store
	sessions *session.Manager
	count    atomic.Int64
	read     atomic.Int64 // unix seconds
}

func newMetrics() *metrics {
	m := &metrics{
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_sign_ins_total", Help: "Sign-in attempts by method and outcome.",
		}, []string{"method", "outcome"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_decisions_total", Help: "Requests judged, by decision: allowed, public, anonymous, forbidden, unavailable.",
		}, []string{"decision"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_store_seconds", Help: "Time of store operations.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"operation", "outcome"}),
	}
	m.streams = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_requests_in_flight", Help: "Requests of signed-in people under way, streams among them.",
	}, m.inFlight)
	m.sessions = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_sessions_live", Help: "Sessions that have not expired.",
	}, m.liveSessions)
	m.grace = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_store_grace", Help: "1 while requests go on without the store, which cannot be reached.",
	}, m.inGrace)
	m.graced = prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gatehouse_store_grace_requests_total", Help: "Requests that went on without the store.",
	}, m.gracedRequests)
	m.allowed, m.public = m.decisions.WithLabelValues("allowed"), m.decisions.WithLabelValues("public")
	m.anonymous, m.forbidden = m.decisions.WithLabelValues("anonymous"), m.decisions.WithLabelValues("forbidden")
	m.unavailable = m.decisions.WithLabelValues("unavailable")
	return m
}

func (m *metrics) register(r registerer) error {
	for _, c := range []prometheus.Collector{m.signIns, m.decisions, m.latency, m.streams, m.sessions, m.grace, m.graced} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) attach(st store.Store, s *session.Manager) {
	m.source.Store(&metricSource{store: st, sessions: s})
}

func (m *metrics) signIn(method, outcome string) { m.signIns.WithLabelValues(method, outcome).Inc() }

func (m *metrics) inFlight() float64 {
	if src := m.source.Load(); src != nil {
		return float64(src.sessions.Streams())
	}
	return 0
}

func (m *metrics) inGrace() float64 {
	if src := m.source.Load(); src != nil {
		if _, active := src.sessions.Graced(); active {
			return 1
		}
	}
	return 0
}

func (m *metrics) gracedRequests() float64 {
	if src := m.source.Load(); src != nil {
		served, _ := src.sessions.Graced()
		return float64(served)
	}
	return 0
}

// liveSessions counts at most every ten seconds: a scrape must not become a load.
func (m *metrics) liveSessions() float64 {
	src := m.source.Load()
	if src == nil {
		return 0
	}
	now := time.Now()
	if last := src.read.Load(); now.Unix()-last >= 10 && src.read.CompareAndSwap(last, now.Unix()) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if n, err := src.store.CountSessions(ctx, now, 0); err == nil {
			src.count.Store(int64(n))
		}
	}
	return float64(src.count.Load())
}

// timed returns st with the operations that requests wait for measured.
func (m *metrics) timed(st store.Store) store.Store {
	return &timedStore{Store: st, latency: m.latency}
}

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

func (t *timedStore) BeginAttempt(ctx context.Context, key string, free int, longest time.Duration, now time.Time) (time.Duration, error) {
	begin := time.Now()
	w, err := t.Store.BeginAttempt(ctx, key, free, longest, now)
	t.observe("throttle", begin, err)
	return w, err
}
