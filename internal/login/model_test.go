package login_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

var (
	modelSteps = flag.Int("model.steps", 1500, "random steps of the model of sign-ins")
	modelSeed  = flag.Uint64("model.seed", 0, "0: another one each time")
)

// A model of sign-ins with second factors, which knows nothing of how they are stored: what every way in leads to, in
// every state of factors and policy, while these change, on two services with one store.
func TestRandomSignInsDoWhatTheModelSays(t *testing.T) {
	t.Parallel()
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	m := newModel(t, seed)
	outcomes := []string{"in", "over", "wrong", "exists", "offer", "enroll", "verify", "session"}
	missing := func(what string) bool { return m.seen[what] == 0 }
	// Rare outcomes may take more steps than were asked for.
	for i := 0; i < *modelSteps || i < 20**modelSteps && slices.ContainsFunc(outcomes, missing); i++ {
		m.step()
		if i%20 == 0 {
			m.checkSessions()
		}
		if t.Failed() {
			t.Fatalf("after %d steps of seed %d: %s", i, seed, m.did)
		}
	}
	m.checkSessions()
	for _, what := range outcomes {
		if missing(what) {
			t.Errorf("%d steps came to %q not once", 20**modelSteps, what)
		}
	}
}

type model struct {
	*world
	r        *rand.Rand
	services []*login.Service
	people   []*modelPerson
	mode     login.MFAMode
	did      string
	seen     map[string]int
}

type modelPerson struct {
	id       string
	name     string
	epoch    int
	password int // number of changes
	active   bool
	due      time.Time
	apps     []*modelApp
	codes    map[string]bool // used
	failures int
	halves   []*modelHalf
	sessions []*modelSession
}

type modelApp struct {
	id     string
	secret []byte
	last   int64
}

type modelHalf struct {
	token           string
	purpose         store.HalfLoginPurpose
	epoch, password int
	at              time.Time
	methods         []string
	gone            bool
}

type modelSession struct {
	token   string
	epoch   int
	methods []string
}

const modelProvider = "https://idp.example.com"

func newModel(t *testing.T, seed uint64) *model {
	place := testenv.NewPlace(t)
	a, b := worldOn(t, place), worldOn(t, place)
	b.Service.Clock, b.Service.Throttle = a.clock.Now, login.NewThrottle(b.Store, a.clock.Now)
	m := &model{
		world: a, r: rand.New(rand.NewPCG(seed, 1)), services: []*login.Service{a.Service, b.Service},
		seen: make(map[string]int),
	}
	for _, s := range m.services {
		s.Limits = login.Limits{FreeAttempts: 1 << 20, MaxWait: time.Second}
		s.Lifetime = session.Limits{Idle: 1e6 * time.Hour, Absolute: 1e6 * time.Hour, Remember: time.Hour}
	}
	for _, name := range []string{"mia", "noa"} {
		u := a.add(name, "")
		a.change(func(tx store.Tx) error {
			return tx.CreateIdentity(t.Context(), store.Identity{
				Issuer: modelProvider, Subject: name, UserID: u.ID, Provider: "idp", CreatedAt: a.clock.Now(),
			})
		})
		m.people = append(m.people, &modelPerson{id: u.ID, name: name, active: true, codes: make(map[string]bool)})
	}
	return m
}

func (m *model) service() *login.Service { return m.services[m.r.IntN(len(m.services))] }

// expect notes an outcome, and fails if it is another one.
func (m *model) expect(got, want string) {
	m.t.Helper()
	m.seen[got]++
	if got != want {
		m.t.Errorf("%s: %s, the model says %s", m.did, got, want)
	}
}

func (m *model) step() {
	p := m.people[m.r.IntN(len(m.people))]
	switch n := m.r.IntN(100); {
	case n < 35:
		m.begin(p)
	case n < 60:
		m.second(p)
	case n < 72:
		m.enroll(p)
	case n < 78:
		m.stepUp(p)
	case n < 90:
		m.clock.Advance(time.Duration(m.r.IntN(90)) * time.Second)
	default:
		m.alter(p)
	}
}

