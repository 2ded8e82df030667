package login

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Known browsers. A browser that signed in to an account gets a random device token; the store has its hash with the
// account. It authenticates nobody: it only gives the browser its own count of wrong passwords.
const (
	deviceTTL  = 365 * 24 * time.Hour
	maxDevices = 4 // accounts that one browser is known for
)

// DeviceCookie is the name, after Gatehouse's prefix, of the cookie with the device tokens.
const DeviceCookie = "device"

// ParseDevices returns the device tokens in a cookie value; malformed ones are dropped.
func ParseDevices(value string) []string { return parseTokens(value, maxDevices) }

// parseTokens returns the tokens in a cookie value that holds several, at most so many.
func parseTokens(value string, most int) []string {
	var tokens []string
	for t := range strings.SplitSeq(value, ".") {
		if store.ValidToken(t) && len(tokens) < most {
			tokens = append(tokens, t)
		}
	}
	return tokens
}

// SignInOptions says how a user authenticated, and holds the parameters of the session. As JSON it is kept, sealed,
// while a second step is outstanding.
type SignInOptions struct {
	Method   string `json:"method,omitzero"` // "password", "oidc", "link"
	Provider string `json:"provider,omitzero"`
	Issuer   string `json:"issuer,omitzero"`
	Subject  string `json:"subject,omitzero"`
	// Sub is the sub of the ID token, by which a logout token names the session, if Subject is another claim.
	Sub      string `json:"sub,omitzero"`
	SID      string `json:"sid,omitzero"`
	Claims   string `json:"claims,omitzero"` // the provider's claims, see store.Session
	Sealed   string `json:"sealed,omitzero"`
	Remember bool   `json:"remember,omitzero"`
	// AuthAt is when the user authenticated at a provider, zero if it does not say. It is ignored for other methods.
	AuthAt time.Time `json:"auth_at,omitzero"`
	// Methods are those that were proved; "" for what follows from Provider. MFAAt is when a second factor was proved to
	// the provider, zero for never.
	Methods assurance.Methods `json:"methods,omitzero"`
	MFAAt   time.Time         `json:"mfa_at,omitzero"`
	// Link means that the identity at the provider is not the user's yet, and is linked when every step is done: it has
	// the e-mail of an account that has a second factor. LinkName is the name that the provider says.
	Link     bool   `json:"link,omitzero"`
	LinkName string `json:"link_name,omitzero"`
	// Setup means that the user is the first administrator, who has just been created.
	Setup bool `json:"setup,omitzero"`
	// Return is where the browser goes afterwards, in the words of the web layer. It comes back in [SignedIn].Return,
	// also when there are further steps in between.
	Return string `json:"return,omitzero"`
	// Check is called in the transaction that ends the first step. It may be nil.
	Check func(ctx context.Context, tx store.Tx) error `json:"-"`

	proved bool // AuthAt is of a second step here
}

// SignedIn is a session that was just started or rotated, or, if Step is not nil, a sign-in that has no session yet.
type SignedIn struct {
	Step    *NextStep // what comes before the session; Token and Session are zero then
	Token   string    // for the session cookie
	Session store.Session
	User    store.User
	Devices string // new value of the device cookie, "" for no change
	Trusted string // new value of the cookie of trusted browsers, "" for no change
	Return  string // as [SignInOptions].Return
}

// DeviceTTL returns how long the device cookie lasts.
func DeviceTTL() time.Duration { return deviceTTL }

// SignIn starts a session for a proof, in one transaction: the session of the request ends (session fixation, a change
// of user), the new one starts, failed attempts are cleared, the browser becomes known, and the sign-in is audited. The
// user is read again, so that changes since the proof take effect.
//
// Where a second step is due it starts a half-login in place of all that, and [SignedIn.Step] says what comes next.
func (s *Service) SignIn(ctx context.Context, c Client, p Proof, via SignInOptions) (SignedIn, error) {
	if via.Methods == "" {
		via.Methods = assurance.Of(assurance.Password)
		if via.Provider != "" {
			via.Methods = assurance.Of(assurance.External)
		}
	}
	var out SignedIn
	err := errStepChanged
	for tries := 0; errors.Is(err, errStepChanged) && tries < maxStepTries; tries++ {
		out, err = s.signIn(ctx, c, p, via)
	}
	if err != nil || out.Step == nil {
		s.count(via.Method, outcomeOf(err))
	}
	if err != nil {
		s.Forgive(ctx, p)
		return SignedIn{}, fmt.Errorf("signing in: %w", err)
	}
	if out.Step != nil {
		s.Forgive(ctx, p) // it was no wrong guess; what others have guessed is cleared by the last step only
	} else {
		s.logSignIn(c, out)
	}
	return out, nil
}

