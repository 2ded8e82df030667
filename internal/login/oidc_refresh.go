package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	openTimeout    = 2 * time.Second // for the key, which is read once for each configuration
	refreshTimeout = 15 * time.Second
	refreshBackoff = 30 * time.Second // after a provider that could not be asked
	leaseLife      = refreshTimeout + 5*time.Second
	leasePoll      = 50 * time.Millisecond
)

// dueness is when a session's tokens have to be refreshed, and what else they tell. It is kept beside the session in the
// cache, so that a warm request costs one comparison.
type dueness struct {
	at       atomic.Int64 // ms; 0 for never
	allowed  atomic.Bool  // by the rules of this configuration
	verified bool         // the e-mail address, by the provider's word
	unread   bool         // what the provider gave could not be opened
}

// Counts judges whether a session may be used with this configuration: nil, or session.ErrNone. A provider that is not
// configured any more, or is another one under the same name, vouches for nobody, but the session stays, for another
// Caddy may know the provider. Where the rules refuse it now, it is over. Other errors are technical. A nil o is a
// configuration without any provider.
func (o *OIDC) Counts(ctx context.Context, l *session.Live) error {
	_, err := o.judge(ctx, l)
	return err
}

// judge is Counts; it answers what there is beside the session, nil for one that came through no provider.
func (o *OIDC) judge(ctx context.Context, l *session.Live) (*dueness, error) {
	switch {
	case l.Session.Provider == "":
		return nil, nil
	case o == nil:
		return nil, session.ErrNone
	}
	d, err := o.dueness(ctx, l)
	if err != nil {
		return nil, err
	}
	if !d.allowed.Load() {
		if err := o.stillAllowed(ctx, &l.Session, d); err != nil {
			return nil, err
		}
		d.allowed.Store(true)
	}
	return d, nil
}

// Fresh answers the session as the provider sees it, if it counts: when its tokens are due, they are refreshed first,
// once, however many requests and processes ask at the same time, and groups, names and roles follow. A provider that
// takes the sign-in back ends the session at this request: session.ErrNone. One that cannot be asked changes nothing.
func (o *OIDC) Fresh(ctx context.Context, token string, l *session.Live) (*session.Live, error) {
	d, err := o.judge(ctx, l)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return l, nil
	}
	at := d.at.Load()
	now := o.Service.Clock()
	if at == 0 || now.UnixMilli() < at {
		return l, nil
	}
	type outcome struct{ changed, ended bool }
	v, err, _ := o.flights.Do(l.Session.ID, func() (any, error) {
		// The request may go away; a refresh token that was sent has to be replaced all the same.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		defer cancel()
		changed, ended, err := o.refresh(bounded, &l.Session)
		return outcome{changed, ended}, err
	})
	out, _ := v.(outcome)
	switch {
	case err != nil:
		o.Service.Log.Warn("could not refresh a session; it goes on for now", zap.String("provider", l.Session.Provider), zap.Error(err))
		d.at.Store(now.Add(refreshBackoff).UnixMilli())
		return l, nil
	case out.ended:
		return nil, session.ErrNone
	case out.changed:
		return o.Service.Sessions.Resolve(ctx, token)
	default:
		d.at.Store(now.Add(refreshBackoff).UnixMilli())
		return l, nil
	}
}

// Judged answers nil for a session that goes on without the store if this configuration admitted it before, as Fresh
// does; otherwise it cannot be told whether it may, and the gate stays closed.
func (o *OIDC) Judged(l *session.Live) error {
	switch {
	case l.Session.Provider == "":
		return nil
	case o == nil:
		return session.ErrNone
	}
	known, _ := l.Known(o)
	if d, ok := known.(*dueness); ok && d.allowed.Load() {
		return nil
	}
	return fmt.Errorf("judging a session by what its provider said: %w", store.ErrUnavailable)
}

