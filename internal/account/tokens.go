package account

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// NoExpiry says whose tokens may never expire. The zero value is nobody's.
type NoExpiry int

// Whose tokens may never expire.
const (
	NoExpiryForNobody NoExpiry = iota
	NoExpiryForServices
	NoExpiryForAll
)

// allows reports whether a token of a user may never expire.
func (n NoExpiry) allows(u store.User) bool {
	return n == NoExpiryForAll || n == NoExpiryForServices && u.IsService()
}

// TokenLimits bound the tokens of programs.
type TokenLimits struct {
	Expiry    time.Duration // where none is asked for
	MaxExpiry time.Duration
	NoExpiry  NoExpiry
	PerUser   int // live tokens of one account
	// Device lets programs ask for a token that a person approves in a browser; see [DeviceActions].
	Device bool
}

// AllowNever reports whether a token of a user may never expire.
func (l TokenLimits) AllowNever(u store.User) bool { return l.NoExpiry.allows(u) }

// DefaultTokenLimits apply where the configuration sets none.
var DefaultTokenLimits = TokenLimits{Expiry: 90 * 24 * time.Hour, MaxExpiry: 366 * 24 * time.Hour, PerUser: 50}

const (
	// MaxTokenKeep is how long a replaced token may be kept at most.
	MaxTokenKeep = 7 * 24 * time.Hour

	maxTokenName  = 100 // characters
	maxTokenHosts = 20
	maxTokenPaths = 50
	maxTokenPath  = 500 // bytes: people read it before they let a program in
)

// TokenActions make, rotate and revoke tokens of programs. A program cannot: what it acts with is no session.
type TokenActions struct{ *core }

// tokenLevel returns the level of a token that is made in a session: two factors at most, as it can be stolen.
func (s TokenActions) tokenLevel(sess store.Session, u store.User) string {
	if s.levelOf(&sess, u).Satisfies(assurance.Two) {
		return string(assurance.Two)
	}
	return string(assurance.One)
}

// NewToken holds the fields of a new token.
type NewToken struct {
	Name    string
	Expires time.Duration // from now; 0 means the default
	Until   time.Time     // in place of Expires, unless zero
	Never   bool          // in place of both
	Hosts   []string
	Paths   []string // nil for all
	Methods store.TokenMethods
	// End is what is wrong with the end before it is a time or a duration, nil for nothing.
	End *FieldError
	// Unfetched is a token whose text is thrown away: see [store.Token.Fetched].
	Unfetched bool
}

// IssuedToken is a new token, and whose it is, so that nothing has to be looked up before it is shown: Text is a secret
// that is shown once and stored hashed.
type IssuedToken struct {
	store.Token
	Owner store.User
	Text  string
}

// CreateOwn creates a token of the actor, whose session has to meet OwnNeed: the token has its level. Errors:
// *[InvalidError] (name, expires_in, hosts, paths, methods), *[ForbiddenError] (tokens-off, token-limit,
// reauth-required, mfa-required).
func (s TokenActions) CreateOwn(ctx context.Context, a Actor, n NewToken) (IssuedToken, error) {
	return s.create(ctx, a, a.UserID, n, func(tx store.Tx, t *store.Token) (store.User, error) {
		return s.ownerOf(ctx, tx, a, t)
	})
}

// ownerOf returns the actor, whose session has to meet OwnNeed, as the owner of a token that is made in it.
func (s TokenActions) ownerOf(ctx context.Context, tx store.Reader, a Actor, t *store.Token) (store.User, error) {
	sess, u, err := s.requireFreshSession(ctx, tx, a)
	t.Level, t.Provider, t.Issuer, t.Subject = s.tokenLevel(sess, u), sess.Provider, sess.Issuer, sess.Subject
	if err != nil {
		return u, err
	}
	t.Claims, err = login.ClaimsForToken(ctx, tx, &sess)
	return u, err
}

// Create creates a token of a service account, or, on the command line, of anybody.
func (s TokenActions) Create(ctx context.Context, a Actor, userID string, n NewToken) (IssuedToken, error) {
	return s.create(ctx, a, userID, n, func(tx store.Tx, t *store.Token) (store.User, error) {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return store.User{}, err
		}
		u, err := tx.User(ctx, userID)
		switch {
		case err != nil:
		case a.Kind != CommandLine:
			err = RequireService(u)
		case !u.IsService():
			t.Level = string(assurance.One)
		}
		return u, err
	})
}

// Check returns what is wrong with the fields of a new token of a service account, before that account is made: an
// *[InvalidError], or nil.
func (s TokenActions) Check(n NewToken) error {
	if s.Tokens == nil {
		return refuse(CodeTokensOff, "refused.tokens_off")
	}
	var t store.Token
	return s.fill(&t, n, store.User{Kind: store.KindService})
}