// errStepChanged means that the second step was chosen before a change that makes it another one.
var errStepChanged = errors.New("what comes next has changed meanwhile")

// maxStepTries bounds how often a first step is tried again because of changes.
const maxStepTries = 3

// signIn is one try of [Service.SignIn]. What comes next is worked out before the transaction, because a half-login is
// sealed outside of it, and once more inside.
func (s *Service) signIn(ctx context.Context, c Client, p Proof, via SignInOptions) (SignedIn, error) {
	u, err := s.Store.User(ctx, p.User.ID)
	if ignoreNotFound(err) != nil {
		return SignedIn{}, err
	}
	next, err := s.nextStep(ctx, s.Store, c, u, via)
	if err != nil {
		return SignedIn{}, err
	}
	var h store.HalfLogin
	var token string
	if next.purpose != "" {
		if token, h, err = s.newHalfLogin(ctx, c, p, via, next.purpose, next.due); err != nil {
			return SignedIn{}, err
		}
	}
	var out SignedIn
	err = s.Store.Change(ctx, func(tx store.Tx) error {
		out = SignedIn{Return: via.Return}
		u, err := s.userOf(ctx, tx, p, via)
		if err != nil {
			return err
		}
		if via.Check != nil {
			if err := via.Check(ctx, tx); err != nil {
				return err
			}
		}
		now, err := s.nextStep(ctx, tx, c, u, via)
		switch {
		case err != nil:
			return err
		case now.purpose != next.purpose:
			return errStepChanged
		case now.trust != nil:
			return s.enterTrusted(ctx, tx, c, p, u, via, *now.trust, &out)
		case next.purpose == "":
			return s.enter(ctx, tx, c, p, u, via, &out)
		}
		out.User, out.Step = u, &NextStep{Token: token, Purpose: next.purpose, ExpiresAt: h.ExpiresAt}
		if err := noteDue(ctx, tx, u, via, next); err != nil {
			return err
		}
		return s.beginHalfLogin(ctx, tx, c, &h)
	})
	return out, err
}

// noteDue records until when somebody may put a second factor off who has just been asked for the first time. Whoever
// was invited has no grace, and gets none by leaving the page and coming back with the password.
func noteDue(ctx context.Context, tx store.Tx, u store.User, via SignInOptions, next nextStep) error {
	asked := next.purpose == store.HalfLoginOffer || next.purpose == store.HalfLoginEnroll && via.Method == MethodLink
	if !asked || !u.Factors.DueAt.IsZero() {
		return nil
	}
	u.Factors.DueAt = next.due
	return tx.SetFactors(ctx, u.ID, u.Factors)
}

// userOf returns the user of a proof as of now, or why it no longer counts.
func (s *Service) userOf(ctx context.Context, tx store.Tx, p Proof, via SignInOptions) (store.User, error) {
	u, err := tx.User(ctx, p.User.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return u, ErrInvalidCredentials
	case err != nil:
		return u, err
	case p.ofPassword() && !s.Passwords.Of(u): // no longer the managed root
		return u, ErrInvalidCredentials
	case u.PasswordHash != p.User.PasswordHash && via.Provider == "":
		return u, ErrInvalidCredentials // changed since the proof
	case !u.Active || u.Pending:
		return u, &InactiveError{Pending: u.Pending}
	case u.Epoch != p.User.Epoch: // all sessions were ended since the proof
		return u, ErrInvalidCredentials
	}
	return u, nil
}

