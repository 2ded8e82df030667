package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Lifetimes of one-time links.
const (
	DefaultLinkTTL = 72 * time.Hour // invitations and resets
	SetupLinkTTL   = 24 * time.Hour
	maxLinkTTL     = 30 * 24 * time.Hour
	minLinkTTL     = time.Minute
)

// IssuedLink is a new one-time link. Token is a secret and is stored nowhere.
type IssuedLink struct {
	Token     string
	ExpiresAt time.Time
}

// Path returns the path of the link below a prefix such as "/_auth".
func (l IssuedLink) Path(prefix string) string { return prefix + "/link/" + l.Token }

// LinkState says whether a link can be used.
type LinkState string

// States of links.
const (
	LinkValid    LinkState = "valid"
	LinkUsed     LinkState = "used"
	LinkExpired  LinkState = "expired"
	LinkCanceled LinkState = "canceled" // withdrawn, replaced by a newer one, or its purpose is void
	LinkUnknown  LinkState = "unknown"
)

// LinkInfo is what the holder of a link may know about it.
type LinkInfo struct {
	Use       LinkUse
	ID        string // of the link; "" for an unknown one
	Purpose   store.LinkPurpose
	UserID    string // "" for set-up links
	Username  string // "" for set-up links
	Invited   bool   // the account is new: it has had no password, and nobody has signed in to it
	CreatedBy string
	ExpiresAt time.Time
	UsedAt    time.Time
	State     LinkState
}

// expires checks the lifetime asked for; 0 means the default.
func (f *fields) expires(d time.Duration) {
	if d != 0 && (d < minLinkTTL || d > maxLinkTTL) {
		f.add("expires", "fault.expires")
	}
}

