package oidc

import (
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Pool keeps what is known of providers: metadata, keys, failures. It outlives configurations, so that a reload asks
// no provider anything and forgets no back-off.
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
	Roots *x509.CertPool   // whom to trust; default the system's
}

// maxRemotes bounds what reloads with ever new issuers can leave behind.
const maxRemotes = 256

// NewPool makes an empty pool.
func NewPool(o PoolOptions) *Pool {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &Pool{now: o.Clock, log: o.Log, roots: o.Roots, remotes: make(map[string]*remote)}
}

// remote returns what is known of c's provider, which may be nothing yet.
func (p *Pool) remote(c *Config) *remote {
	key := c.fingerprint()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.remotes[key]
	if r == nil {
		if len(p.remotes) >= maxRemotes {
			clear(p.remotes) // configurations in use hold on to theirs
		}
		r = &remote{
			issuer: c.Issuer, insecure: c.Insecure, now: p.now, log: p.log.With(zap.String("issuer", c.Issuer)),
			rereads: map[purpose]*budget{forSignIn: newBudget(5), forLogout: newBudget(3)},
		}
		r.client = newClient(c.Insecure, p.roots, r.noteDate)
		p.remotes[key] = r
	}
	return r
}

// Close lets connections go that nobody uses.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.remotes {
		r.client.CloseIdleConnections()
	}
	clear(p.remotes)
}

// purpose says on whose behalf the keys are read again. Logout tokens come from whoever likes to send some: they must
// not use up what sign-ins need.
type purpose int

const (
	forSignIn purpose = iota
	forLogout
)

// budget allows n things a minute.
type budget struct {
	mu   sync.Mutex
	last []time.Time
}

func newBudget(n int) *budget { return &budget{last: make([]time.Time, n)} }

func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if age := now.Sub(b.last[0]); !b.last[0].IsZero() && age >= 0 && age < time.Minute {
		return false
	}
	b.last = append(b.last[1:], now)
	return true
}

// datedTransport tells the provider's clock from its answers.
type datedTransport struct {
	next http.RoundTripper
	seen func(date time.Time)
}

// RoundTrip implements http.RoundTripper.
func (d *datedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.next.RoundTrip(r)
	if err == nil {
		if date, perr := http.ParseTime(resp.Header.Get("Date")); perr == nil {
			d.seen(date)
		}
	}
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (d *datedTransport) CloseIdleConnections() { closeIdle(d.next) }

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
