package login_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

func (m *model) stepUp(p *modelPerson) {
	if len(p.sessions) == 0 {
		return
	}
	s := p.sessions[len(p.sessions)-1]
	svc := m.service()
	l, err := m.resolve(s.token)
	if err != nil {
		return
	}
	code, use, right := m.pickCode(p)
	m.did = fmt.Sprintf("%s steps up, right: %v", p.name, right)
	in, err := svc.StepUpCode(context.Background(), from("192.0.2.1"), l, code)
	switch got := m.outcome(err); {
	case use != nil && p.failures >= store.MaxMFAFailures:
		m.expect(got, "locked")
	case right:
		m.expect(got, "in")
		use()
		p.failures = 0
		s.token, s.methods = in.Token, append(s.methods, "otp")
	default:
		m.expect(got, "wrong")
		if use != nil {
			use()
		}
	}
}

// alter changes something between the steps of sign-ins.
func (m *model) alter(p *modelPerson) {
	ctx := context.Background()
	switch m.r.IntN(7) {
	case 0:
		m.did = p.name + " gets another password"
		m.change(func(tx store.Tx) error {
			return tx.SetPassword(ctx, p.id, store.PasswordChange{Hash: fmt.Sprintf("hash %d", p.password+1), At: m.clock.Now()})
		})
		p.password++
		m.dropHalves(p)
	case 1:
		m.did = p.name + "'s sessions end"
		m.change(func(tx store.Tx) error { return tx.BumpEpoch(ctx, p.id) })
		p.epoch++
		m.dropHalves(p)
	case 2:
		m.did = p.name + " is turned off or on"
		m.change(func(tx store.Tx) error {
			u, err := tx.User(ctx, p.id)
			if err != nil {
				return err
			}
			u.Active = !u.Active
			_, err = tx.UpdateUser(ctx, u)
			return err
		})
		if p.active {
			p.epoch++
			m.dropHalves(p)
		}
		p.active = !p.active
	case 3:
		m.removeApps(p)
	case 4, 5:
		m.mode = []login.MFAMode{login.MFAOptional, login.MFAOptional, login.MFAOff, login.MFARequired, login.MFARequired}[m.r.IntN(5)]
		m.did = fmt.Sprint("the mode is ", m.mode)
		for _, s := range m.services {
			s.Second = login.SecondFactors{Mode: m.mode, Grace: modelGrace, GraceSet: true}
		}
	case 6:
		if len(p.apps) == store.MaxTOTPs {
			return
		}
		m.did = p.name + " adds an app"
		step := totp.Step(m.clock.Now())
		u, err := m.Store.User(ctx, p.id)
		if err != nil {
			m.t.Fatal(err)
		}
		secret, codes := m.addApp(u)
		m.added(p, "", secret, step, codes)
	}
}

func (m *model) dropHalves(p *modelPerson) {
	for _, h := range p.halves {
		h.gone = true
	}
}

func (m *model) removeApps(p *modelPerson) {
	m.did = p.name + "'s apps are removed"
	m.change(func(tx store.Tx) error {
		if _, err := tx.DeleteTOTPs(context.Background(), p.id, ""); err != nil {
			return err
		}
		return login.RemoveMethods(context.Background(), tx, p.id, assurance.TOTP)
	})
	p.apps = nil
	for _, s := range p.sessions {
		s.methods = slices.DeleteFunc(s.methods, func(m string) bool { return m == "otp" })
	}
}

// resolve returns the session of a token as the store has it now: caches follow other processes within a second only.
func (m *model) resolve(token string) (*session.Live, error) {
	fresh := session.NewManager(m.Store, session.Options{Clock: m.clock.Now})
	defer fresh.Close()
	return fresh.Resolve(context.Background(), token)
}

// checkSessions compares every session with the model: whether it is there, and at which level.
func (m *model) checkSessions() {
	for _, p := range m.people {
		p.sessions = p.sessions[max(0, len(p.sessions)-10):]
		for _, s := range p.sessions {
			l, err := m.resolve(s.token)
			if alive := p.active && s.epoch == p.epoch; alive != (err == nil) {
				m.t.Errorf("%s: a session of %s is there: %v, the model says %v (%v)", m.did, p.name, err == nil, alive, err)
				continue
			}
			if err != nil {
				continue
			}
			want := assurance.One
			if slices.Contains(s.methods, "vouched") || slices.Contains(s.methods, "otp") || slices.Contains(s.methods, "rc") {
				want = assurance.Two
			}
			if got := assurance.Methods(l.Session.Methods).Level(); got != want {
				m.t.Errorf("%s: a session of %s is at %s, the model says %s (%v)", m.did, p.name, got, want, s.methods)
			}
		}
	}
}
