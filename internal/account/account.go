// Package account makes all changes of accounts, for the pages, the JSON API and the command line alike, so that its
// rules apply to all of them.
//
// Every action reads the actor and the target again inside the transaction that makes the change ([store.Store.Change]
// runs one at a time), checks the guards there, and writes its audit event in the same transaction. A refusal by a
// guard is audited as well, after the rollback. The effect of a change on sessions is decided here or in the store,
// never by a caller.
//
// Errors for users are *[InvalidError] (bad input, per field), *[ForbiddenError] (a guard), *[LinkError] (a one-time
// link that cannot be used), *[store.ConflictError], [store.ErrNotFound] and [store.ErrStale]; those of the login and
// password packages are passed through. Any other error is technical.
package account

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Kind is the kind of an actor. The zero value is a person, to whom every guard applies.
type Kind int

// Kinds of actors.
const (
	// Person is a user with a session.
	Person Kind = iota
	// CommandLine is anyone who can read and write the store: it has no session and no role, but the managed root and the
	// last administrator are protected from it, too.
	CommandLine
	// Startup is the server itself.
	Startup
)

// Actor is the originator of a change.
type Actor struct {
	UserID    string // "" unless a person
	Name      string // username
	Kind      Kind
	SessionID string    // session of the request; a person needs one, API tokens are not enough
	AuthAt    time.Time // when the user last authenticated: Session.AuthAt
	Client    login.Client
}

// FreshWindow is how long after a sign-in or step-up an administrator may change other users' accounts.
const FreshWindow = 10 * time.Minute

// Config of a Service. Store and Hasher are required.
type Config struct {
	Store    store.Store
	Sessions *session.Manager // nil on the command line, which has no sessions
	Login    *login.Service   // nil on the command line, which checks no current passwords
	Hasher   *password.Hasher
	Policy   password.Policy
	// Passwords says whose passwords are accepted, and so whose can be set; zero means nobody's.
	Passwords login.Passwords
	// Tokens bound the tokens of programs; nil means that there are none.
	Tokens *TokenLimits
	Title  string // of the site; passwords must not be similar to it
	// Effective returns a user with the effective rights of a session, see login.OIDC. nil means that there are no
	// providers.
	Effective func(*store.Session, store.User) store.User
	// Methods returns what was proved in a session, as far as it is believed, see login.OIDC. nil means as stored.
	Methods func(*store.Session) assurance.Methods
	// EnvPrefix is the prefix of the environment variables of the managed root, such as "APP_": refusals name them.
	EnvPrefix string
	Clock     func() time.Time // nil means time.Now
	Log       *zap.Logger      // nil means none
}

// Service changes accounts. All methods are safe for concurrent use.
type Service struct {
	*core
	SessionActions
	Programs TokenActions
	Devices  DeviceActions
	Factors  FactorActions
	Passkeys PasskeyActions
}

// core holds what every change needs: authorization, rate limits, the audit log.
type core struct {
	Config

	rateLimits rateLimits
}

// New returns the service of a store.
func New(c Config) *Service {
	s := &core{Config: c}
	return &Service{
		core: s, SessionActions: SessionActions{s}, Programs: TokenActions{s}, Devices: DeviceActions{s},
		Factors: FactorActions{s}, Passkeys: PasskeyActions{s},
	}
}

func (s *core) now() time.Time {
	if s.Clock == nil {
		return time.Now().UTC()
	}
	return s.Clock().UTC()
}

func (s *core) log() *zap.Logger {
	if s.Log == nil {
		return zap.NewNop()
	}
	return s.Log
}

// auditName returns the actor's name for the audit log.
func (a Actor) auditName() string {
	switch a.Kind {
	case CommandLine:
		return store.NameCommandLine
	case Startup:
		return store.NameStartUp
	case Person:
		if a.Name != "" {
			return a.Name
		}
	}
	return store.NameAnonymous
}

// displayName returns the actor's name for places that do not otherwise tell users from the system.
func (a Actor) displayName() string {
	if a.Kind == Person && a.Name != "" {
		return store.DisplayUsername(a.Name)
	}
	return a.auditName()
}

// change runs fn in a transaction of the store and adds the event that fn completes. If fn clears the event's action,
// nothing was changed and nothing is audited. A guard's refusal is audited separately, after the rollback.
func (s *core) change(ctx context.Context, a Actor, e store.Event,
	fn func(tx store.Tx, e *store.Event) error,
) error {
	e.ActorID, e.Actor = a.UserID, a.auditName()
	if e.Details == nil {
		e.Details = map[string]string{}
	}
	err := s.Store.Change(ctx, func(tx store.Tx) error {
		if err := fn(tx, &e); err != nil {
			return err
		}
		if e.Action == "" {
			return nil
		}
		e.Outcome = store.Success
		return tx.AddEvent(ctx, a.Client.Stamp(e, s.now()))
	})
	if errors.Is(err, store.ErrLastAdmin) {
		err = errLastAdmin()
	}
	var refused *ForbiddenError
	if errors.As(err, &refused) && e.Action != "" {
		return s.auditRefusal(ctx, a, e, refused, err)
	}
	return err
}

// auditTimeout limits the write of a refusal, which is not canceled with the request.
const auditTimeout = 5 * time.Second

// auditRefusal audits a guard's refusal. It returns err, or a *[login.ThrottledError] after too many of them. Beyond
// maxAuditedRefusals in a minute it audits only the number of further ones.
func (s *core) auditRefusal(ctx context.Context, a Actor, e store.Event, refused *ForbiddenError, err error) error {
	e.Outcome = store.Denied
	e.Details = map[string]string{"reason": refused.Code}
	audit, first, wait := s.countRefusal(a)
	switch {
	case audit:
		s.addEvent(ctx, a, e)
	case first:
		s.rateLimits.after(limitWindow, func() { s.auditUnaudited(a, e) })
	}
	if wait > 0 {
		return &login.ThrottledError{Wait: wait}
	}
	return err
}

// addEvent writes an event outside of a transaction. A failure is only logged: the request is refused anyway.
func (s *core) addEvent(ctx context.Context, a Actor, e store.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if err := s.Store.AddEvents(ctx, a.Client.Stamp(e, s.now())); err != nil {
		s.log().Error("could not write the audit log", zap.String("action", e.Action), zap.Error(err))
	}
}

// setTarget sets the user whom an event is about.
func setTarget(e *store.Event, u store.User) { e.TargetID, e.Target = u.ID, u.Username }
