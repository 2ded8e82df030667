package account

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/store"
)

// RotateOwn replaces a token of the actor by a new one of the same scope and length of life, of a level that both the
// old one and the session have. The old one is kept for keep, at most [MaxTokenKeep], and not longer than it would have
// lived; 0 ends it at once. Errors: store.ErrStale for a token that was rotated before.
func (s TokenActions) RotateOwn(ctx context.Context, a Actor, id string, keep time.Duration) (IssuedToken, error) {
	var level string
	return s.rotate(ctx, a, id, keep, &level, s.byOwnerAt(ctx, a, &level))
}

// Rotate is RotateOwn for tokens of service accounts, and, on the command line, of anybody.
func (s TokenActions) Rotate(ctx context.Context, a Actor, id string, keep time.Duration) (IssuedToken, error) {
	return s.rotate(ctx, a, id, keep, nil, func(tx store.Tx, e *store.Event, u store.User) error {
		if err := s.byAdmin(ctx, a)(tx, e, u); err != nil {
			return err
		}
		if u.ID == "" || a.Kind == CommandLine {
			return nil
		}
		return RequireService(u)
	})
}

// rotate replaces a token that allowed lets the actor replace, and which gets no higher level than most, which allowed
// sets; nil for the old one's.
func (s TokenActions) rotate(ctx context.Context, a Actor, id string, keep time.Duration, most *string,
	allowed tokenGuard,
) (IssuedToken, error) {
	var out IssuedToken
	err := s.change(ctx, a, store.Event{Action: "token.rotate"}, func(tx store.Tx, e *store.Event) error {
		old, u, err := tx.Token(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			u, err = store.User{}, nil
		}
		if err != nil {
			return err
		}
		if err := allowed(tx, e, u); err != nil {
			return err
		}
		switch now := s.now(); {
		case old.ID == "", old.Expired(now):
			return store.ErrNotFound
		case s.Tokens == nil:
			return refuse(CodeTokensOff, "refused.tokens_off")
		case keep < 0 || keep > MaxTokenKeep:
			return invalid("keep", "fault.token_keep")
		}
		next := s.successor(old, u, a)
		if most != nil && !assurance.Level(*most).Satisfies(assurance.Level(old.Level)) {
			next.Level = *most
		}
		out = issue(next, u)
		describeToken(e, out.Token)
		e.Details["replaces"] = old.ID
		return replaceToken(ctx, tx, old, s.now().Add(keep), keep, out.Token)
	})
	if err != nil {
		return IssuedToken{}, err
	}
	return out, nil
}

// replaceToken stores a token in place of an old one. One that ends at once is deleted: another Caddy's clock may be
// behind.
func replaceToken(ctx context.Context, tx store.Tx, old store.Token, ends time.Time, keep time.Duration,
	next store.Token,
) error {
	if keep > 0 {
		return tx.ReplaceToken(ctx, old.ID, ends, next)
	}
	if old.ReplacedBy != "" {
		return store.ErrStale
	}
	if _, err := tx.DeleteTokens(ctx, store.TokenSelector{ID: old.ID}); err != nil {
		return err
	}
	return tx.CreateToken(ctx, next)
}

// successor returns the token that replaces old: the same scope and level, and the same length of life from now, within
// today's limits.
func (s TokenActions) successor(old store.Token, u store.User, a Actor) store.Token {
	now, next := s.now(), old
	next.ID, next.CreatedBy, next.CreatedAt = store.NewID(now), a.displayName(), now
	next.LastUsedAt, next.LastUsedIP, next.ReplacedBy = time.Time{}, "", ""
	switch {
	case old.ExpiresAt.IsZero() && s.Tokens.NoExpiry.allows(u):
	case old.ExpiresAt.IsZero():
		next.ExpiresAt = now.Add(s.Tokens.MaxExpiry)
	default:
		next.ExpiresAt = now.Add(min(old.ExpiresAt.Sub(old.CreatedAt), s.Tokens.MaxExpiry))
	}
	return next
}
