package caddyauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rollingSession is a session in the model of the rolling test.
type rollingSession struct {
	user, token string

	mu     sync.Mutex
	ending time.Time // when somebody began to end it; zero while it lives
	ended  time.Time // when that was acknowledged
}

func (s *rollingSession) times() (ending, ended time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending, s.ended
}

// fleet is several Caddys on one store, which are asked in turn while some of them are away.
type fleet struct {
	t        *testing.T
	nodes    []*node
	stopping []atomic.Bool  // asked to stop, or not there
	resets   []atomic.Int64 // until when its kernel may reset connections that nobody accepted
	turn     atomic.Uint64
	answers  atomic.Int64
	moved    atomic.Int64 // requests that another Caddy had to serve

	mu       sync.Mutex
	sessions []*rollingSession
}

// atLatest is how long after its end a session may still be valid elsewhere.
const atLatest = time.Second

// Restarting the Caddys of a store one after the other, and reloading each, while people sign in, work and sign out:
// every response is right. Only a connection that a stopping Caddy refused, or never accepted, is tried elsewhere.
func TestARollingRestartGivesNoWrongResponse(t *testing.T) {
	for _, e := range engines(t) {
		if e.name != "postgres" {
			continue
		}
		f := &fleet{t: t, stopping: make([]atomic.Bool, 3), resets: make([]atomic.Int64, 3)}
		up := newUpstream(t)
		for range 3 {
			f.nodes = append(f.nodes, launch(t, e, up, ""))
		}
		for _, n := range f.nodes {
			n.wait()
		}
		root := f.nodes[0].browser()
		root.signIn(adminName, adminPass)
		for i := range 4 {
			if a := root.api("POST", "users", fields{"username": fmt.Sprintf("user%d", i), "password": otherPass}); a.StatusCode != 201 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			f.signIn(i)
		}
		done := make(chan struct{})
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() { f.load(done) })
		}
		work.Go(func() { f.signInAndOut(done) })
		for i := range f.nodes {
			f.restart(i)
			f.settled(200)
		}
		for i := range f.nodes {
			f.disturb(i, func() { f.nodes[i].reload() })
			f.settled(100)
		}
		close(done)
		work.Wait()
		time.Sleep(atLatest) // waits: the bound that is promised; afterwards nothing may lag
		for _, s := range f.sessions {
			for i := range f.nodes {
				f.check(s, i)
			}
		}
		t.Logf("%d answers, %d moved to another Caddy, %d sessions", f.answers.Load(), f.moved.Load(), len(f.sessions))
		if f.moved.Load() == 0 {
			t.Error("no request met a Caddy that was away: nothing was tested")
		}
	}
}

// restart replaces a Caddy: the old one gets SIGTERM, the new one has its address.
func (f *fleet) restart(i int) {
	f.t.Helper()
	f.disturb(i, func() {
		f.nodes[i].terminate()
		n := f.nodes[i].again().wait()
		f.mu.Lock()
		f.nodes[i] = n
		f.mu.Unlock()
	})
}

// disturb does what makes a Caddy close a socket.
func (f *fleet) disturb(i int, do func()) {
	f.resets[i].Store(math.MaxInt64)
	f.stopping[i].Store(true)
	do()
	f.stopping[i].Store(false)
	f.resets[i].Store(time.Now().Add(5 * time.Second).UnixNano())
}

func (f *fleet) node(i int) *node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[i]
}

// settled waits for a number of responses with all Caddys running.
func (f *fleet) settled(n int64) {
	f.t.Helper()
	until := f.answers.Load() + n
	eventuallyFor(f.t, time.Minute, "answers", func() bool { return f.t.Failed() || f.answers.Load() >= until })
}

// load asks for random sessions at one Caddy after the other.
func (f *fleet) load(done chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		f.mu.Lock()
		s := f.sessions[rand.IntN(len(f.sessions))]
		f.mu.Unlock()
		f.check(s, int(f.turn.Add(1)%uint64(len(f.nodes))))
	}
}

