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
	period = time.Minute
	// ownActs are acts on one's own account, and copies that an administrator takes.
	ownActs = 60
	// refusalsTold are refused acts that the audit log tells one by one; of more it tells how many there were.
	refusalsTold = 30
	// refusalsTaken are refused acts that are answered as what they are; more are 429.
	refusalsTaken = 120
	// perAddress is how many people's worth an address has.
	perAddress = 5
	// boundedMost is how many people and addresses are counted at the same time.
	boundedMost = 10_000

	// exportRows of one list in exportPeriod are a copy of it, which the audit log tells once.
	exportRows   = 500
	exportPeriod = 10 * time.Minute
)

// bounds counts in periods. The zero value is ready.
type bounds struct {
	mu     sync.Mutex
	counts map[string]*bounded
	later  func(time.Duration, func()) // time.AfterFunc, but in tests
}

// after runs fn when d is over.
func (b *bounds) after(d time.Duration, fn func()) {
	if b.later != nil {
		b.later(d, fn)
		return
	}
	time.AfterFunc(d, fn)
}

// bounded is the count of one key in a period.
type bounded struct {
	end  time.Time
	n    int
	more int // of these, how many the audit log was not told of
	told bool
}

// of returns the count under a key, of the period at now. Called with the lock held. What is over goes when there is much.
func (b *bounds) of(key string, now time.Time, long time.Duration) *bounded {
	if b.counts == nil {
		b.counts = make(map[string]*bounded)
	}
	c := b.counts[key]
	if c == nil || !now.Before(c.end) || c.end.Sub(now) > long {
		if len(b.counts) >= boundedMost {
			for k, old := range b.counts {
				if !now.Before(old.end) {
					delete(b.counts, k)
				}
			}
		}
		if len(b.counts) >= boundedMost { // nobody of them is counted better than this one
			clear(b.counts)
		}
		c = &bounded{end: now.Add(long)}
		b.counts[key] = c
	}
	return c
}

// keys are under which an actor is counted, and how many times over each.
func (a Actor) keys() map[string]int {
	keys := map[string]int{"person " + a.UserID: 1}
	if key := login.ClientKey(a.Client.IP); key != "" {
		keys["address "+key] = perAddress
	}
	return keys
}

// mayWrite counts an act of a person that needs no proof. It returns a *[login.ThrottledError] when there were too many.
func (s *Service) mayWrite(a Actor) error {
	if a.Kind != Person {
		return nil
	}
	now := s.now()
	s.bounds.mu.Lock()
	defer s.bounds.mu.Unlock()
	for key, times := range a.keys() {
		if c := s.bounds.of("act "+key, now, period); c.n >= ownActs*times {
			return &login.ThrottledError{Wait: c.end.Sub(now)}
		}
	}
	for key := range a.keys() {
		s.bounds.of("act "+key, now, period).n++
	}
	return nil
}

// refusal counts a refused act. tell reports whether the audit log is to be told of it alone; wait is positive when it is
// one too many. later is true for the first one that it is not told of.
func (s *Service) refusal(a Actor) (tell, later bool, wait time.Duration) {
	if a.Kind != Person {
		return true, false, 0
	}
	now := s.now()
	s.bounds.mu.Lock()
	defer s.bounds.mu.Unlock()
	tell = true
	for key, times := range a.keys() {
		c := s.bounds.of("refused "+key, now, period)
		c.n++
		if c.n > refusalsTold*times {
			tell = false
		}
		if c.n > refusalsTaken*times {
			wait = max(wait, c.end.Sub(now))
		}
	}
	if tell {
		return true, false, 0
	}
	c := s.bounds.of("more "+a.UserID, now, 10*period) // until it is told
	c.more++
	return false, c.more == 1, wait
}

// tellMore writes how many refused acts of a person the audit log was not told of one by one. It runs when their minute is
// over, in real time: that clocks are set changes nothing about when somebody looks.
func (s *Service) tellMore(a Actor, e store.Event) {
	s.bounds.mu.Lock()
	key, more := "more "+a.UserID, 0
	if c := s.bounds.counts[key]; c != nil {
		more = c.more
		delete(s.bounds.counts, key)
	}
	s.bounds.mu.Unlock()
	if more == 0 {
		return
	}
	e.TargetID, e.Target = "", ""
	e.Details = map[string]string{"reason": "more refused acts of this person", "refused": strconv.Itoa(more)}
	s.write(context.Background(), a, e)
}

// NoteRead audits that the actor reads so much of a list that it is a copy: once for each list in a while, however many
// pages there are. rows is how many the answer may have; details say what was selected. Until the audit log has been told,
// every further page is refused as the first one was.
func (s *Service) NoteRead(ctx context.Context, a Actor, action string, rows int, details map[string]string) error {
	now := s.now()
	s.bounds.mu.Lock()
	c := s.bounds.of("read "+action+" "+a.UserID, now, exportPeriod)
	c.n += rows
	tell := c.n >= exportRows && !c.told
	s.bounds.mu.Unlock()
	if !tell {
		return nil
	}
	if err := s.NoteExport(ctx, a, action, details); err != nil {
		return err
	}
	s.bounds.mu.Lock()
	c.told = true
	s.bounds.mu.Unlock()
	return nil
}
