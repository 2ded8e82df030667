package runtime

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Metrics are the gatehouse_* collectors. They belong to the runtime, so that counters survive reloads; each
// configuration registers the same ones in its own registry. Labels never hold names, addresses or paths.
type Metrics struct {
	// Counters of decisions on the request path, looked up once.
	Allowed, Public, Anonymous, Forbidden, Unavailable prometheus.Counter

	signIns   *prometheus.CounterVec
	steps     *prometheus.CounterVec
	stepUps   *prometheus.CounterVec
	decisions *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	streams   prometheus.GaugeFunc
	sessions  prometheus.GaugeFunc
	grace     prometheus.GaugeFunc
	graced    prometheus.CounterFunc

	source atomic.Pointer[metricSource]
}

type metricSource struct {
	store    store.Store
	sessions *session.Manager
	count    atomic.Int64
	read     atomic.Int64 // unix seconds
}

func newMetrics() *Metrics {
	m := &Metrics{
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_sign_ins_total", Help: "Sign-in attempts by method and outcome.",
		}, []string{"method", "outcome"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_second_factor_total", Help: "Attempts to prove a second factor, by method (totp, recovery) and " +
				"outcome: success, wrong, throttled, locked.",
		}, []string{"method", "outcome"}),
		stepUps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_step_up_total", Help: "Requests of signed-in people that a path wants more proof for, by need " +
				"(mfa, fresh) and outcome: redirected, refused.",
		}, []string{"need", "outcome"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_decisions_total", Help: "Requests judged, by decision: allowed, public, anonymous, forbidden, " +
				"unavailable.",
		}, []string{"decision"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_tokens_total", Help: "Requests with a token of a program, by result: accepted, invalid, scope, " +
				"repeated, throttled, unavailable.",
		}, []string{"result"}),
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
	m.Allowed, m.Public = m.decisions.WithLabelValues("allowed"), m.decisions.WithLabelValues("public")
	m.Anonymous, m.Forbidden = m.decisions.WithLabelValues("anonymous"), m.decisions.WithLabelValues("forbidden")
	m.Unavailable = m.decisions.WithLabelValues("unavailable")
	return m
}

// Register registers the collectors in the registry of a configuration.
func (m *Metrics) Register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		m.signIns, m.steps, m.stepUps, m.decisions, m.tokens, m.latency, m.streams, m.sessions, m.grace, m.graced,
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *Metrics) attach(st store.Store, s *session.Manager) {
	m.source.Store(&metricSource{store: st, sessions: s})
}

// Step counts an attempt to prove a second factor.
func (m *Metrics) Step(method, outcome string) { m.steps.WithLabelValues(method, outcome).Inc() }

// StepUp counts a request of somebody who has to prove more first.
func (m *Metrics) StepUp(need, outcome string) { m.stepUps.WithLabelValues(need, outcome).Inc() }

// SignIn counts an attempt to sign in.
func (m *Metrics) SignIn(method, outcome string) { m.signIns.WithLabelValues(method, outcome).Inc() }

// Token counts a request with a token of a program.
func (m *Metrics) Token(result string) { m.tokens.WithLabelValues(result).Inc() }

func (m *Metrics) inFlight() float64 {
	if src := m.source.Load(); src != nil {
		return float64(src.sessions.StreamCount())
	}
	return 0
}

func (m *Metrics) inGrace() float64 {
	if src := m.source.Load(); src != nil {
		if _, active := src.sessions.GraceStatus(); active {
			return 1
		}
	}
	return 0
}

func (m *Metrics) gracedRequests() float64 {
	if src := m.source.Load(); src != nil {
		served, _ := src.sessions.GraceStatus()
		return float64(served)
	}
	return 0
}

// liveSessions counts at most every ten seconds: a scrape must not become a load.
func (m *Metrics) liveSessions() float64 {
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