// check sends a request to a Caddy, and the next one where none runs, and checks the response.
func (f *fleet) check(s *rollingSession, i int) {
	began := time.Now()
	res, err := f.ask(s, i)
	for ; err != nil && f.away(i, err); res, err = f.ask(s, i) {
		i = (i + 1) % len(f.nodes)
		f.moved.Add(1)
	}
	if err != nil {
		f.t.Errorf("Caddy %d: %v", i, err)
		return
	}
	defer res.Body.Close()
	var got seen
	if body, err := io.ReadAll(res.Body); err != nil {
		f.t.Errorf("Caddy %d: reading: %v", i, err)
	} else if res.StatusCode == 200 {
		if err := json.Unmarshal(body, &got); err != nil {
			f.t.Errorf("Caddy %d: %v", i, err)
		}
	}
	f.answers.Add(1)
	ending, ended := s.times()
	user := got.Header.Get("Remote-User")
	switch {
	case res.StatusCode == 200 && user != s.user:
		f.t.Errorf("Caddy %d: %s was let through as %q", i, s.user, user)
	case ending.IsZero() && res.StatusCode != 200:
		f.t.Errorf("Caddy %d: a live session is answered %d", i, res.StatusCode)
	case !ended.IsZero() && began.Sub(ended) > atLatest && res.StatusCode != 401:
		f.t.Errorf("Caddy %d: %v after its end a session is answered %d", i, began.Sub(ended), res.StatusCode)
	case res.StatusCode != 200 && res.StatusCode != 401:
		f.t.Errorf("Caddy %d: answered %d", i, res.StatusCode)
	}
}

var rolling = &http.Client{
	Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (f *fleet) ask(s *rollingSession, i int) (*http.Response, error) {
	r, err := http.NewRequest("GET", "http://"+f.node(i).addr+"/x", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.AddCookie(&http.Cookie{Name: "gatehouse", Value: s.token})
	return rolling.Do(r)
}

// away reports whether err means that no server was running: the connection was refused, or it was in the queue of a
// socket that its stopping Caddy closed, when the kernel resets it. Then nothing was asked.
func (f *fleet) away(i int, err error) bool {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return true
	}
	reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
	return reset && time.Now().UnixNano() < f.resets[i].Load()
}

// signInAndOut signs people in and out, at Caddys that are not being restarted, as a balancer would.
func (f *fleet) signInAndOut(done chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-time.After(50 * time.Millisecond): // waits: the pace of people who come and go
		}
		if n%2 == 0 {
			f.signIn(rand.IntN(4))
			continue
		}
		f.mu.Lock()
		s := f.sessions[rand.IntN(len(f.sessions))]
		f.mu.Unlock()
		if ending, _ := s.times(); ending.IsZero() {
			f.signOut(s)
		}
	}
}

// present returns a browser at a Caddy that is there.
func (f *fleet) present() *browser {
	for {
		if i := rand.IntN(len(f.nodes)); !f.stopping[i].Load() {
			return f.node(i).browser()
		}
	}
}

func (f *fleet) signIn(user int) {
	b, s := f.present(), &rollingSession{user: fmt.Sprintf("user%d", user)}
	a, err := b.try(b.form("/_auth/login", "username", s.user, "password", otherPass))
	switch {
	case err != nil:
		return // the Caddy was asked to stop meanwhile: whether it took the form is not known, and nobody has the cookie
	case a.StatusCode != 303:
		f.t.Errorf("signing in: %d %s", a.StatusCode, a.body)
		return
	}
	s.token = b.cookie()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = append(f.sessions, s)
}

func (f *fleet) signOut(s *rollingSession) {
	b := f.present()
	b.setCookie(s.token)
	s.mu.Lock()
	s.ending = time.Now()
	s.mu.Unlock()
	a, err := b.try(b.form("/_auth/logout"))
	switch {
	case err != nil:
		return // not known whether it took place: both outcomes are right from now on
	case a.StatusCode != 303:
		f.t.Errorf("signing out: %d %s", a.StatusCode, a.body)
		return
	}
	s.mu.Lock()
	s.ended = time.Now()
	s.mu.Unlock()
}
