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

// Result is the outcome of [Apply].
type Result struct {
	Action string     // one of the Action constants
	Admin  store.User // the administrator of the values, without the password hash; zero if there is none
	// NeedsSetup means that there is no active administrator and no password to create one with.
	NeedsSetup bool
	Warnings   []string // logged already
	Ignored    string   // why the password in the environment was not used; "" if it was, or if Later reports it
	// CheckIgnored, if not nil, compares the password with the administrator's and logs a warning if it is ignored. It
	// takes as long as a sign-in, so run it in the background. It stops when its context ends.
	CheckIgnored func(ctx context.Context)
}

// maxAttempts bounds the retries after concurrent changes of the store. Each time another process has made progress.
const maxAttempts = 10

// errConflict means that the store has changed since the plan was made.
var errConflict = errors.New("the store keeps changing; try again")

// Apply applies v to the store in at most one transaction, and in none if there is nothing to write. It is idempotent
// and may run concurrently in several processes.
func Apply(ctx context.Context, st store.Store, v *Values, h *password.Hasher, opt Options) (Result, error) {
	s := newSeeder(v, h, opt)
	var lastErr error
	for range maxAttempts {
		p, err := s.plan(ctx, st)
		if err != nil {
			return Result{}, err
		}
		if p.setsPassword() && s.computed.hash == "" {
			if s.computed.hash, err = retryBusy(ctx, func() (string, error) { return v.HashPassword(ctx, h) }); err != nil {
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
		case !errors.Is(err, errConflict) && !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrConflict):
			return Result{}, fmt.Errorf("writing the administrator: %w", err)
		}
		lastErr = err
	}
	return Result{}, fmt.Errorf("writing the administrator: %w (%w)", errConflict, lastErr)
}

// seeder is one run of [Apply] or [Describe].
type seeder struct {
	v        *Values
	h        *password.Hasher
	now      time.Time
	log      *zap.Logger
	computed *computed
}

func newSeeder(v *Values, h *password.Hasher, opt Options) *seeder {
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	return &seeder{v: v, h: h, now: opt.Clock().UTC(), log: opt.Log, computed: &computed{
		same: map[string]bool{}, fingerprints: map[string]string{}, newSalt: h.NewFingerprintSalt(),
	}}
}

// plan reads the store and decides, computing what the decision needs.
func (s *seeder) plan(ctx context.Context, r store.Reader) (plan, error) {
	for range maxAttempts {
		st, err := readState(ctx, r, s.v, s.computed)
		if err != nil {
			return plan{}, err
		}
		p := decide(s.v, st, s.computed)
		if !p.incomplete() {
			return p, nil
		}
		if err := s.compute(ctx, p); err != nil {
			return plan{}, err
		}
	}
	return plan{}, errConflict
}

// compute computes the hashes and comparisons that a plan needs.
func (s *seeder) compute(ctx context.Context, p plan) error {
	if stored := p.needSame; stored != "" {
		same, err := retryBusy(ctx, func() (bool, error) { return s.v.sameAs(ctx, s.h, stored) })
		if err != nil {
			return fmt.Errorf("comparing the administrator's password: %w", err)
		}
		s.computed.same[stored] = same
	}
	if salt := p.needFingerprint; salt != "" {
		fp, err := retryBusy(ctx, func() (string, error) { return s.v.fingerprint(ctx, s.h, salt) })
		if err != nil {
			return fmt.Errorf("recognizing the administrator's password (setting %s): %w", saltSetting, err)
		}
		s.computed.fingerprints[salt] = fp
	}
	return nil
}

// retryBusy repeats fn while all hashing slots are in use: concurrent sign-ins must not make a start or a reload
// fail.
func retryBusy[T any](ctx context.Context, fn func() (T, error)) (T, error) {
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

// write decides again inside the transaction, and executes the plan.
func (s *seeder) write(ctx context.Context, tx store.Tx) (plan, error) {
	st, err := readState(ctx, tx, s.v, s.computed)
	if err != nil {
		return plan{}, err
	}
	p := decide(s.v, st, s.computed)
	if p.incomplete() || (p.setsPassword() && s.computed.hash == "") {
		return plan{}, errConflict
	}
	err = s.execute(ctx, tx, &p)
	return p, err
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
		// There is an administrator now: an open set-up link must not create another one.
		if _, err := tx.CancelLinks(ctx, store.LinkSetup, ""); err != nil {
			return err
		}
	}
	if p.record {
		return s.recordApplied(ctx, tx, p.salt)
	}
	return nil
}

