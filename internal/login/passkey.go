package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// MethodPasskey is the method of a session that began with a passkey alone.
const MethodPasskey = "passkey"

// stepPasskey is the method of a second step, for metrics and the audit log.
const stepPasskey = "passkey"

// ErrWrongPasskey means that a passkey was not accepted: the response is none of this ceremony, it took too long, the
// passkey is unknown, or it may not do this. It is one error for all of them, so that it does not tell who has which.
var ErrWrongPasskey = errors.New("the passkey was not accepted")

// PasskeyAt says where a ceremony takes place.
type PasskeyAt struct {
	Site    passkey.Site
	Browser string // value of the cookie that binds sealed values to a browser
}

func (at PasskeyAt) ceremony(kind passkey.Kind, userID string) passkey.Ceremony {
	return passkey.Ceremony{Kind: kind, Site: at.Site, Browser: at.Browser, UserID: userID}
}

// PasskeyResponse is what a browser sends of a ceremony.
type PasskeyResponse struct {
	PasskeyAt
	State    string // as it was given out
	Response string // JSON of the credential
}

// Ceremonies returns what runs the ceremonies of passkeys.
func (s *Service) Ceremonies() *passkey.Service {
	return &passkey.Service{Sealer: s.Sealer, Clock: s.Clock}
}

// PasskeysOn reports whether passkeys are accepted at all, and PasskeySignIn whether they are as the only thing in a
// sign-in.
func (s *Service) PasskeysOn() bool { return s.Second.Mode != MFAOff && !s.Second.NoPasskeys }

// PasskeySignIn reports whether a passkey may be the only thing in a sign-in.
func (s *Service) PasskeySignIn() bool { return s.PasskeysOn() && !s.Second.NoPasskeyLogin }

// BeginPasskeySignIn returns what a browser signs in with a passkey by. It says nothing about anybody, and stores
// nothing. store.ErrNotFound: that is off.
func (s *Service) BeginPasskeySignIn(ctx context.Context, at PasskeyAt) (passkey.Options, error) {
	if !s.PasskeySignIn() {
		return passkey.Options{}, store.ErrNotFound
	}
	return s.Ceremonies().BeginAssertion(ctx, at.ceremony(passkey.SignIn, ""), nil)
}

// SignInPasskey signs in with a passkey alone, which counts as two factors: the authenticator is had, and has verified
// its user. There is no second step. Errors: [ErrWrongPasskey], *[ThrottledError], *[InactiveError]; any other is
// technical.
func (s *Service) SignInPasskey(ctx context.Context, c Client, r PasskeyResponse, via SignInOptions) (SignedIn, error) {
	p, user, err := s.checkPasskeySignIn(ctx, c, r)
	if err != nil {
		if ctx.Err() == nil {
			s.count(MethodPasskey, outcomeOf(err))
			s.logRefused(c, MethodPasskey, user.Username, err)
		}
		return SignedIn{}, err
	}
	now := s.Clock().UTC()
	via.Method, via.MFAAt = MethodPasskey, now
	via.Methods = assurance.Of(assurance.Passkey, assurance.UserVerified)
	via.Check = func(ctx context.Context, tx store.Tx) error {
		if _, err := p.use(ctx, tx, s, c, user.ID, uvRequired); err != nil {
			return err
		}
		return clearFailures(ctx, tx, user.ID)
	}
	in, err := s.SignIn(ctx, c, Proof{User: user}, via)
	if errors.Is(err, ErrInvalidCredentials) { // the account has changed since
		err = ErrWrongPasskey
	}
	if err != nil {
		s.logRefused(c, MethodPasskey, user.Username, err)
	}
	return in, err
}

// checkPasskeySignIn counts the attempt for the client's address, and checks the response. There is nothing to guess,
// so that no account counts it: strangers could make its owner wait.
func (s *Service) checkPasskeySignIn(ctx context.Context, c Client, r PasskeyResponse) (*proved, store.User, error) {
	if err := s.countPasskey(ctx, c); err != nil {
		return nil, store.User{}, err
	}
	if !s.PasskeySignIn() {
		return nil, store.User{}, ErrWrongPasskey
	}
	p, k, u, err := s.readPasskey(ctx, r, r.ceremony(passkey.SignIn, ""))
	if err != nil {
		return nil, u, err
	}
	if !p.UserVerified() || !k.UserVerified {
		return nil, u, ErrWrongPasskey
	}
	return p, u, nil
}

func (s *Service) countPasskey(ctx context.Context, c Client) error {
	if err := s.Throttle.checkBlocked(ctx, c, s.Limits); err != nil {
		return err
	}
	first, err := s.Throttle.countClient(ctx, c.IP, s.Limits)
	if first {
		s.auditThrottle(ctx, c, "too many attempts from this address")
	}
	return err
}

