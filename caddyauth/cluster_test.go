package caddyauth_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// engine is a store that several processes share.
type engine struct {
	name string
	line string // in the Caddyfile
	open func(t testing.TB) store.Store
}

// engines returns a fresh shared store of each kind.
func engines(t *testing.T) []engine {
	t.Helper()
	path, dsn := filepath.Join(t.TempDir(), "gatehouse.db"), testenv.PostgresDSN(t)
	return []engine{
		{"sqlite", "store sqlite " + path, func(t testing.TB) store.Store { return testenv.OpenSQLite(t, path) }},
		{"postgres", fmt.Sprintf("store postgres %q", dsn), func(t testing.TB) store.Store { return testenv.OpenPostgres(t, dsn) }},
	}
}

// at returns the same browser, talking to another node: cookies do not know ports.
func (b *browser) at(n *node) *browser { return &browser{b.t, n.caddyServer, b.http} }

// withinASecond waits for ok with a margin for loaded machines, and says how long it took.
func withinASecond(t *testing.T, what string, ok func() bool) {
	t.Helper()
	begin := time.Now()
	eventually(t, what, ok)
	t.Logf("%s: %v", what, time.Since(begin).Round(time.Millisecond))
}

func TestSeveralCaddysAreOneGate(t *testing.T) {
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			up, stream := newUpstream(t), streamUpstream(t)
			// Both start at once on an empty store: one administrator is made.
			one, two := launch(t, e, up, ""), launch(t, e, up, "")
			one.wait()
			two.wait()
			st := e.open(t)
			admins, err := st.ActiveAdmins(t.Context(), 10)
			if err != nil || len(admins) != 1 {
				t.Fatalf("%d administrators, %v", len(admins), err)
			}
			three := launch(t, e, &upstream{Server: stream}, "").wait()

			b := one.browser()
			b.signIn(adminName, adminPass)
			if !b.at(two).reaches("/") || !b.at(two).reaches("/admins/") {
				t.Fatal("a session of one Caddy is unknown to the other")
			}
			ended := openStream(t, three.caddyServer, b.cookie(), false)
			copied := two.browser()
			copied.setCookie(b.cookie())
			b.post("/_auth/logout")
			if copied.at(one).reaches("/") {
				t.Error("the Caddy that signed out lets the session through")
			}
			withinASecond(t, "the sign-out to arrive at the other Caddy", func() bool { return !copied.reaches("/") })
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("the stream at the third Caddy goes on")
			}

			// Deactivation and role changes at one act at the other.
			root := one.browser()
			root.signIn(adminName, adminPass)
			made := root.api("POST", "users", fields{"username": "ada", "password": otherPass, "role": "admin"})
			id, _ := made.json(t)["id"].(string)
			ada := two.browser()
			ada.signIn("ada", otherPass)
			if !ada.reaches("/admins/") {
				t.Fatalf("ada is no administrator: %s", made.body)
			}
			root.api("PATCH", "users/"+id, fields{"role": "user"})
			withinASecond(t, "a role change to arrive", func() bool { return !ada.reaches("/admins/") })
			if !ada.reaches("/") {
				t.Error("a role change ended the session")
			}
			root.api("PATCH", "users/"+id, fields{"active": false})
			withinASecond(t, "a deactivation to arrive", func() bool { return !ada.reaches("/") })

			// Wrong passwords count together.
			for i := range 5 {
				n := []*node{one, two}[i%2]
				if a := n.browser().post("/_auth/login", "username", "admin", "password", "wrong password here"); a.StatusCode != 401 {
					t.Fatalf("attempt %d: %d", i, a.StatusCode)
				}
			}
			for _, n := range []*node{one, two} {
				if a := n.browser().post("/_auth/login", "username", "admin", "password", "wrong password here"); a.StatusCode != 429 {
					t.Errorf("the sixth attempt: %d", a.StatusCode)
				}
			}
		})
	}
}

// What was acknowledged survives kill -9, and what was ended stays ended.
func TestKill9LosesNothingAcknowledged(t *testing.T) {
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			up := newUpstream(t)
			var live, over []*browser
			for round := range 3 {
				n := launch(t, e, up, "").wait()
				for i, b := range live {
					if b = b.at(n); !b.reaches("/") {
						t.Fatalf("round %d: session %d was lost", round, i)
					}
				}
				for i, b := range over {
					if b.at(n).reaches("/") {
						t.Fatalf("round %d: ended session %d lives", round, i)
					}
				}
				b, gone := n.browser(), n.browser()
				b.signIn(adminName, adminPass)
				gone.signIn(adminName, adminPass)
				token := gone.cookie()
				gone.post("/_auth/logout")
				gone = n.browser()
				gone.setCookie(token)
				live, over = append(live, b), append(over, gone)
				n.kill()
			}
		})
	}
}

// setCookie puts a copied session token into the jar.
func (b *browser) setCookie(token string) {
	r := b.request("GET", "/", nil)
	b.http.Jar.SetCookies(r.URL, []*http.Cookie{{Name: "gatehouse", Value: token, Path: "/"}})
}

// modelUser is what the reference model knows of a person.
type modelUser struct {
	id, name      string
	active, admin bool
	sessions      map[*browser]bool   // live ones
	changed       map[*node]time.Time // last change by each Caddy
}

// A model test: random sign-ins, sign-outs, deactivations, role changes, endings and restarts over two Caddys. No
// request ever passes that the model denies, once a second has passed; at the Caddy that made the change,
// at once.
func TestNoRequestPassesThatTheModelDenies(t *testing.T) {
	const steps = 60
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			m := newModel(t, e, rand.New(rand.NewPCG(seed, 1)))
			for range steps {
				m.step()
			}
			m.waitAndCompare()
		})
	}
}