// enter starts the session of a sign-in whose every step is done.
func (s *Service) enter(ctx context.Context, tx store.Tx, c Client, p Proof, u store.User, via SignInOptions,
	out *SignedIn,
) (err error) {
	if err := s.endPresented(ctx, tx, c, u.ID, via.Issuer); err != nil {
		return err
	}
	if via.Link {
		if s.completeLink == nil {
			return errors.New("nobody can link the identity of a sign-in")
		}
		if u, err = s.completeLink(ctx, tx, c, u, via); err != nil {
			return err
		}
	}
	*out = SignedIn{User: u, Return: via.Return}
	if out.Token, out.Session, err = s.startSession(ctx, tx, c, u, via); err != nil {
		return err
	}
	return s.recordSignIn(ctx, tx, c, p, via, out)
}

func (s *Service) logSignIn(c Client, in SignedIn) {
	s.Log.Info("signed in", zap.String("user", in.User.Username), zap.String("method", in.Session.Method),
		zap.String("provider", in.Session.Provider), zap.String("methods", assurance.Methods(in.Session.Methods).Shown()),
		zap.String("ip", c.ip()), zap.String("request_id", c.RequestID))
}

// startSession starts the session of a sign-in.
func (s *Service) startSession(ctx context.Context, tx store.Tx, c Client, u store.User,
	via SignInOptions,
) (token string, started store.Session, err error) {
	authAt := s.Clock().UTC()
	if via.Provider != "" && !via.proved {
		authAt = via.AuthAt
	}
	token, started, err = s.Sessions.Start(ctx, tx, session.StartOptions{
		User: u, Limits: s.Lifetime, Remember: via.Remember, Method: via.Method,
		Provider: via.Provider, Issuer: via.Issuer, Subject: via.Subject, SID: via.SID,
		Claims: via.Claims, Sealed: via.Sealed, AuthAt: authAt, Methods: string(via.Methods), MFAAt: via.MFAAt,
		IP: c.ip(), UserAgent: c.UserAgent, Host: c.Host,
	})
	if err == nil && via.Sub != "" && via.Sub != via.Subject {
		err = tx.AddSessionName(ctx, started.ID, via.Issuer, via.Sub, via.SID)
	}
	return token, started, err
}

// endPresented ends the session of the request, and those of other cookies of the name: the browser goes on with one,
// of a user who signs in by an issuer. A session of somebody else, or at another issuer, is over there, too.
func (s *Service) endPresented(ctx context.Context, tx store.Tx, c Client, userID, issuer string) error {
	for _, token := range append([]string{c.Session}, c.Others...) {
		if !store.ValidToken(token) {
			continue
		}
		old, _, err := tx.SessionByToken(ctx, store.HashToken(token))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		replaced := old.Sealed == "" || old.UserID == userID && old.Issuer == issuer
		if _, err := tx.EndSessions(ctx, store.SessionSelector{ID: old.ID, Replaced: replaced}); err != nil {
			return err
		}
	}
	return nil
}

// recordSignIn writes everything but the session: last sign-in, attempts, rehash, device, audit event.
func (s *Service) recordSignIn(
	ctx context.Context, tx store.Tx, c Client, p Proof, via SignInOptions, out *SignedIn,
) error {
	now := s.Clock().UTC()
	if err := tx.SetLastLogin(ctx, out.User.ID, now); err != nil {
		return err
	}
	if err := p.ClearAttempts(ctx, tx); err != nil {
		return err
	}
	if p.rehash != "" {
		err := tx.SetPassword(ctx, out.User.ID, store.PasswordChange{
			Hash: p.rehash, Rehash: true, IfHash: p.User.PasswordHash, MustChange: out.User.MustChange, At: now,
		})
		if err != nil && !errors.Is(err, store.ErrStale) {
			return err
		}
	}
	if via.Provider == "" { // also for a one-time link: its user has just set a password
		if err := s.rememberDevice(ctx, tx, c, p, out, now); err != nil {
			return err
		}
	}
	return tx.AddEvent(ctx, c.stamp(store.Event{
		ActorID: out.User.ID, Actor: out.User.Username, Action: "session.sign_in",
		TargetID: out.User.ID, Target: out.User.Username, Outcome: store.Success,
		Details: map[string]string{
			"method": via.Method, "provider": via.Provider, "session": out.Session.ID, "methods": via.Methods.Shown(),
		},
	}, now))
}

