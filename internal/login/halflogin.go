package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A sign-in with two steps has no session in between, only a half-login: a row, and a cookie that binds it to the
// browser and opens the pages of the second step alone. The transaction that starts the session takes it. It is worth
// nothing as soon as anything has changed that the first step was proved against.
const (
	verifyTTL = 5 * time.Minute
	enrollTTL = 15 * time.Minute // within store.EndedMarkTTL
	overTTL   = 10 * time.Minute // how long a browser is told that its half-login is over

	// StepCookie is the name, after Gatehouse's prefix, of the cookie with a half-login's token.
	StepCookie = "step"

	sealHalfLogin = "half-login"
)

// NextStep is what a sign-in goes on with in place of a session.
type NextStep struct {
	Token     string // for the step cookie
	Purpose   store.HalfLoginPurpose
	ExpiresAt time.Time
}

// TTL returns how long the step cookie lasts: somewhat longer than the half-login, so that somebody who was too slow is
// told so, and need not type the name again.
func (n NextStep) TTL(now time.Time) time.Duration {
	return max(time.Second, n.ExpiresAt.Sub(now)) + overTTL
}

// halfLoginData is what the first step has proved, kept until the second.
type halfLoginData struct {
	Options SignInOptions `json:"options"`
	DueAt   time.Time     `json:"due_at"` // until when a factor need not be added
	// Of the password; see Proof.
	VisibleKey string `json:"visible_key"`
	HiddenKey  string `json:"hidden_key"`
	Device     string `json:"device"`
	Rehash     string `json:"rehash"`
}

// HalfLoginState is a half-login for the pages of the second step.
type HalfLoginState struct {
	store.HalfLogin
	User   store.User
	Return string // as [SignInOptions].Return
	Method string // of the first step
	DueAt  time.Time

	data halfLoginData
}

// beginHalfLogin inserts a half-login in the transaction of the first step.
func (s *Service) beginHalfLogin(ctx context.Context, tx store.Tx, c Client, h *store.HalfLogin) error {
	known, err := s.knownDevice(ctx, tx, c, h.UserID)
	if err != nil {
		return err
	}
	h.Browser = known
	return tx.CreateHalfLogin(ctx, *h)
}

// knownDevice returns the hash of the request's browser if it is known for a user, or "".
func (s *Service) knownDevice(ctx context.Context, r store.Reader, c Client, userID string) (string, error) {
	for _, token := range c.Devices {
		hash := store.HashToken(token)
		known, err := r.KnownDevice(ctx, hash, userID)
		if err != nil {
			return "", fmt.Errorf("looking up a browser: %w", err)
		}
		if known {
			return hash.String(), nil
		}
	}
	return "", nil
}

// newHalfLogin returns a half-login that is not stored yet, and its token. It is made outside of the transaction of the
// first step: sealing may have to make a key.
func (s *Service) newHalfLogin(ctx context.Context, c Client, p Proof, via SignInOptions,
	next store.HalfLoginPurpose, due time.Time,
) (token string, h store.HalfLogin, err error) {
	now := s.Clock().UTC()
	token = store.NewToken()
	h = store.HalfLogin{
		ID: store.NewID(now), Hash: store.HashToken(token), UserID: p.User.ID, Purpose: next, Epoch: p.User.Epoch,
		Password: passwordFingerprint(p.User), Host: c.Host, CreatedAt: now, ExpiresAt: now.Add(enrollTTL),
	}
	if next == store.HalfLoginVerify {
		h.ExpiresAt = now.Add(verifyTTL)
	}
	via.Check = nil
	plain, err := json.Marshal(halfLoginData{
		Options: via, DueAt: due,
		VisibleKey: p.attempt.visibleKey, HiddenKey: p.attempt.hiddenKey, Device: p.attempt.device, Rehash: p.rehash,
	})
	if err == nil {
		h.Data, err = s.Sealer.Seal(ctx, plain, sealHalfLogin, h.ID)
	}
	if err != nil {
		return "", store.HalfLogin{}, fmt.Errorf("sealing a half-login: %w", err)
	}
	return token, h, nil
}

func passwordFingerprint(u store.User) string {
	if u.PasswordHash == "" {
		return ""
	}
	return store.HashToken(u.PasswordHash).String()
}

// HalfLogin returns the half-login of a step cookie, as far as it can go on. Errors: [ErrNoHalfLogin],
// *[HalfLoginOverError]; any other is technical.
func (s *Service) HalfLogin(ctx context.Context, token string) (HalfLoginState, error) {
	if !store.ValidToken(token) {
		return HalfLoginState{}, ErrNoHalfLogin
	}
	h, u, err := s.Store.HalfLogin(ctx, store.HashToken(token))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return HalfLoginState{}, &HalfLoginOverError{}
	case err != nil:
		return HalfLoginState{}, fmt.Errorf("looking up a half-login: %w", err)
	}
	st := HalfLoginState{HalfLogin: h, User: u}
	plain, err := s.Sealer.Open(ctx, h.Data, sealHalfLogin, h.ID)
	if err == nil {
		err = json.Unmarshal(plain, &st.data)
	}
	if err != nil { // of another version, or sealed by a key that is gone
		s.Log.Info("a sign-in cannot go on: what it began with cannot be read", zap.Error(err))
		return HalfLoginState{}, &HalfLoginOverError{Username: u.Username}
	}
	st.Return, st.Method, st.DueAt = st.data.Options.Return, st.data.Options.Method, st.data.DueAt
	if !s.canGoOn(h, u) {
		return HalfLoginState{}, &HalfLoginOverError{Username: u.Username, Return: st.Return}
	}
	return st, nil
}