// next is what the contract says of a first step that proved methods.
func (m *model) next(p *modelPerson, methods []string) store.HalfLoginPurpose {
	switch {
	case m.mode == login.MFAOff, slices.Contains(methods, "vouched"):
		return ""
	case len(p.apps) > 0:
		return store.HalfLoginVerify
	case m.mode != login.MFARequired:
		return ""
	}
	if p.due.IsZero() {
		p.due = m.clock.Now().Add(modelGrace)
	}
	if m.clock.Now().Before(p.due) {
		return store.HalfLoginOffer
	}
	return store.HalfLoginEnroll
}

const modelGrace = 5 * time.Minute

func (m *model) begin(p *modelPerson) {
	via, methods := login.SignInOptions{Method: login.MethodLocal}, []string{"pwd"}
	switch m.r.IntN(4) {
	case 0:
		via = login.SignInOptions{Method: login.MethodOIDC, Provider: "idp", Issuer: modelProvider, Subject: p.name, AuthAt: m.clock.Now()}
		methods = []string{"ext"}
		if m.r.IntN(3) == 0 {
			via.Methods, methods = assurance.Of(assurance.External).Vouched(false), []string{"ext", "vouched"}
		}
	case 1: // with a link: the person has signed in before, or has begun
		via.Method = login.MethodLink
	}
	m.did = fmt.Sprintf("%s signs in by %s", p.name, via.Method)
	m.clock.Advance(time.Millisecond) // the oldest half-login is known by its time
	u, err := m.Store.User(context.Background(), p.id)
	if err != nil {
		m.t.Fatal(err)
	}
	if via.Method == login.MethodLink && u.LastLoginAt.IsZero() {
		return // an invitation: a table of its own
	}
	in, err := m.service().SignIn(context.Background(), from("192.0.2.1"), login.Proof{User: u}, via)
	if !p.active {
		m.expect(m.outcome(err), "inactive")
		return
	}
	if err != nil {
		m.t.Fatal(m.did, err)
	}
	want := m.next(p, methods)
	if in.Step == nil {
		m.expect("session", map[bool]string{true: "session", false: string(want)}[want == ""])
		p.sessions = append(p.sessions, &modelSession{in.Token, p.epoch, methods})
		return
	}
	m.expect(string(in.Step.Purpose), string(want))
	p.halves = append(p.halves, &modelHalf{
		token: in.Step.Token, purpose: want, epoch: p.epoch, password: p.password, at: m.clock.Now(), methods: methods,
	})
	open := slices.DeleteFunc(slices.Clone(p.halves), func(h *modelHalf) bool { return h.gone })
	for len(open) > store.MaxHalfLogins {
		open[0].gone, open = true, open[1:]
	}
}

// half returns one of the last sign-ins that a person has begun, and whether it can still go on.
func (m *model) half(p *modelPerson) (h *modelHalf, alive bool) {
	if len(p.halves) == 0 {
		return nil, false
	}
	if len(p.halves) > 20 {
		p.halves = slices.DeleteFunc(p.halves, func(h *modelHalf) bool { return h.gone })
	}
	if len(p.halves) == 0 {
		return nil, false
	}
	h = p.halves[m.r.IntN(len(p.halves))]
	life := 15 * time.Minute
	if h.purpose == store.HalfLoginVerify {
		life = 5 * time.Minute
	}
	return h, !h.gone && h.epoch == p.epoch && h.password == p.password && m.clock.Now().Before(h.at.Add(life))
}

func (m *model) enter(p *modelPerson, h *modelHalf, token string, methods ...string) {
	h.gone = true
	p.sessions = append(p.sessions, &modelSession{token, p.epoch, slices.Concat(h.methods, methods)})
}