// rememberDevice makes the browser known for the account. Only tokens created here are stored: one that was planted in
// the browser is not adopted.
func (s *Service) rememberDevice(ctx context.Context, tx store.Tx, c Client, p Proof, out *SignedIn,
	now time.Time,
) error {
	token := p.attempt.device
	if token == "" {
		token = store.NewToken()
		tokens := append([]string{token}, c.Devices...)
		out.Devices = strings.Join(tokens[:min(len(tokens), maxDevices)], ".")
	}
	return tx.PutDevice(ctx, store.HashToken(token), out.User.ID, now, now.Add(deviceTTL))
}

// StepUp rotates the session of a user who has just authenticated again (step-up): it has a new token, and admin
// writes are allowed for a while. It returns store.ErrNotFound (wrapped) if the session has ended meanwhile.
func (s *Service) StepUp(ctx context.Context, c Client, p Proof, l *session.Live) (SignedIn, error) {
	return s.stepUpAt(ctx, c, p, l, s.Clock().UTC(), func(_ context.Context, _ store.Tx, old *store.Session) error {
		if p.ofPassword() {
			old.Methods = string(assurance.Methods(old.Methods).With(assurance.Password))
		}
		return nil
	})
}

// stepUpAt is [Service.StepUp] for a proof given at authAt. apply, which may be nil, changes the session before it is
// rotated. Session and user are read in the transaction, so that changes since the request began are not undone.
func (s *Service) stepUpAt(ctx context.Context, c Client, p Proof, l *session.Live, authAt time.Time,
	apply func(ctx context.Context, tx store.Tx, old *store.Session) error,
) (SignedIn, error) {
	var out SignedIn
	err := s.Store.Change(ctx, func(tx store.Tx) (err error) {
		out, err = s.rotateIn(ctx, tx, c, p, l, authAt, apply)
		return err
	})
	if err != nil {
		s.Forgive(ctx, p)
		return SignedIn{}, fmt.Errorf("stepping up a session: %w", err)
	}
	return out, nil
}

// rotateIn is [Service.stepUpAt] in a transaction.
func (s *Service) rotateIn(ctx context.Context, tx store.Tx, c Client, p Proof, l *session.Live, authAt time.Time,
	apply func(ctx context.Context, tx store.Tx, old *store.Session) error,
) (SignedIn, error) {
	old, u, err := tx.Session(ctx, l.Session.ID)
	if err != nil {
		return SignedIn{}, err
	}
	if u.ID != l.User.ID || old.Epoch != u.Epoch || !u.Active || u.Pending || u.PasswordHash != p.User.PasswordHash {
		return SignedIn{}, ErrInvalidCredentials
	}
	if p.ofPassword() && !s.Passwords.Of(u) {
		return SignedIn{}, ErrInvalidCredentials
	}
	if apply != nil {
		if err := apply(ctx, tx, &old); err != nil {
			return SignedIn{}, err
		}
		if u, err = tx.User(ctx, u.ID); err != nil {
			return SignedIn{}, err
		}
	}
	out := SignedIn{User: u}
	if out.Token, out.Session, err = s.Sessions.Rotate(ctx, tx, old, u.Epoch, authAt); err != nil {
		return SignedIn{}, err
	}
	if err := p.ClearAttempts(ctx, tx); err != nil {
		return SignedIn{}, err
	}
	return out, tx.AddEvent(ctx, c.stamp(store.Event{
		ActorID: u.ID, Actor: u.Username, Action: "session.confirm", TargetID: u.ID, Target: u.Username,
		Outcome: store.Success, Details: map[string]string{"session": out.Session.ID},
	}, s.Clock().UTC()))
}

// stamp adds id, time and the client's details to an event.
func (c Client) stamp(e store.Event, now time.Time) store.Event {
	e.ID, e.Time = store.NewID(now), now.UTC()
	e.IP, e.UserAgent, e.RequestID = c.ip(), session.ClipUserAgent(c.UserAgent), c.RequestID
	return e
}

// Stamp is the exported form of stamp, for audit events written elsewhere.
func (c Client) Stamp(e store.Event, now time.Time) store.Event { return c.stamp(e, now) }