// proved is a passkey that was proved, and not used yet.
type proved struct{ *passkey.Assertion }

// uvRule says what becomes of the word of an authenticator that it has verified its user.
type uvRule int

const (
	uvIgnored  uvRule = iota // it counts where the store believes it already, and teaches the store nothing
	uvBelieved               // the store believes it from now on
	uvRequired               // nothing else is proved: it has to be there, and to be believed already
)

// uvAfter returns what holds beside methods that were proved before. Only the person knows the password; whoever has
// come in at a provider, or with another thing that can be taken away, may be the thief of all of them.
func uvAfter(before assurance.Methods) uvRule {
	if before.Has(assurance.Password) {
		return uvBelieved
	}
	return uvIgnored
}

// readPasskey checks a response against the passkey that it names.
func (s *Service) readPasskey(ctx context.Context, r PasskeyResponse, c passkey.Ceremony) (
	*proved, store.Passkey, store.User, error,
) {
	a, err := s.Ceremonies().ReadAssertion(ctx, c, r.State, r.Response)
	if err != nil {
		return nil, store.Passkey{}, store.User{}, passkeyError(err)
	}
	k, u, err := s.Store.PasskeyByCredential(ctx, a.RPID(), a.CredentialID())
	unknown := errors.Is(err, store.ErrNotFound)
	switch {
	case unknown:
		k = a.Nobody() // the work of a refusal is the same, whoever has the passkey
	case err != nil:
		return nil, store.Passkey{}, store.User{}, fmt.Errorf("looking a passkey up: %w", err)
	}
	if err = a.Verify(k); unknown {
		err = ErrWrongPasskey
	}
	if err != nil {
		return nil, store.Passkey{}, store.User{}, passkeyError(err)
	}
	return &proved{a}, k, u, nil
}

func passkeyError(err error) error {
	if errors.Is(err, passkey.ErrRefused) {
		return ErrWrongPasskey
	}
	return err
}

// use spends the ceremony and records the use of the passkey, in the transaction of what it proves. What the passkey
// says is judged against what the store has now: it may have been removed, or used elsewhere, since it was read.
//
// A passkey that signs in alone has to verify its user, and has to have done so when it was made, or when the password
// was proved as well. Only then the store believes what the authenticator says of its user. A PIN that a thief has set
// on a key that had none opens nothing by itself.
func (p *proved) use(ctx context.Context, tx store.Tx, s *Service, c Client, userID string, uv uvRule) (
	methods []string, err error,
) {
	now := s.Clock().UTC()
	if err := p.Use(ctx, tx, now); err != nil {
		return nil, passkeyError(err)
	}
	old, u, err := tx.PasskeyByCredential(ctx, p.RPID(), p.CredentialID())
	if errors.Is(err, store.ErrNotFound) || err == nil && u.ID != userID {
		return nil, ErrWrongPasskey
	}
	if err != nil {
		return nil, err
	}
	next, err := p.Next(old.PasskeyState)
	if err != nil {
		return nil, passkeyError(err)
	}
	if uv == uvRequired && (!old.UserVerified || !p.UserVerified()) {
		return nil, ErrWrongPasskey
	}
	next.UserVerified = old.UserVerified || uv == uvBelieved && p.UserVerified()
	if err := tx.UsePasskey(ctx, u.ID, old.ID, next, now); err != nil {
		return nil, err
	}
	methods = []string{assurance.Passkey}
	if next.UserVerified && p.UserVerified() {
		methods = append(methods, assurance.UserVerified)
	}
	return methods, s.auditPasskeyUse(ctx, tx, c, u, old, next)
}