// canGoOn reports whether nothing has changed that the first step was proved against. Whether the account is active is
// asked last, by whoever starts the session.
func (s *Service) canGoOn(h store.HalfLogin, u store.User) bool {
	return h.UserID == u.ID && s.Clock().Before(h.ExpiresAt) && h.Epoch == u.Epoch && h.Password == passwordFingerprint(u)
}

// CancelHalfLogin ends a half-login: the person starts again.
func (s *Service) CancelHalfLogin(ctx context.Context, token string) error {
	if !store.ValidToken(token) {
		return nil
	}
	return s.endHalfLogin(ctx, store.HashToken(token))
}

// endHalfLogin ends a half-login before its time. Tokens of a provider that came with it are revoked, as those of a
// session are.
func (s *Service) endHalfLogin(ctx context.Context, hash store.TokenHash) error {
	held := s.tokensOfHalfLogin(ctx, hash)
	ended := false
	err := s.Store.Change(ctx, func(tx store.Tx) error {
		ended = false
		if _, err := tx.TakeHalfLogin(ctx, hash, s.Clock()); err != nil {
			return ignoreNotFound(err)
		}
		if ended = held.Sealed != "" && s.revoke != nil; !ended || held.SID == "" {
			return nil
		}
		live, err := tx.Sessions(ctx, store.SessionQuery{UserID: held.UserID, Now: s.Clock().UTC(), Limit: 1000})
		ended = !anySameAtProvider(live.Items, &held)
		return err
	})
	if err != nil {
		return fmt.Errorf("ending a half-login: %w", err)
	}
	if ended {
		s.revoke([]store.Session{held})
	}
	return nil
}

// tokensOfHalfLogin returns the tokens that a half-login holds, as those of a session that has ended. It is read before
// the transaction that ends it; what cannot be read holds none.
func (s *Service) tokensOfHalfLogin(ctx context.Context, hash store.TokenHash) store.Session {
	h, u, err := s.Store.HalfLogin(ctx, hash)
	if err != nil {
		return store.Session{}
	}
	var d halfLoginData
	plain, err := s.Sealer.Open(ctx, h.Data, sealHalfLogin, h.ID)
	if err != nil || json.Unmarshal(plain, &d) != nil {
		return store.Session{}
	}
	via := d.Options
	return store.Session{
		ID: h.ID, UserID: u.ID, Provider: via.Provider, Issuer: via.Issuer, Subject: via.Subject, SID: via.SID,
		Sealed: via.Sealed,
	}
}

// finishHalfLogin takes a half-login and starts its session, in the transaction of the last step. methods are those
// that the step has proved; without any, the level stays that of the first step.
func (s *Service) finishHalfLogin(ctx context.Context, tx store.Tx, c Client, st HalfLoginState, methods []string,
	out *SignedIn,
) error {
	h, err := tx.TakeHalfLogin(ctx, st.Hash, s.Clock())
	if errors.Is(err, store.ErrNotFound) {
		return &HalfLoginOverError{Username: st.User.Username, Return: st.Return}
	}
	if err != nil {
		return err
	}
	u, err := tx.User(ctx, h.UserID)
	if err != nil {
		return err
	}
	via := st.data.Options
	if err := s.checkHalfLogin(ctx, tx, h, u, via); err != nil {
		return err
	}
	p := Proof{
		User:    u,
		attempt: attempt{visibleKey: st.data.VisibleKey, hiddenKey: st.data.HiddenKey, device: st.data.Device},
		rehash:  st.data.Rehash,
	}
	if p.ofPassword() && !s.Passwords.Of(u) {
		return &HalfLoginOverError{Username: u.Username, Return: st.Return}
	}
	if !u.Active || u.Pending {
		return &InactiveError{Pending: u.Pending}
	}
	via.Methods = via.Methods.With(methods...)
	if len(methods) > 0 {
		via.AuthAt, via.proved = s.Clock().UTC(), true
	}
	if assurance.Of(methods...).ProvesFactor() {
		via.MFAAt = s.Clock().UTC()
	}
	if err := s.enter(ctx, tx, c, p, u, via, out); err != nil {
		return err
	}
	return s.trustBrowser(ctx, tx, c, h, u, methods, out)
}

// checkHalfLogin returns an error if what the first step has proved no longer holds.
func (s *Service) checkHalfLogin(ctx context.Context, tx store.Tx, h store.HalfLogin, u store.User,
	via SignInOptions,
) error {
	over := &HalfLoginOverError{Username: u.Username, Return: via.Return}
	if !s.canGoOn(h, u) {
		return over
	}
	ended, err := tx.Marked(ctx, store.MarkEnded, store.EndedAll, h.CreatedAt.Add(store.EndedMarkTTL))
	if err == nil && !ended && via.Provider != "" {
		var id store.Identity
		id, err = tx.Identity(ctx, via.Issuer, via.Subject)
		unknown := errors.Is(err, store.ErrNotFound)
		if unknown && !via.Link || err == nil && id.UserID != u.ID {
			return over
		}
		if err == nil || unknown {
			ended, err = loggedOut(ctx, tx, &oidc.Claims{Issuer: via.Issuer, Sub: via.sub(), SID: via.SID}, h.CreatedAt)
		}
	}
	if err == nil && ended {
		return over
	}
	return err
}

// sub returns the sub of the ID token of a sign-in.
func (o SignInOptions) sub() string {
	if o.Sub != "" {
		return o.Sub
	}
	return o.Subject
}