// recordApplied records that the values were applied. If another process has set the salt in the meantime, Apply
// starts over with that one.
func (s *seeder) recordApplied(ctx context.Context, tx store.Tx, salt string) error {
	current, err := tx.SetSettingOnce(ctx, saltSetting, salt)
	if err != nil {
		return err
	}
	if current != salt {
		return errConflict
	}
	_, err = tx.SetSettingOnce(ctx, appliedSetting+s.computed.fingerprints[salt], s.now.Format(time.RFC3339))
	return err
}

func (s *seeder) create(ctx context.Context, tx store.Tx, e *edit) error {
	u := &e.after
	u.ID, u.CreatedAt, u.UpdatedAt = store.NewID(s.now), s.now, s.now
	u.PasswordHash, u.PasswordChangedAt = s.computed.hash, s.now
	if err := tx.CreateUser(ctx, *u); err != nil {
		return err
	}
	return s.audit(ctx, tx, "user.create", e, map[string]string{
		"after.username": u.Username, "after.email": u.Email, "after.role": string(u.Role),
		"after.managed": strconv.FormatBool(u.Managed),
	})
}

// update writes the fields of the account that differ.
func (s *seeder) update(ctx context.Context, tx store.Tx, e *edit) error {
	list := changed(e.before, e.after)
	if len(list) == 0 {
		return nil
	}
	details := make(map[string]string, 2*len(list))
	for _, c := range list {
		details["before."+c[0]], details["after."+c[0]] = c[1], c[2]
	}
	if e.before.Active && !e.after.Active {
		if err := login.RevokeTokens(ctx, tx, e.after, details); err != nil {
			return err
		}
	}
	e.after.UpdatedAt = s.now
	updated, err := tx.UpdateUser(ctx, e.after)
	if err != nil {
		return err
	}
	e.after = updated
	return s.audit(ctx, tx, "user.update", e, details)
}

func (s *seeder) change(ctx context.Context, tx store.Tx, e *edit) error {
	if err := s.update(ctx, tx, e); err != nil {
		return err
	}
	if e.revokeAccess {
		if err := s.revokeAccess(ctx, tx, e); err != nil {
			return err
		}
	}
	switch {
	case e.password:
		return s.setPassword(ctx, tx, e)
	case e.clearMustChange:
		err := tx.SetPassword(ctx, e.after.ID, store.PasswordChange{Hash: e.after.PasswordHash, At: s.now, KeepTokens: true})
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, "password.keep", e, map[string]string{
			"before.must_change": "true",
			"after.must_change":  "false",
		})
	}
	return nil
}

// revokeAccess ends all access to the account except by its password: from now on the environment determines who has
// it. If the password did not change, its sessions stay, except those through a provider. Second factors are their
// person's own, and stay when the password is another one; those of an account that is taken over are a stranger's: a
// passkey would sign in alone, and an authenticator app would keep the administrator out.
func (s *seeder) revokeAccess(ctx context.Context, tx store.Tx, e *edit) error {
	out, err := login.Recover(ctx, tx, e.after, login.Recovery{
		Identities: true, KeepSessions: !e.password, Passkeys: e.takeover, Factors: e.takeover,
		Audit: func(ctx context.Context, tx store.Tx, ev store.Event) error {
			ev.Details["reason"] = e.reason
			return tx.AddEvent(ctx, s.stamp(ev))
		},
	})
	if err != nil {
		return err
	}
	e.revoked = make(map[string]string)
	out.Describe(e.revoked)
	for _, id := range out.Unlinked {
		s.log.Warn(unlinkedText,
			zap.String("user", e.after.Username), zap.String("provider", id.Provider))
	}
	if out.TOTPs+out.Passkeys+out.Codes > 0 {
		s.log.Warn(factorsText, zap.String("user", e.after.Username))
	}
	e.after, err = tx.User(ctx, e.after.ID)
	return err
}

// setPassword sets the password and resets the count of wrong ones, so that the administrator is not locked out.
func (s *seeder) setPassword(ctx context.Context, tx store.Tx, e *edit) error {
	id := e.after.ID
	if err := tx.SetPassword(ctx, id, store.PasswordChange{Hash: s.computed.hash, At: s.now}); err != nil {
		return err
	}
	if err := login.ClearAttempts(ctx, tx, e.after); err != nil {
		return err
	}
	details := e.revoked
	if details == nil {
		details = map[string]string{}
	}
	return s.audit(ctx, tx, "password.reset", e, details)
}

// audit adds the event of an edit. Details name variables and states, never a secret.
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

// stamp sets id, time and actor of an event.
func (s *seeder) stamp(e store.Event) store.Event {
	e.ID, e.Time, e.Actor = store.NewID(s.now), s.now, store.NameEnvironment
	return e
}