// auditPasskeyUse audits what has changed about a passkey by its use.
func (s *Service) auditPasskeyUse(ctx context.Context, tx store.Tx, c Client, u store.User, old store.Passkey,
	next store.PasskeyState,
) error {
	var changed []string
	for name, turned := range map[string]bool{
		"backup_eligible": !old.BackupEligible && next.BackupEligible,
		"user_verified":   !old.UserVerified && next.UserVerified,
	} {
		if turned {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	if len(changed) > 0 {
		err := s.auditFactor(ctx, tx, c, u, "passkey.flags", map[string]string{
			"passkey": old.ID, "name": old.Name, "turned_on": strings.Join(changed, " "),
		})
		if err != nil {
			return err
		}
	}
	if next.BackupEligible || !passkey.CountsBack(old.SignCount, next.SignCount) {
		return nil
	}
	s.Log.Warn("the counter of a passkey has not grown: there may be a copy of it", zap.String("user", u.Username),
		zap.String("passkey", old.ID))
	return s.auditFactor(ctx, tx, c, u, "passkey.counter", map[string]string{
		"passkey": old.ID, "name": old.Name,
		"before": strconv.FormatUint(uint64(old.SignCount), 10), "now": strconv.FormatUint(uint64(next.SignCount), 10),
	})
}

// clearFailures clears what wrong codes have added up to.
func clearFailures(ctx context.Context, tx store.Tx, userID string) error {
	u, err := tx.User(ctx, userID)
	if err != nil || u.Factors.Failures == 0 {
		return err
	}
	u.Factors.Failures = 0
	return tx.SetFactors(ctx, u.ID, u.Factors)
}

// BeginVerifyPasskey returns what a browser proves a passkey with in the second step of a sign-in. Errors are those of
// [Service.HalfLogin], and store.ErrNotFound if the person has none that works here.
func (s *Service) BeginVerifyPasskey(ctx context.Context, token string, at PasskeyAt) (passkey.Options, error) {
	st, err := s.HalfLogin(ctx, token)
	if err != nil {
		return passkey.Options{}, err
	}
	if st.Purpose != store.HalfLoginVerify {
		return passkey.Options{}, &HalfLoginOverError{Username: st.User.Username, Return: st.Return}
	}
	return s.beginProof(ctx, at.ceremony(passkey.Second, st.User.ID))
}

// VerifyPasskey ends the second step of a sign-in with a passkey. Errors are those of [Service.VerifyCode], and
// [ErrWrongPasskey] in place of that of a wrong code.
func (s *Service) VerifyPasskey(ctx context.Context, c Client, token string, r PasskeyResponse) (SignedIn, error) {
	return s.verifyStep(ctx, c, token, func(ctx context.Context, st HalfLoginState) (stepProof, error) {
		return s.provePasskey(ctx, c, st.User, r, passkey.Second, uvAfter(st.data.Options.Methods))
	})
}

// BeginStepUpPasskey returns what a browser proves a passkey with for somebody who is signed in.
func (s *Service) BeginStepUpPasskey(ctx context.Context, l *session.Live, at PasskeyAt) (passkey.Options, error) {
	return s.beginProof(ctx, at.ceremony(passkey.StepUp, l.User.ID))
}

// StepUpPasskey is [Service.StepUp] with a passkey. Errors are those of [Service.StepUpCode], and [ErrWrongPasskey] in
// place of that of a wrong code.
func (s *Service) StepUpPasskey(ctx context.Context, c Client, l *session.Live, r PasskeyResponse) (SignedIn, error) {
	p, err := s.provePasskey(ctx, c, l.User, r, passkey.StepUp, uvAfter(assurance.Methods(l.Session.Methods)))
	if err != nil {
		return SignedIn{}, err
	}
	return s.stepUpWith(ctx, c, l, p)
}

func (s *Service) beginProof(ctx context.Context, c passkey.Ceremony) (passkey.Options, error) {
	if !s.PasskeysOn() {
		return passkey.Options{}, store.ErrNotFound
	}
	list, err := s.Store.Passkeys(ctx, c.UserID)
	if err != nil {
		return passkey.Options{}, fmt.Errorf("reading passkeys: %w", err)
	}
	return s.Ceremonies().BeginAssertion(ctx, c, list)
}

// provePasskey checks the response of somebody's passkey. One that is refused counts for the client's address here; any
// other attempt is counted by whoever tries the step.
func (s *Service) provePasskey(ctx context.Context, c Client, u store.User, r PasskeyResponse, kind passkey.Kind,
	uv uvRule,
) (stepProof, error) {
	err := ErrWrongPasskey
	var p *proved
	if s.PasskeysOn() {
		p, _, _, err = s.readPasskey(ctx, r, r.ceremony(kind, u.ID))
	}
	if errors.Is(err, ErrWrongPasskey) {
		if limited := s.countPasskey(ctx, c); limited != nil {
			s.countStep(stepPasskey, limited)
			return stepProof{}, limited // and audited once, not with a row for each that comes
		}
		s.countStep(stepPasskey, err)
		s.audit(ctx, c, store.Event{
			ActorID: u.ID, Actor: u.Username, Action: "mfa.fail", TargetID: u.ID, Target: u.Username, Outcome: store.Failure,
			Details: map[string]string{"method": stepPasskey},
		})
		s.logRefused(c, "second_step", u.Username, err)
	}
	if err != nil {
		return stepProof{}, err
	}
	return stepProof{
		method: stepPasskey,
		prove: func(ctx context.Context, tx store.Tx, u store.User) ([]string, error) {
			return p.use(ctx, tx, s, c, u.ID, uv)
		},
	}, nil
}
