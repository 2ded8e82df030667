package account

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Writes that a user can cause without a step-up are limited, per minute, for a user and for an address: otherwise any
// signed-in user could fill the store, above all the audit log. They are counted in memory: a count in the store would
// be a write as well.
const (
	limitWindow = time.Minute
	// maxOwnActions limits actions on one's own account, and exports by an administrator.
	maxOwnActions = 60
	// maxAuditedRefusals limits refusals that are audited one by one; of further ones only the number is audited.
	maxAuditedRefusals = 30
	// maxRefusals limits refusals that get their own response; further ones get a 429.
	maxRefusals = 120
	// addressFactor multiplies the limits for an address.
	addressFactor = 5
	// maxCounters limits how many users and addresses are counted at once.
	maxCounters = 10_000

	// exportRows of one list read in exportPeriod count as an export, which is audited once.
	exportRows   = 500
	exportPeriod = 10 * time.Minute
)

// rateLimits counts events per key and period. The zero value is ready to use.
type rateLimits struct {
	mu        sync.Mutex
	counts    map[string]*counter
	afterFunc func(time.Duration, func()) // time.AfterFunc, but in tests
}

// after runs fn when d is over.
func (b *rateLimits) after(d time.Duration, fn func()) {
	if b.afterFunc != nil {
		b.afterFunc(d, fn)
		return
	}
	time.AfterFunc(d, fn)
}

// counter is the count of one key in a period.
type counter struct {
	end       time.Time
	n         int
	unaudited int // those that were not audited
	audited   bool
}

// counter returns the counter of a key for the period at now. The lock is held. Expired counters are deleted if there
// are too many.
func (b *rateLimits) counter(key string, now time.Time, long time.Duration) *counter {
	if b.counts == nil {
		b.counts = make(map[string]*counter)
	}
	c := b.counts[key]
	if c == nil || !now.Before(c.end) || c.end.Sub(now) > long {
		if len(b.counts) >= maxCounters {
			for k, old := range b.counts {
				if !now.Before(old.end) {
					delete(b.counts, k)
				}
			}
		}
		if len(b.counts) >= maxCounters { // all are current: start over
			clear(b.counts)
		}
		c = &counter{end: now.Add(long)}
		b.counts[key] = c
	}
	return c
}

// limitKeys returns the keys under which an actor is counted, with the factor of each limit.
func (a Actor) limitKeys() map[string]int {
	keys := map[string]int{"person " + a.UserID: 1}
	if key := login.ClientKey(a.Client.IP); key != "" {
		keys["address "+key] = addressFactor
	}
	return keys
}

// limitWrite counts an action of a user that needs no step-up. It returns a *[login.ThrottledError] beyond the limit.
func (s *core) limitWrite(a Actor) error {
	if a.Kind != Person {
		return nil
	}
	now := s.now()
	s.rateLimits.mu.Lock()
	defer s.rateLimits.mu.Unlock()
	for key, times := range a.limitKeys() {
		if c := s.rateLimits.counter("act "+key, now, limitWindow); c.n >= maxOwnActions*times {
			return &login.ThrottledError{Wait: c.end.Sub(now)}
		}
	}
	for key := range a.limitKeys() {
		s.rateLimits.counter("act "+key, now, limitWindow).n++
	}
	return nil
}

// countRefusal counts a refused action. audit reports whether to audit it by itself; first is true for the first one
// that is not; wait is positive beyond maxRefusals.
func (s *core) countRefusal(a Actor) (audit, first bool, wait time.Duration) {
	if a.Kind != Person {
		return true, false, 0
	}
	now := s.now()
	s.rateLimits.mu.Lock()
	defer s.rateLimits.mu.Unlock()
	audit = true
	for key, times := range a.limitKeys() {
		c := s.rateLimits.counter("refused "+key, now, limitWindow)
		c.n++
		if c.n > maxAuditedRefusals*times {
			audit = false
		}
		if c.n > maxRefusals*times {
			wait = max(wait, c.end.Sub(now))
		}
	}
	if audit {
		return true, false, 0
	}
	c := s.rateLimits.counter("more "+a.UserID, now, 10*limitWindow) // until it is audited
	c.unaudited++
	return false, c.unaudited == 1, wait
}

// auditUnaudited audits the number of a user's refusals that were not audited one by one. It runs at the end of their
// minute, in real time and not by the injected clock.
func (s *core) auditUnaudited(a Actor, e store.Event) {
	s.rateLimits.mu.Lock()
	key, unaudited := "more "+a.UserID, 0
	if c := s.rateLimits.counts[key]; c != nil {
		unaudited = c.unaudited
		delete(s.rateLimits.counts, key)
	}
	s.rateLimits.mu.Unlock()
	if unaudited == 0 {
		return
	}
	e.TargetID, e.Target = "", ""
	e.Details = map[string]string{"reason": "more refused acts of this person", "refused": strconv.Itoa(unaudited)}
	s.addEvent(context.Background(), a, e)
}

// AuditListRead audits, as an export, that the actor reads a large part of a list: once per list and period, for any
// number of pages. rows is the maximum number of rows of the response; details say what was selected. If the event
// cannot be written, this page is refused, and so is every further one until it can.
func (s *Service) AuditListRead(
	ctx context.Context, a Actor, action string, rows int, details map[string]string,
) error {
	now := s.now()
	s.rateLimits.mu.Lock()
	c := s.rateLimits.counter("read "+action+" "+a.UserID, now, exportPeriod)
	c.n += rows
	audit := c.n >= exportRows && !c.audited
	s.rateLimits.mu.Unlock()
	if !audit {
		return nil
	}
	if err := s.AuditExport(ctx, a, action, details); err != nil {
		return err
	}
	s.rateLimits.mu.Lock()
	c.audited = true
	s.rateLimits.mu.Unlock()
	return nil
}