// dueness answers when a session is due. Tokens that cannot be opened are never due: there is nothing to refresh with.
// That the key could not be read is no such thing, and nothing is kept of it.
func (o *OIDC) dueness(ctx context.Context, l *session.Live) (*dueness, error) {
	if known, ok := l.Known(o); ok {
		if d, ok := known.(*dueness); ok {
			return d, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	d := new(dueness)
	t, err := o.Registry.Open(ctx, &l.Session)
	switch {
	case errors.Is(err, seal.ErrSealed):
		d.unread = true
		o.Service.Log.Warn("could not read the tokens of a session", zap.String("provider", l.Session.Provider), zap.Error(err))
	case err != nil:
		return nil, fmt.Errorf("reading the tokens of a session: %w", err)
	case t.Refresh != "" && !t.Due.IsZero():
		d.at.Store(t.Due.UnixMilli())
	}
	d.verified = t.EmailVerified
	kept, _ := l.Values(o, func(*session.Live) any { return d }).(*dueness)
	return kept, nil
}

// stillAllowed judges a session that this configuration sees for the first time by what its provider said last: a rule
// that was made stricter acts on the next request, not at the next sign-in. It answers session.ErrNone when the session
// does not count.
func (o *OIDC) stillAllowed(ctx context.Context, s *store.Session, d *dueness) error {
	cfg, ok := o.Registry.Config(s.Provider)
	switch {
	case !ok, cfg.Issuer != s.Issuer:
		return session.ErrNone
	case len(cfg.Allow) == 0:
		return nil
	}
	id, err := o.Service.Store.Identity(ctx, s.Issuer, s.Subject)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = &oidc.Error{Kind: oidc.Refused, Reason: "the identity was unlinked"}
	case err != nil:
		return fmt.Errorf("looking up an identity: %w", err)
	default:
		mail, _ := identifier.ParseEmail(id.Email) // none when it is no address
		err = cfg.Admit(&oidc.Person{
			Subject: id.Subject, Email: mail, EmailVerified: d.verified, Groups: identifier.ParseGroups(id.Groups),
		})
	}
	switch {
	case err == nil:
		return nil
	case d.unread: // not for want of a right: nothing is known, and so nothing is ended
		return session.ErrNone
	}
	if err := o.takenBack(ctx, s, err); err != nil {
		return err
	}
	return session.ErrNone
}

// refresh refreshes one session. changed: its row is another one now, whoever did it.
func (o *OIDC) refresh(ctx context.Context, s *store.Session) (changed, ended bool, err error) {
	mine, err := o.lease(ctx, s)
	if err != nil {
		return false, false, err
	}
	if !mine {
		return o.awaitOther(ctx, s)
	}
	t, err := o.Registry.Open(ctx, s)
	if err != nil {
		return false, false, err
	}
	p, ok, err := o.Registry.Refresh(ctx, s, t)
	cfg, known := o.Registry.Config(s.Provider)
	switch {
	case !ok || !known:
		return false, false, err
	case err == nil:
		o.warnIgnored(cfg.Name, p)
		err = cfg.Admit(p)
	}
	if err == nil {
		err = o.renewed(ctx, cfg, s, p)
	}
	switch kind := oidc.KindOf(err); {
	case err == nil:
		return true, false, nil
	case kind == oidc.Down, kind == "" && passes(err):
		return false, false, err
	default:
		// What cannot be applied at all will not be applied the next time either: with it, the session would keep for
		// good what the provider has taken away.
		return true, true, o.takenBack(ctx, s, err)
	}
}

// passes reports whether a failure says nothing about the person, and may be over when it is tried again.
func passes(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// lease makes this process the one that uses a refresh token: providers that rotate them take a second use for theft
// and end everything.
func (o *OIDC) lease(ctx context.Context, s *store.Session) (mine bool, err error) {
	sum := sha256.Sum256([]byte(s.Sealed))
	err = o.Service.Store.Change(ctx, func(tx store.Tx) (err error) {
		now := o.Service.Clock().UTC()
		mine, err = tx.Once(ctx, "oidc.refresh", hex.EncodeToString(sum[:]), now, now.Add(leaseLife))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("taking turns at a refresh: %w", err)
	}
	return mine, nil
}

// awaitOther waits for another process that refreshes the session, for a moment.
func (o *OIDC) awaitOther(ctx context.Context, s *store.Session) (changed, ended bool, err error) {
	tick := time.NewTicker(leasePoll)
	defer tick.Stop()
	for range int(3 * time.Second / leasePoll) {
		now, _, err := o.Service.Store.Session(ctx, s.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return true, true, nil
		case err != nil:
			return false, false, err
		case now.Sealed != s.Sealed:
			return true, false, nil
		}
		select {
		case <-ctx.Done():
			return false, false, ctx.Err()
		case <-tick.C:
		}
	}
	return false, false, nil
}

// renewed keeps new tokens and brings the account up to date.
func (o *OIDC) renewed(ctx context.Context, cfg *oidc.Config, s *store.Session, p *oidc.Person) error {
	sealed, err := o.Registry.Seal(ctx, p.Tokens, s.UserID, s.Issuer, s.Subject)
	if err != nil {
		return err
	}
	return o.Service.Store.Change(ctx, func(tx store.Tx) error {
		id, err := tx.Identity(ctx, p.Issuer, p.Subject)
		if errors.Is(err, store.ErrNotFound) || (err == nil && id.UserID != s.UserID) {
			return &oidc.Error{Kind: oidc.Refused, Reason: "the identity was unlinked"}
		}
		if err != nil {
			return err
		}
		if _, err := o.returning(ctx, tx, Client{}, cfg, p, id); err != nil {
			return err
		}
		return o.keep(ctx, tx, s, sealed)
	})
}

// keep writes new tokens to the session, or to the one that has replaced it meanwhile (a renewal after reauth takes
// the old tokens along): they would be lost, and the old ones are worth nothing any more.
func (o *OIDC) keep(ctx context.Context, tx store.Tx, s *store.Session, sealed string) error {
	id := s.ID
	err := tx.SetSessionSealed(ctx, id, s.Sealed, sealed)
	if errors.Is(err, store.ErrNotFound) {
		page, lerr := tx.Sessions(ctx, store.SessionQuery{UserID: s.UserID, Now: o.Service.Clock(), Limit: 1000})
		if lerr != nil {
			return lerr
		}
		for i := range page.Items {
			if page.Items[i].Sealed == s.Sealed {
				id = page.Items[i].ID
				err = tx.SetSessionSealed(ctx, id, s.Sealed, sealed)
			}
		}
	}
	if err != nil {
		return ignoreGone(err)
	}
	return tx.NoteChange(ctx, store.Change{Kind: store.ChangeSession, Subject: id})
}

func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// ignoreGone passes over a session that ended, or whose tokens somebody else replaced.
func ignoreGone(err error) error {
	if errors.Is(err, store.ErrStale) {
		return nil
	}
	return ignoreNotFound(err)
}

// takenBack ends a session whose sign-in the provider takes back.
func (o *OIDC) takenBack(ctx context.Context, s *store.Session, why error) error {
	o.Service.Log.Info("a sign-in through a provider does not count any more", zap.String("provider", s.Provider), zap.Error(why))
	err := o.Service.Store.Change(ctx, func(tx store.Tx) error {
		ended, err := tx.EndSessions(ctx, store.SessionSelector{ID: s.ID})
		if err != nil {
			return err
		}
		return o.noteEnded(ctx, tx, Client{}, s.Provider, "no longer vouched for or allowed: "+string(oidc.KindOf(why)), ended)
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}