// create creates a token for the user of an id, whom owner returns if the actor may.
func (s TokenActions) create(ctx context.Context, a Actor, userID string, n NewToken,
	owner func(store.Tx, *store.Token) (store.User, error),
) (IssuedToken, error) {
	var out IssuedToken
	err := s.change(ctx, a, store.Event{Action: "token.create", TargetID: userID},
		func(tx store.Tx, e *store.Event) error {
			t := store.Token{ID: store.NewID(s.now()), CreatedBy: a.displayName(), CreatedAt: s.now()}
			u, err := owner(tx, &t)
			if u.ID != "" {
				setTarget(e, u)
			}
			if err != nil {
				return err
			}
			if s.Tokens == nil {
				return refuse(CodeTokensOff, "refused.tokens_off")
			}
			if err := s.fill(&t, n, u); err != nil {
				return err
			}
			live, err := tx.CountTokens(ctx, u.ID, s.now())
			if err != nil {
				return err
			}
			if live >= s.Tokens.PerUser {
				return refuse(CodeTokenLimit, "refused.token_limit", "most", s.Tokens.PerUser)
			}
			out = issue(t, u)
			if n.Unfetched {
				out.Text, out.Hint = "", ""
			}
			describeToken(e, out.Token)
			return tx.CreateToken(ctx, out.Token)
		})
	if err != nil {
		return IssuedToken{}, err
	}
	return out, nil
}

// issue returns a token with a new text.
func issue(t store.Token, u store.User) IssuedToken {
	text := credential.New(u.IsService())
	t.UserID, t.Hash, t.Hint = u.ID, store.HashToken(text), credential.Hint(text)
	return IssuedToken{Token: t, Owner: u, Text: text}
}

// tokenGuard allows what is done to a token, which may not be there, and sets the event's target once the actor may
// know whose it is.
type tokenGuard func(tx store.Tx, e *store.Event, owner store.User) error

// byOwner allows the owner of a token, whose session has to meet OwnNeed. Other people's tokens are not found.
func (s TokenActions) byOwner(ctx context.Context, a Actor) tokenGuard {
	return s.byOwnerAt(ctx, a, new(string))
}

// byOwnerAt is byOwner, and sets level to that of the session.
func (s TokenActions) byOwnerAt(ctx context.Context, a Actor, level *string) tokenGuard {
	return func(tx store.Tx, e *store.Event, owner store.User) error {
		sess, u, err := s.requireFreshSession(ctx, tx, a)
		switch {
		case err != nil:
			return err
		case u.ID != owner.ID:
			return store.ErrNotFound
		}
		*level = s.tokenLevel(sess, u)
		setTarget(e, owner)
		return nil
	}
}

// byAdmin allows administrators, with a fresh sign-in.
func (s TokenActions) byAdmin(ctx context.Context, a Actor) tokenGuard {
	return func(tx store.Tx, e *store.Event, owner store.User) error {
		if err := s.requireFreshAdmin(ctx, tx, a); err != nil {
			return err
		}
		setTarget(e, owner)
		return nil
	}
}

// RevokeOwn revokes a token of the actor, and those that it replaced.
func (s TokenActions) RevokeOwn(ctx context.Context, a Actor, id string) error {
	return s.revoke(ctx, a, id, s.byOwner(ctx, a))
}

// Revoke revokes anybody's token, and those that it replaced.
func (s TokenActions) Revoke(ctx context.Context, a Actor, id string) error {
	return s.revoke(ctx, a, id, s.byAdmin(ctx, a))
}

func (s TokenActions) revoke(ctx context.Context, a Actor, id string, allowed tokenGuard) error {
	return s.change(ctx, a, store.Event{Action: "token.revoke"}, func(tx store.Tx, e *store.Event) error {
		t, u, err := tx.Token(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			u, err = store.User{}, nil // who may not see the others learns nothing
		}
		if err != nil {
			return err
		}
		if err := allowed(tx, e, u); err != nil {
			return err
		}
		if t.ID == "" {
			return store.ErrNotFound
		}
		describeToken(e, t)
		_, err = tx.DeleteTokens(ctx, store.TokenSelector{ID: id})
		return err
	})
}

// describeToken adds what a token is for to an event.
func describeToken(e *store.Event, t store.Token) {
	expires := "never"
	if !t.ExpiresAt.IsZero() {
		expires = t.ExpiresAt.Format(time.RFC3339)
	}
	for k, v := range map[string]string{
		"token": t.ID, "name": t.Name, "hosts": strings.Join(t.Hosts, " "), "paths": strings.Join(t.Paths, " "),
		"methods": string(t.Methods), "expires": expires,
	} {
		e.Details[k] = v
	}
}