// pickCode returns a code for a person, and whether it is right: of one of the apps, of somebody else's, or of none.
func (m *model) pickCode(p *modelPerson) (code string, use func(), right bool) {
	owner := p
	if m.r.IntN(6) == 0 {
		owner = m.people[m.r.IntN(len(m.people))]
	}
	if len(owner.apps) == 0 || m.r.IntN(6) == 0 {
		return "no code", nil, false
	}
	app := owner.apps[m.r.IntN(len(owner.apps))]
	step := totp.Step(m.clock.Now()) + int64(m.r.IntN(5)) - 2
	code = totp.Code(app.secret, step)
	for _, other := range p.apps { // six digits of two apps may be alike
		if s, ok := totp.Match(other.secret, code, m.clock.Now()); ok && s > other.last {
			return code, func() { other.last = s }, true
		}
	}
	return code, func() { p.failures++ }, false
}

func (m *model) second(p *modelPerson) {
	h, alive := m.half(p)
	if h == nil {
		return
	}
	alive = alive && h.purpose == store.HalfLoginVerify
	if m.r.IntN(5) == 0 && len(p.codes) > 0 {
		m.recoveryCode(p, h, alive)
		return
	}
	code, use, right := m.pickCode(p)
	m.did = fmt.Sprintf("%s enters a code, right: %v", p.name, right)
	in, err := m.service().VerifyCode(context.Background(), from("192.0.2.1"), h.token, code)
	got := m.outcome(err)
	switch {
	case !alive:
		m.expect(got, "over")
	case use != nil && p.failures >= store.MaxMFAFailures:
		m.expect(got, "locked")
	case right:
		m.expect(got, "in")
		use()
		p.failures = 0
		m.enter(p, h, in.Token, "otp")
	default:
		m.expect(got, "wrong")
		if use != nil {
			use()
		}
	}
}

func (m *model) recoveryCode(p *modelPerson, h *modelHalf, alive bool) {
	all := make([]string, 0, len(p.codes))
	for code := range p.codes {
		all = append(all, code)
	}
	slices.Sort(all)
	code := all[m.r.IntN(len(all))]
	m.did = fmt.Sprintf("%s enters a recovery code, used: %v", p.name, p.codes[code])
	in, err := m.service().VerifyRecoveryCode(context.Background(), from("192.0.2.1"), h.token, code)
	got := m.outcome(err)
	switch {
	case !alive:
		m.expect(got, "over")
	case p.codes[code]:
		m.expect(got, "wrong")
	default:
		m.expect(got, "in")
		p.codes[code], p.failures = true, 0
		m.enter(p, h, in.Token, "rc")
	}
}

func (m *model) enroll(p *modelPerson) {
	h, alive := m.half(p)
	if h == nil {
		return
	}
	m.did = p.name + " adds an app at a sign-in"
	if m.r.IntN(3) == 0 {
		m.did = p.name + " puts an app off"
		in, err := m.service().SkipEnrollment(context.Background(), from("192.0.2.1"), h.token)
		switch got := m.outcome(err); {
		case !alive, h.purpose == store.HalfLoginVerify:
			m.expect(got, "over")
		case len(p.apps) > 0:
			m.expect(got, "exists")
		case h.purpose == store.HalfLoginEnroll:
			m.expect(got, "over")
		default:
			m.expect(got, "in")
			m.enter(p, h, in.Token)
		}
		return
	}
	app, secret, err := m.service().BeginEnrollment(context.Background(), h.token)
	got := m.outcome(err)
	switch {
	case !alive, h.purpose == store.HalfLoginVerify:
		m.expect(got, "over")
		return
	case len(p.apps) > 0:
		m.expect(got, "exists")
		return
	}
	m.expect(got, "in")
	step := totp.Step(m.clock.Now())
	in, err := m.service().ConfirmEnrollment(context.Background(), from("192.0.2.1"), h.token, app.ID, totp.Code(secret, step), "app")
	m.expect(m.outcome(err), "in")
	m.added(p, app.ID, secret, step, in.Codes)
	m.enter(p, h, in.Token, "otp")
}

func (m *model) added(p *modelPerson, id string, secret []byte, step int64, codes []string) {
	p.apps, p.failures = append(p.apps, &modelApp{id, secret, step}), 0
	if len(codes) > 0 {
		p.codes = make(map[string]bool)
	}
	for _, code := range codes {
		p.codes[code] = false
	}
}
