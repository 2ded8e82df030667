package account

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// What people may cause to be written without having proved lately who they are is bounded, in each minute, for a person
// and for an address: whoever is signed in could else fill the store, and the audit log first. It is counted in memory,
// as a count in the store would be a write as well.
const (
	limitWindow = time.Minute
	// maxOwnActions are acts on one's own account, and copies that an administrator takes.
	maxOwnActions = 60
	// maxAuditedRefusals are refused acts that the audit log tells one by one; of more it tells how many there were.
	maxAuditedRefusals = 30
	// maxRefusals are refused acts that are answered as what they are; more are 429.
	maxRefusals = 120
	// addressFactor is how many people's worth an address has.
	addressFactor = 5
	// maxCounters is how many people and addresses are counted at the same time.
	maxCounters = 10_000

	// exportRows of one list in exportPeriod are a copy of it, which the audit log tells once.
	exportRows   = 500
	exportPeriod = 10 * time.Minute
)

// rateLimits counts in periods. The zero value is ready.
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
	unaudited int // of these, how many the audit log was not told of
	audited   bool
}

// counter returns the count under a key, of the period at now. Called with the lock held. What is over goes when there is much.
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
		if len(b.counts) >= maxCounters { // nobody of them is counted better than this one
			clear(b.counts)
		}
		c = &counter{end: now.Add(long)}
		b.counts[key] = c
	}
	return c
}

// limitKeys are under which an actor is counted, and how many times over each.
func (a Actor) limitKeys() map[string]int {
	keys := map[string]int{"person " + a.UserID: 1}
	if key := login.ClientKey(a.Client.IP); key != "" {
		keys["address "+key] = addressFactor
	}
	return keys
}

// limitWrite counts an act of a person that needs no proof. It returns a *[login.ThrottledError] when there were too many.
func (s *Service) limitWrite(a Actor) error {
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

// countRefusal counts a refused act. tell reports whether the audit log is to be told of it alone; wait is positive when it is
// one too many. later is true for the first one that it is not told of.
func (s *Service) countRefusal(a Actor) (audit, first bool, wait time.Duration) {
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
	c := s.rateLimits.counter("more "+a.UserID, now, 10*limitWindow) // until it is told
	c.unaudited++
	return false, c.unaudited == 1, wait
}

// auditUnaudited writes how many refused acts of a person the audit log was not told of one by one. It runs when their minute is
// over, in real time: that clocks are set changes nothing about when somebody looks.
func (s *Service) auditUnaudited(a Actor, e store.Event) {
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

// NoteRead audits that the actor reads so much of a list that it is a copy: once for each list in a while, however many
// pages there are. rows is how many the answer may have; details say what was selected. Until the audit log has been told,
// every further page is refused as the first one was.
func (s *Service) NoteRead(ctx context.Context, a Actor, action string, rows int, details map[string]string) error {
	now := s.now()
	s.rateLimits.mu.Lock()
	c := s.rateLimits.counter("read "+action+" "+a.UserID, now, exportPeriod)
	c.n += rows
	audit := c.n >= exportRows && !c.audited
	s.rateLimits.mu.Unlock()
	if !audit {
		return nil
	}
	if err := s.NoteExport(ctx, a, action, details); err != nil {
		return err
	}
	s.rateLimits.mu.Lock()
	c.audited = true
	s.rateLimits.mu.Unlock()
	return nil
}
