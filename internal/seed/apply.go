package seed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Options of [Apply].
type Options struct {
	Clock func() time.Time // time.Now when nil
	Log   *zap.Logger      // discarded when nil
}

// Result is what a start did.
type Result struct {
	Action string     // one of the Action constants
	Admin  store.User // the administrator that the values mean, without the password's hash; zero when there is none
	// NeedsSetup: there is no active administrator and no password to make one with.
	NeedsSetup bool
	Warnings   []string // logged already
	Ignored    string   // why the password in the environment was not used; "" when it was, or when that is for Later
	// Later, when not nil, compares the password with the administrator's and logs one line when it is ignored. It
	// takes as long as a sign-in, so run it beside the start. It ends early with its context.
	Later func(ctx context.Context)
}

// maxAttempts bounds how often a start decides anew because the store moved. Each time another process has made
// progress.
const maxAttempts = 10

// errMoved: the store is no longer what the plan was made for.
var errMoved = errors.New("the store keeps changing; try again")

// Apply brings the store in line with v, in at most one transaction, and with none at all when there is nothing to
// write. It may be repeated at any time and run at the same time in several processes.
func Apply(ctx context.Context, st store.Store, v *Values, h *password.Hasher, opt Options) (Result, error) {
	s := newSeeder(v, h, opt)
	var moved error
	for range maxAttempts {
		p, err := s.plan(ctx, st)
		if err != nil {
			return Result{}, err
		}
		if p.setsPassword() && s.know.hash == "" {
			if s.know.hash, err = patiently(ctx, func() (string, error) { return v.HashPassword(ctx, h) }); err != nil {
				return Result{}, fmt.Errorf("hashing the administrator's password: %w", err)
			}
		}
		if p.writes() {
			err = st.Change(ctx, func(tx store.Tx) error {
				var err error
				p, err = s.write(ctx, tx)
				return err
			})
		}
		switch {
		case err == nil:
			return s.finish(ctx, st, p)
		case !errors.Is(err, errMoved) && !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrConflict):
			return Result{}, fmt.Errorf("writing the administrator: %w", err)
		}
		moved = err
	}
	return Result{}, fmt.Errorf("writing the administrator: %w (%w)", errMoved, moved)
}

// seeder is one run of [Apply] or [Describe].
type seeder struct {
	v    *Values
	h    *password.Hasher
	now  time.Time
	log  *zap.Logger
	know *knowledge
}

func newSeeder(v *Values, h *password.Hasher, opt Options) *seeder {
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	return &seeder{v: v, h: h, now: opt.Clock().UTC(), log: opt.Log, know: &knowledge{
		same: map[string]bool{}, fingerprints: map[string]string{}, newSalt: h.NewFingerprintSalt(),
	}}
}

// plan reads the store and decides, computing what the decision asks for.
func (s *seeder) plan(ctx context.Context, r store.Reader) (plan, error) {
	for range maxAttempts {
		st, err := readState(ctx, r, s.v, s.know)
		if err != nil {
			return plan{}, err
		}
		p := decide(s.v, st, s.know)
		if !p.incomplete() {
			return p, nil
		}
		if err := s.learn(ctx, p); err != nil {
			return plan{}, err
		}
	}
	return plan{}, errMoved
}

// learn computes what a plan asks for.
func (s *seeder) learn(ctx context.Context, p plan) error {
	if stored := p.needSame; stored != "" {
		same, err := patiently(ctx, func() (bool, error) { return s.v.sameAs(ctx, s.h, stored) })
		if err != nil {
			return fmt.Errorf("comparing the administrator's password: %w", err)
		}
		s.know.same[stored] = same
	}
	if salt := p.needFingerprint; salt != "" {
		fp, err := patiently(ctx, func() (string, error) { return s.v.fingerprint(ctx, s.h, salt) })
		if err != nil {
			return fmt.Errorf("recognizing the administrator's password (setting %s): %w", saltSetting, err)
		}
		s.know.fingerprints[salt] = fp
	}
	return nil
}

