package oidc

import (
	"crypto/x509"
	"maps"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Pool caches the state of providers: metadata, keys, failures. It outlives configurations, so that a reload needs no
// requests to providers and resets no back-off.
type Pool struct {
	now   func() time.Time
	log   *zap.Logger
	roots *x509.CertPool

	mu      sync.Mutex
	remotes map[string]*remote
}

// PoolOptions of a [Pool]. The zero value is the default of each.
type PoolOptions struct {
	Clock func() time.Time // default time.Now
	Log   *zap.Logger      // default none
	Roots *x509.CertPool   // trusted CAs; default the system's
}

// maxRemotes limits the memory that reloads with ever new issuers can use.
const maxRemotes = 256

// NewPool returns an empty pool.
func NewPool(o PoolOptions) *Pool {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &Pool{now: o.Clock, log: o.Log, roots: o.Roots, remotes: make(map[string]*remote)}
}

// remote returns the state of c's provider, which may be empty yet.
func (p *Pool) remote(c *Config) *remote {
	return p.cached(c.poolKey(), func() *remote {
		r := &remote{
			issuer: c.Issuer, discovery: c.discovery(), endpoints: maps.Clone(c.Endpoints), insecure: c.Insecure,
			now: p.now, log: p.log.With(zap.String("issuer", c.Issuer)),
			refetches: map[purpose]*rateLimit{forSignIn: newRateLimit(5), forLogout: newRateLimit(3)},
		}
		r.client = newClient(c.Insecure, c.roots(p.roots), maxBody, r.recordDate)
		return r
	})
}

// cached returns the state with that key, made by create if there is none yet.
func (p *Pool) cached(key string, create func() *remote) *remote {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.remotes[key]
	if r == nil {
		if len(p.remotes) >= maxRemotes {
			clear(p.remotes) // configurations in use have their own references
		}
		r = create()
		p.remotes[key] = r
	}
	return r
}

// roots returns the CAs that are trusted: those of the pool, or of the system, and the configured ones.
func (c *Config) roots(base *x509.CertPool) *x509.CertPool {
	if len(c.CA) == 0 {
		return base
	}
	if base != nil {
		base = base.Clone()
	} else if system, err := x509.SystemCertPool(); err == nil {
		base = system
	} else {
		base = x509.NewCertPool() // no system CAs: the configured ones are enough for this provider
	}
	base.AppendCertsFromPEM(c.CA) // checked with the configuration
	return base
}

// Close closes idle connections and empties the pool.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.remotes {
		r.client.CloseIdleConnections()
	}
	clear(p.remotes)
}

// purpose says why keys are refetched. Each has its own rate limit: anybody can send logout tokens and machine JWTs,
// and must not use up the refetches that sign-ins need.
type purpose int

const (
	forSignIn purpose = iota
	forLogout
	forMachine
)

// rateLimit allows n events per minute.
type rateLimit struct {
	mu     sync.Mutex
	recent []time.Time
}

func newRateLimit(n int) *rateLimit { return &rateLimit{recent: make([]time.Time, n)} }

func (b *rateLimit) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if age := now.Sub(b.recent[0]); !b.recent[0].IsZero() && age >= 0 && age < time.Minute {
		return false
	}
	b.recent = append(b.recent[1:], now)
	return true
}

// datedTransport reports the Date header of each response, to measure clock skew.
type datedTransport struct {
	next   http.RoundTripper
	onDate func(date time.Time)
}

// RoundTrip implements http.RoundTripper.
func (d *datedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.next.RoundTrip(r)
	if err == nil {
		if date, perr := http.ParseTime(resp.Header.Get("Date")); perr == nil {
			d.onDate(date)
		}
	}
	return resp, err
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (d *datedTransport) CloseIdleConnections() { closeIdle(d.next) }

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