type model struct {
	t     *testing.T
	e     engine
	rnd   *rand.Rand
	up    *upstream
	nodes []*node
	root  *browser
	users []*modelUser
}

func newModel(t *testing.T, e engine, rnd *rand.Rand) *model {
	m := &model{t: t, e: e, rnd: rnd, up: newUpstream(t)}
	for range 2 {
		m.nodes = append(m.nodes, launch(t, e, m.up, "").wait())
	}
	m.root = m.nodes[0].browser()
	m.root.signIn(adminName, adminPass)
	for i := range 3 {
		u := &modelUser{name: fmt.Sprintf("user%d", i), active: true, sessions: make(map[*browser]bool), changed: make(map[*node]time.Time)}
		a := m.root.api("POST", "users", fields{"username": u.name, "password": otherPass})
		if a.StatusCode != 201 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		u.id, _ = a.json(t)["id"].(string)
		m.users = append(m.users, u)
	}
	return m
}

// step does one random thing at a random node and checks at once what that node responds.
func (m *model) step() {
	m.t.Helper()
	n, u := m.nodes[m.rnd.IntN(2)], m.users[m.rnd.IntN(len(m.users))]
	root := m.root.at(n)
	patch := func(f fields) {
		if a := root.api("PATCH", "users/"+u.id, f); a.StatusCode != 200 {
			m.t.Fatalf("PATCH %v: %d %s", f, a.StatusCode, a.body)
		}
	}
	switch m.rnd.IntN(8) {
	case 0, 1, 2:
		b := n.browser()
		a := b.post("/_auth/login", "username", u.name, "password", otherPass)
		if (a.StatusCode == 303) != u.active {
			m.t.Fatalf("sign-in of %s with active=%v: %d", u.name, u.active, a.StatusCode)
		}
		if u.active {
			u.sessions[b] = true
		}
	case 3:
		for b := range u.sessions {
			token := b.cookie()
			b.at(n).post("/_auth/logout")
			b.setCookie(token)
			u.sessions[b] = false
			break
		}
	case 4:
		u.active = !u.active
		patch(fields{"active": u.active})
		if !u.active {
			u.end()
		}
	case 5:
		u.admin = !u.admin
		patch(fields{"role": map[bool]string{true: "admin", false: "user"}[u.admin]})
	case 6:
		if a := root.api("POST", "users/"+u.id+"/end-sessions", nil); a.StatusCode/100 != 2 {
			m.t.Fatalf("ending sessions: %d %s", a.StatusCode, a.body)
		}
		u.end()
	case 7:
		m.restart(m.rnd.IntN(2))
		m.check(u, n)
		return
	}
	u.changed[n] = time.Now()
	m.check(u, n) // the Caddy that made the change: at once
}

func (u *modelUser) end() {
	for b := range u.sessions {
		u.sessions[b] = false
	}
}

// restart replaces a node, by the power button half of the time.
func (m *model) restart(i int) {
	if m.rnd.IntN(2) == 0 {
		m.nodes[i].kill()
	} else {
		m.nodes[i].stop()
	}
	m.nodes[i] = launch(m.t, m.e, m.up, "").wait()
}

// check asks a node about every session of a user.
func (m *model) check(u *modelUser, n *node) {
	m.t.Helper()
	if n != m.nodes[0] && n != m.nodes[1] {
		return // restarted meanwhile
	}
	for b, live := range u.sessions {
		m.agree(u, n, b, "/", live)
		m.agree(u, n, b, "/admins/", live && u.admin)
	}
}

// agree checks that a node responds as the model expects: what it changed itself at once, what another one changed
// within a second.
func (m *model) agree(u *modelUser, n *node, b *browser, path string, want bool) {
	m.t.Helper()
	var elsewhere time.Time
	for by, at := range u.changed {
		if by != n && at.After(elsewhere) {
			elsewhere = at
		}
	}
	for ; ; time.Sleep(10 * time.Millisecond) {
		asked := time.Now()
		got := b.at(n).reaches(path)
		if got == want {
			return
		}
		if asked.Sub(elsewhere) > time.Second {
			m.t.Fatalf("%s: let through to %s=%v, the model says %v", u.name, path, got, want)
		}
	}
}

// waitAndCompare waits a second and compares everything everywhere.
func (m *model) waitAndCompare() {
	m.t.Helper()
	time.Sleep(time.Second) // waits: the bound that is promised; afterwards nothing may lag
	for _, u := range m.users {
		for _, n := range m.nodes {
			m.check(u, n)
		}
	}
}

// Interrupting the connection to PostgreSQL closes the gate in bounded time and heals without a restart.
func TestTheGateClosesAndRecoversWithPostgreSQL(t *testing.T) {
	proxy, dsn := testenv.PostgresProxy(t)
	up := newUpstream(t)
	e := engine{line: fmt.Sprintf("store postgres %q", dsn)}
	n := launch(t, e, up, "").wait()
	b := n.browser()
	b.signIn(adminName, adminPass)
	for name, outage := range map[string]func(){"cut": proxy.Cut, "hanging": proxy.Hang} {
		outage()
		withinASecond(t, "the gate to close when PostgreSQL is "+name, func() bool {
			begin := time.Now()
			a := b.fetch("/")
			if took := time.Since(begin); took > 6*time.Second { // three by design
				t.Errorf("an answer took %v", took)
			}
			return a.StatusCode == 503 && a.Header.Get("Retry-After") != ""
		})
		if n.browser().fetch("/").StatusCode == 200 {
			t.Error("the gate is open")
		}
		proxy.Heal()
		eventuallyFor(t, 30*time.Second, "the gate to heal", func() bool { return b.reaches("/") })
	}
}

func eventuallyFor(t *testing.T, bound time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