// patiently repeats fn while all hashing slots are taken: people who sign in at that moment must not make a start or
// a reload fail.
func patiently[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	for {
		out, err := fn()
		if !errors.Is(err, password.ErrBusy) {
			return out, err
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return out, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// write decides again on what is true in the transaction, and does it.
func (s *seeder) write(ctx context.Context, tx store.Tx) (plan, error) {
	st, err := readState(ctx, tx, s.v, s.know)
	if err != nil {
		return plan{}, err
	}
	p := decide(s.v, st, s.know)
	if p.incomplete() || (p.setsPassword() && s.know.hash == "") {
		return plan{}, errMoved
	}
	return p, s.execute(ctx, tx, &p)
}

func (s *seeder) execute(ctx context.Context, tx store.Tx, p *plan) error {
	for i := range p.edits {
		e := &p.edits[i]
		do := s.change
		if e.create {
			do = s.create
		}
		if err := do(ctx, tx, e); err != nil {
			return err
		}
		if e.password {
			p.admin = &e.after
		}
	}
	if p.setsPassword() {
		// There is an administrator now: a set-up link that is still about must not make another one.
		if _, err := tx.CancelLinks(ctx, store.LinkSetup, ""); err != nil {
			return err
		}
	}
	if p.record {
		return s.recordApplied(ctx, tx, p.salt)
	}
	return nil
}

// recordApplied remembers the values. When another process chose the salt meanwhile, it starts over with that.
func (s *seeder) recordApplied(ctx context.Context, tx store.Tx, salt string) error {
	stands, err := tx.SetSettingOnce(ctx, saltSetting, salt)
	if err != nil {
		return err
	}
	if stands != salt {
		return errMoved
	}
	_, err = tx.SetSettingOnce(ctx, appliedSetting+s.know.fingerprints[salt], s.now.Format(time.RFC3339))
	return err
}

func (s *seeder) create(ctx context.Context, tx store.Tx, e *edit) error {
	u := &e.after
	u.ID, u.CreatedAt, u.UpdatedAt = store.NewID(s.now), s.now, s.now
	u.PasswordHash, u.PasswordChangedAt = s.know.hash, s.now
	if err := tx.CreateUser(ctx, *u); err != nil {
		return err
	}
	return s.audit(ctx, tx, "user.create", e, map[string]string{
		"after.username": u.Username, "after.email": u.Email, "after.role": string(u.Role), "after.managed": strconv.FormatBool(u.Managed),
	})
}

func (s *seeder) change(ctx context.Context, tx store.Tx, e *edit) error {
	if list := changed(e.before, e.after); len(list) > 0 {
		details := make(map[string]string, 2*len(list))
		for _, c := range list {
			details["before."+c[0]], details["after."+c[0]] = c[1], c[2]
		}
		e.after.UpdatedAt = s.now
		updated, err := tx.UpdateUser(ctx, e.after)
		if err != nil {
			return err
		}
		e.after = updated
		if err := s.audit(ctx, tx, "user.update", e, details); err != nil {
			return err
		}
	}
	if e.takeBack {
		if err := s.takeBack(ctx, tx, e); err != nil {
			return err
		}
	}
	switch {
	case e.password:
		return s.setPassword(ctx, tx, e)
	case e.noMustChange:
		err := tx.SetPassword(ctx, e.after.ID, store.PasswordChange{Hash: e.after.PasswordHash, At: s.now})
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, "password.keep", e, map[string]string{"before.must_change": "true", "after.must_change": "false"})
	}
	return nil
}

// takeBack ends whatever lets somebody into the account but its password: the environment says who has it from now on.
// Sessions of whoever knew the password that the environment names go on, but for those through a provider.
func (s *seeder) takeBack(ctx context.Context, tx store.Tx, e *edit) error {
	out, err := login.Recover(ctx, tx, e.after, login.Recovery{Identities: true, KeepSessions: !e.password, Note: func(ctx context.Context, tx store.Tx, ev store.Event) error {
		ev.Details["reason"] = e.reason
		return tx.AddEvent(ctx, s.stamp(ev))
	}})
	if err != nil {
		return err
	}
	e.taken = make(map[string]string)
	out.Describe(e.taken)
	for _, id := range out.Unlinked {
		s.log.Warn(unlinkedText,
			zap.String("user", e.after.Username), zap.String("provider", id.Provider))
	}
	e.after, err = tx.User(ctx, e.after.ID)
	return err
}

// setPassword sets the password. The count of wrong passwords goes: who writes the environment is not locked out.
func (s *seeder) setPassword(ctx context.Context, tx store.Tx, e *edit) error {
	id := e.after.ID
	if err := tx.SetPassword(ctx, id, store.PasswordChange{Hash: s.know.hash, At: s.now}); err != nil {
		return err
	}
	if err := login.Forget(ctx, tx, e.after); err != nil {
		return err
	}
	details := e.taken
	if details == nil {
		details = map[string]string{}
	}
	return s.audit(ctx, tx, "password.reset", e, details)
}

// audit adds the event of an edit. Details name variables and states, never a value of a secret.
func (s *seeder) audit(ctx context.Context, tx store.Tx, action string, e *edit, details map[string]string) error {
	details["reason"] = e.reason
	details["mode"] = string(s.v.mode)
	if e.password {
		details["variable"] = s.v.secret.key
		details["source"] = s.v.secret.source
	}
	return tx.AddEvent(ctx, s.stamp(store.Event{
		Action: action, TargetID: e.after.ID, Target: e.after.Username, Outcome: store.Success, Details: details,
	}))
}

// stamp completes an event of the environment.
func (s *seeder) stamp(e store.Event) store.Event {
	e.ID, e.Time, e.Actor = store.NewID(s.now), s.now, store.NameEnvironment
	return e
}
