// Package account is the one place where accounts change: for the pages, the JSON API and the command line alike, so
// that a rule which holds here holds on every way in.
//
// Every act reads the actor and the target again inside the transaction that makes the change ([store.Store.Change]
// runs one at a time), checks the guards there, and writes its audit event in the same transaction. A refusal by a
// guard is audited as well, after the roll-back. What a change does to open sessions is decided here or in the
// store, never by a caller.
//
// Errors for people are *[InvalidError] (bad input, per field), *[ForbiddenError] (a guard), *[LinkError] (a one-time
// link that is of no use), *[store.ConflictError], [store.ErrNotFound] and [store.ErrStale]; those of the login and
// password packages pass through. Anything else is technical.
package account

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Kind says what kind of actor acts. The zero value is a person, who has to satisfy every guard.
type Kind int

// Kinds of actors.
const (
	// Person is someone with a session.
	Person Kind = iota
	// CommandLine is whoever may read and write the store's files: no session, no role, but the managed root and
	// the last administrator are protected from it, too.
	CommandLine
	// Startup is the server itself.
	Startup
)

// Actor is who acts.
type Actor struct {
	UserID    string // "" unless a person
	Name      string // username
	Kind      Kind
	SessionID string    // the session that the request came with; people act with a session only, never with a token
	AuthAt    time.Time // when the person last proved who they are: Session.AuthAt
	Client    login.Client
}

// FreshFor is how long after a sign-in or re-authentication a person may change other people's accounts.
const FreshFor = 10 * time.Minute

// Service changes accounts. The fields are set once; all methods are safe for concurrent use.
type Service struct {
	Store    store.Store
	Sessions *session.Manager // nil on the command line: nothing there goes on with a session
	Login    *login.Service   // nil on the command line: nobody proves a current password there
	Hasher   *password.Hasher
	Policy   password.Policy
	Title    string // of the site: no password may be it
	// Effective returns a user as a session may act: rights that a provider gave are bound to it. nil means that no
	// provider gives any.
	Effective func(*store.Session, store.User) store.User
	// EnvPrefix is before the names of the variables that make the administrator, such as "APP_": refusals name them.
	EnvPrefix string
	Clock     func() time.Time // nil means time.Now
	Log       *zap.Logger      // nil means none

	rateLimits rateLimits
}

func (s *Service) now() time.Time {
	if s.Clock == nil {
		return time.Now().UTC()
	}
	return s.Clock().UTC()
}

func (s *Service) log() *zap.Logger {
	if s.Log == nil {
		return zap.NewNop()
	}
	return s.Log
}

// auditName returns how the audit log and people name the actor.
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

// displayName returns the label for where nothing beside it tells a person from what has no account.
func (a Actor) displayName() string {
	if a.Kind == Person && a.Name != "" {
		return store.ByPerson(a.Name)
	}
	return a.auditName()
}

// change runs fn in one transaction of the store and adds the event that fn completes. When fn clears the event's
// action, nothing was changed and nothing is audited. A guard's refusal is audited on its own, after the roll-back.
func (s *Service) change(ctx context.Context, a Actor, e store.Event, fn func(tx store.Tx, e *store.Event) error) error {
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
	if errors.As(err, &refused) {
		return s.auditRefusal(ctx, a, e, refused, err)
	}
	return err
}

// auditTimeout bounds the write of a refusal, which goes on when the client has gone away meanwhile.
const auditTimeout = 5 * time.Second

// auditRefusal notes that a guard said no, and returns what to answer: err, or that there were too many of them. After
// some in a minute it notes only how many more there were.
func (s *Service) auditRefusal(ctx context.Context, a Actor, e store.Event, refused *ForbiddenError, err error) error {
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

// addEvent writes an event outside of any change. A failure is logged and changes nothing: the answer is a refusal anyway.
func (s *Service) addEvent(ctx context.Context, a Actor, e store.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if err := s.Store.AddEvents(ctx, a.Client.Stamp(e, s.now())); err != nil {
		s.log().Error("could not write the audit log", zap.String("action", e.Action), zap.Error(err))
	}
}

// setTarget names the user whom an event is about.
func setTarget(e *store.Event, u store.User) { e.TargetID, e.Target = u.ID, u.Username }