// createLink creates a one-time link inside tx.
func (s *core) createLink(ctx context.Context, tx store.Tx, a Actor, p store.LinkPurpose, userID string,
	life time.Duration, end bool,
) (*IssuedLink, error) {
	if life == 0 {
		life = DefaultLinkTTL
	}
	now := s.now()
	out := IssuedLink{Token: store.NewToken(), ExpiresAt: now.Add(life)}
	err := tx.CreateLink(ctx, store.Link{
		ID: store.NewID(now), Hash: store.HashToken(out.Token), Purpose: p, UserID: userID,
		CreatedBy: a.displayName(), EndSessions: end, CreatedAt: now, ExpiresAt: out.ExpiresAt,
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// IssueSetupLink creates the link for setting up the first administrator. It is refused (setup-done) if there is an
// active administrator.
func (s *Service) IssueSetupLink(ctx context.Context) (IssuedLink, error) {
	var link *IssuedLink
	a := Actor{Kind: Startup}
	event := store.Event{Action: "link.create", Details: map[string]string{"purpose": string(store.LinkSetup)}}
	err := s.change(ctx, a, event, func(tx store.Tx, _ *store.Event) error {
		open, err := setupOpen(ctx, tx)
		if err != nil {
			return err
		}
		if !open {
			return refuse(CodeSetupDone, "refused.setup_done")
		}
		link, err = s.createLink(ctx, tx, a, store.LinkSetup, "", SetupLinkTTL, false)
		return err
	})
	if err != nil {
		return IssuedLink{}, err
	}
	return *link, nil
}

// setupOpen reports whether there is no active administrator.
func setupOpen(ctx context.Context, r store.Reader) (bool, error) {
	admins, err := r.ActiveAdmins(ctx, 1)
	if err != nil {
		return false, err
	}
	return len(admins) == 0, nil
}

// LinkStatus returns the state of a link without using it. An unknown or malformed token is a state, not an error.
func (s *Service) LinkStatus(ctx context.Context, token string) (LinkInfo, error) {
	info, _, err := s.lookUpLink(ctx, token)
	return info, err
}

// lookUpLink returns the state of a link, and its user.
func (s *Service) lookUpLink(ctx context.Context, token string) (LinkInfo, store.User, error) {
	unknown := LinkInfo{State: LinkUnknown}
	if !store.ValidToken(token) {
		return unknown, store.User{}, nil
	}
	l, err := s.Store.Link(ctx, store.HashToken(token))
	if errors.Is(err, store.ErrNotFound) {
		return unknown, store.User{}, nil
	}
	if err != nil {
		return unknown, store.User{}, fmt.Errorf("looking up a link: %w", err)
	}
	info := LinkInfo{
		ID: l.ID, Purpose: l.Purpose, UserID: l.UserID, CreatedBy: l.CreatedBy, ExpiresAt: l.ExpiresAt,
		UsedAt: l.UsedAt,
	}
	var u store.User
	if l.UserID != "" {
		u, err = s.Store.User(ctx, l.UserID)
		if errors.Is(err, store.ErrNotFound) {
			return unknown, store.User{}, nil
		}
		if err != nil {
			return unknown, store.User{}, fmt.Errorf("looking up the user of a link: %w", err)
		}
		info.Username = u.Username
		info.Invited = u.PasswordHash == "" && u.LastLoginAt.IsZero()
	}
	info.State, info.Use = s.linkState(l), s.linkUse(l, u)
	if info.State == LinkValid {
		if info.State, err = usable(ctx, s.Store, l.Purpose, u); err != nil {
			return unknown, store.User{}, err
		}
	}
	return info, u, nil
}

// linkState returns the state of a link, regardless of its purpose.
func (s *Service) linkState(l store.Link) LinkState {
	switch {
	case !l.UsedAt.IsZero():
		return LinkUsed
	case !l.CancelledAt.IsZero():
		return LinkCanceled
	case !s.now().Before(l.ExpiresAt):
		return LinkExpired
	default:
		return LinkValid
	}
}

// usable checks the purpose of a link: it is void if there is an administrator already, or if the account is inactive
// or managed. A link must not bypass a deactivation.
func usable(ctx context.Context, r store.Reader, p store.LinkPurpose, u store.User) (LinkState, error) {
	switch p {
	case store.LinkPassword:
		if u.ID == "" || !u.Active || u.Pending || u.Managed {
			return LinkCanceled, nil
		}
		return LinkValid, nil
	case store.LinkSetup:
		open, err := setupOpen(ctx, r)
		if err != nil {
			return LinkUnknown, fmt.Errorf("looking for an administrator: %w", err)
		}
		if !open {
			return LinkCanceled, nil
		}
		return LinkValid, nil
	default:
		return LinkUnknown, nil
	}
}

// LinkForm is the form on the page of a link. Username, Email and Name are for set-up links only.
type LinkForm struct {
	Username string
	Email    string
	Name     string
	Password string
}

// RedeemLink redeems a link: it sets the password of its user, or creates the first administrator. Where passwords are
// not accepted it sets none, and is refused if the link does not sign in either. Of several concurrent callers one
// succeeds; an invalid form does not use up the link. The returned proof is for login.Service.SignIn with method
// "link". A link that cannot be used is a *[LinkError].
func (s *Service) RedeemLink(ctx context.Context, c login.Client, token string, form LinkForm) (login.Proof, error) {
	info, u, err := s.lookUpLink(ctx, token)
	if err != nil {
		return login.Proof{}, err
	}
	if info.State != LinkValid {
		return login.Proof{}, &LinkError{info.State}
	}
	var f fields
	if info.Purpose == store.LinkSetup {
		u = s.firstAdmin(&f, form)
	}
	hash, err := s.linkPassword(ctx, &f, info.Use, form.Password, u)
	if err != nil {
		return login.Proof{}, err
	}
	a := Actor{UserID: u.ID, Name: u.Username, Client: c}
	event := store.Event{
		Action: "link.use", TargetID: u.ID, Target: u.Username,
		Details: map[string]string{"purpose": string(info.Purpose)},
	}
	err = s.change(ctx, a, event, func(tx store.Tx, e *store.Event) error {
		return s.redeem(ctx, tx, a, e, token, info, &u, hash)
	})
	if err != nil {
		return login.Proof{}, err
	}
	return login.Proof{User: u}, nil
}

// redeem takes the link from the store and applies it. Everything is checked again: it may have changed while the
// password was being hashed.
func (s *Service) redeem(ctx context.Context, tx store.Tx, a Actor, e *store.Event, token string, info LinkInfo,
	u *store.User, hash string,
) error {
	l, err := tx.TakeLink(ctx, store.HashToken(token), s.now())
	if errors.Is(err, store.ErrNotFound) {
		return &LinkError{LinkUsed}
	}
	if err != nil {
		return err
	}
	p := info.Purpose
	if l.Purpose != p {
		return &LinkError{LinkUnknown}
	}
	if p == store.LinkPassword {
		if *u, err = tx.User(ctx, l.UserID); err != nil {
			return err
		}
	}
	state, err := usable(ctx, tx, p, *u)
	if err != nil {
		return err
	}
	if state != LinkValid {
		return &LinkError{state}
	}
	// The user of a set-up link is the account to be made.
	if use := s.linkUse(l, *u); use != info.Use || use == LinkToProviders {
		return errPasswordsOff()
	}
	if p == store.LinkSetup {
		describeUser(e, "after", *u)
		if err := s.insert(ctx, tx, u, hash, false); err != nil {
			return err
		}
		_, err = tx.CancelLinks(ctx, store.LinkSetup, "")
		return err
	}
	return s.redeemForUser(ctx, tx, a, e, l, u, hash)
}

// redeemForUser sets the chosen password, if the link sets one. Identities that were linked since the link was created
// are unlinked: anyone who knew the old password could have linked one to keep access.
func (s *Service) redeemForUser(
	ctx context.Context, tx store.Tx, a Actor, e *store.Event, l store.Link, u *store.User, hash string,
) error {
	setTarget(e, *u)
	if hash == "" {
		e.Details["way"] = "sign-in"
	} else if err := s.setChosen(ctx, tx, *u, hash); err != nil {
		return err
	}
	if err := login.ClearAttempts(ctx, tx, *u); err != nil {
		return err
	}
	_, err := s.recoverAccount(ctx, tx, a, e, *u, login.Recovery{KeepSessions: !l.EndSessions, LinkedSince: l.CreatedAt})
	if err != nil {
		return err
	}
	*u, err = tx.User(ctx, u.ID)
	return err
}

// firstAdmin validates the account that a set-up link creates.
func (s *Service) firstAdmin(f *fields, form LinkForm) store.User {
	now := s.now()
	u := store.User{
		ID: store.NewID(now), Username: f.username(form.Username), Email: f.email(form.Email), Name: f.name(form.Name),
		Role: store.RoleAdmin, RoleGranted: true, Active: true, Local: true, Origin: store.OriginLocal,
		CreatedAt: now, UpdatedAt: now,
	}
	u.EmailVerified = u.Email != ""
	return u
}
