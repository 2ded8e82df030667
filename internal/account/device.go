package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// DeviceTokenLife is how long a token that was approved for a program lives at most.
const DeviceTokenLife = 12 * time.Hour

// Wrong user codes, per minute. With 1000 pending requests, a person who guesses all day hits one of somebody else's
// with a probability of 1 in 3500, and then lets a stranger's program in as themselves.
const (
	wrongCodes          = 5
	wrongCodesOfAddress = wrongCodes * addressFactor
	wrongCodesWindow    = time.Minute
)

// lastCall is how long before its end a code is no longer approved: the token would end before its program could come.
const lastCall = 2 * device.Interval

// What a program hears that polls for its token (RFC 8628, section 3.5). An unknown or used device code, and one of
// another program, is store.ErrNotFound.
var (
	ErrDevicePending = errors.New("nobody has decided about the program yet")
	ErrDeviceDenied  = errors.New("the program was denied, or the token that it was to get has been revoked")
	ErrDeviceExpired = errors.New("the program's codes have expired")
)

// ErrDeviceBusy means that as many requests of programs are pending as there may be, of all addresses together.
var ErrDeviceBusy = errors.New("too many programs wait for somebody to approve them")

// DeviceActions give tokens to programs whose owners approve them in a browser (RFC 8628).
//
// The token is made at the approval, as on the page of one's own tokens, and nobody knows its text. So whatever ends,
// bounds or lists tokens holds for it from then on. The program that fetches it gives it the text that counts.
type DeviceActions struct{ *core }

// DeviceRequest is what a program asks for. Client is what it calls itself.
type DeviceRequest struct {
	Client  string
	Hosts   []string
	Paths   []string // nil for all
	Methods store.TokenMethods
}

// IssuedDevice is a new request of a program, with its secrets.
type IssuedDevice struct {
	store.DeviceGrant
	DeviceCode string
	UserCode   string // without a dash
}

// Request notes what a program asks for, until somebody approves it. The program is a stranger: nothing is audited, and
// beyond the bounds nothing is written. Errors: *[InvalidError] (client_id, hosts, paths, methods), *[ForbiddenError]
// (tokens-off), *[login.ThrottledError] for the address, [ErrDeviceBusy].
func (s DeviceActions) Request(ctx context.Context, c login.Client, r DeviceRequest) (IssuedDevice, error) {
	now := s.now()
	g, err := s.newGrant(c, r, now)
	if err != nil {
		return IssuedDevice{}, err
	}
	if err := s.checkPending(ctx, s.Store, g.Origin, now); err != nil {
		return IssuedDevice{}, err
	}
	out := IssuedDevice{DeviceCode: store.NewToken()}
	g.Hash = store.HashToken(out.DeviceCode)
	err = s.Store.Change(ctx, func(tx store.Tx) error {
		if err := s.checkPending(ctx, tx, g.Origin, now); err != nil {
			return err
		}
		for range 3 { // two equal codes in a row are less likely than anything that could go wrong here
			out.UserCode = device.NewCode()
			g.CodeHash = store.HashToken(out.UserCode)
			if err := tx.CreateDeviceGrant(ctx, g); !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return ErrDeviceBusy
	})
	if err != nil {
		return IssuedDevice{}, err
	}
	out.DeviceGrant = g
	return out, nil
}

// newGrant checks what a program asks for.
func (s DeviceActions) newGrant(c login.Client, r DeviceRequest, now time.Time) (store.DeviceGrant, error) {
	if !s.on() {
		return store.DeviceGrant{}, refuse(CodeTokensOff, "refused.tokens_off")
	}
	var f fields
	switch fault := identifier.CheckClient(r.Client); fault {
	case "":
	case identifier.Long:
		f.add("client_id", "fault.too_long", "most", identifier.MaxClient)
	case identifier.Stacked:
		f.add("client_id", "fault.stacked")
	case identifier.Missing:
		f.add("client_id", "fault.client_missing")
	default:
		f.add("client_id", "fault.client_characters")
	}
	g := store.DeviceGrant{
		ID: store.NewID(now), Client: r.Client, Hosts: f.tokenHosts(r.Hosts), Paths: f.tokenPaths(r.Paths),
		Methods: f.tokenMethods(r.Methods), Site: c.Host, Origin: login.NetworkKey(c.IP), CreatedAt: now,
		ExpiresAt: now.Add(device.Lifetime), State: store.DevicePending,
	}
	if c.IP.IsValid() {
		g.IP = c.IP.String()
	}
	return g, f.err()
}

// on reports whether programs may ask at all.
func (s DeviceActions) on() bool { return s.Tokens != nil && s.Tokens.Device }

func (s DeviceActions) checkPending(ctx context.Context, r store.Reader, origin string, now time.Time) error {
	all, own, err := r.CountDeviceGrants(ctx, origin, now)
	switch {
	case err != nil:
		return fmt.Errorf("counting device grants: %w", err)
	case own >= device.MaxPendingOfAddress && origin != "":
		return &login.ThrottledError{Wait: wrongCodesWindow}
	case all >= device.MaxPending:
		return ErrDeviceBusy
	}
	return nil
}

// Lookup returns the pending request with a user code, as somebody with a fresh sign-in typed it. Each attempt is
// counted before its outcome is known, and taken back if the code is right, so that parallel guesses gain nothing.
// Errors: *[InvalidError] (user_code), *[ForbiddenError] (tokens-off, reauth-required), *[login.ThrottledError].
func (s DeviceActions) Lookup(ctx context.Context, a Actor, typed string) (store.DeviceGrant, error) {
	if !s.on() {
		return store.DeviceGrant{}, refuse(CodeTokensOff, "refused.tokens_off")
	}
	if _, _, err := s.requireFreshSession(ctx, s.Store, a); err != nil {
		return store.DeviceGrant{}, err
	}
	takeBack, err := s.countCode(ctx, a)
	if err != nil {
		return store.DeviceGrant{}, err
	}
	code, ok := device.ParseCode(typed)
	if !ok {
		return store.DeviceGrant{}, errNoCode()
	}
	g, err := s.Store.DeviceGrantByCode(ctx, store.HashToken(code))
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && g.ExpiresAt.Sub(s.now()) < lastCall:
		return store.DeviceGrant{}, errNoCode()
	case err != nil:
		return store.DeviceGrant{}, fmt.Errorf("looking a user code up: %w", err)
	case g.State != store.DevicePending:
		return store.DeviceGrant{}, errCodeDecided()
	}
	return g, takeBack()
}

func errNoCode() error      { return invalid("user_code", "fault.device_code") }
func errCodeDecided() error { return invalid("user_code", "fault.device_decided") }

// countCode counts an attempt at a user code, for the person and for the address.
func (s DeviceActions) countCode(ctx context.Context, a Actor) (takeBack func() error, err error) {
	limits := []struct {
		key  string
		most int
	}{{"device:" + a.UserID, wrongCodes}, {"device:" + login.ClientKey(a.Client.IP), wrongCodesOfAddress}}
	if !a.Client.IP.IsValid() {
		limits = limits[:1]
	}
	ctx, now := context.WithoutCancel(ctx), s.now() // all counts or none, even if the client disconnects in between
	counted := 0
	takeBack = func() error {
		for _, l := range limits[:counted] {
			if err := s.Store.UncountInWindow(ctx, l.key, now); err != nil {
				return fmt.Errorf("counting user codes: %w", err)
			}
		}
		return nil
	}
	for _, l := range limits {
		wait, err := s.Store.CountInWindow(ctx, l.key, l.most, wrongCodesWindow, now)
		if err != nil {
			return nil, fmt.Errorf("counting user codes: %w", err)
		}
		if wait > 0 {
			return nil, errors.Join(&login.ThrottledError{Wait: wait}, takeBack())
		}
		counted++
	}
	return takeBack, nil
}

// Approve makes a token of the actor for the program with a user code, which can fetch it once while its codes live.
// Errors: those of Lookup and of [TokenActions.CreateOwn].
func (s DeviceActions) Approve(ctx context.Context, a Actor, typed string) error {
	g, err := s.Lookup(ctx, a, typed)
	if err != nil {
		return err
	}
	// Until the program comes for it, the token lives no longer than the codes.
	n := NewToken{
		Name: g.Client, Hosts: g.Hosts, Paths: g.Paths, Methods: g.Methods,
		Expires: min(g.ExpiresAt.Sub(s.now()), s.Tokens.MaxExpiry), Unfetched: true,
	}
	tokens := TokenActions(s)
	_, err = tokens.create(ctx, a, a.UserID, n, func(tx store.Tx, t *store.Token) (store.User, error) {
		u, err := tokens.ownerOf(ctx, tx, a, t)
		if err != nil {
			return u, err
		}
		d := store.DeviceDecision{State: store.DeviceApproved, UserID: u.ID, TokenID: t.ID}
		if err := decide(ctx, tx, g, d, s.now()); err != nil {
			return u, err
		}
		e := store.Event{
			Action: "device.approve", ActorID: u.ID, Actor: u.Username, Outcome: store.Success, Details: deviceDetails(g, t.ID),
		}
		setTarget(&e, u)
		return u, tx.AddEvent(ctx, a.Client.Stamp(e, s.now()))
	})
	return err
}

// Deny refuses the program with a user code. Errors: those of Lookup.
func (s DeviceActions) Deny(ctx context.Context, a Actor, typed string) error {
	g, err := s.Lookup(ctx, a, typed)
	if err != nil {
		return err
	}
	e := store.Event{Action: "device.deny", Details: deviceDetails(g, "")}
	return s.change(ctx, a, e, func(tx store.Tx, e *store.Event) error {
		_, u, err := s.requireFreshSession(ctx, tx, a)
		if err != nil {
			return err
		}
		setTarget(e, u)
		return decide(ctx, tx, g, store.DeviceDecision{State: store.DeviceDenied, UserID: u.ID}, s.now())
	})
}

// decide records a decision, unless somebody was faster or the codes have expired meanwhile.
func decide(ctx context.Context, tx store.Tx, g store.DeviceGrant, d store.DeviceDecision, now time.Time) error {
	err := tx.DecideDeviceGrant(ctx, g.CodeHash, d, now)
	switch {
	case errors.Is(err, store.ErrStale):
		return errCodeDecided()
	case errors.Is(err, store.ErrNotFound):
		return errNoCode()
	}
	return err
}

// deviceDetails say in the audit log what asked, and from where.
func deviceDetails(g store.DeviceGrant, tokenID string) map[string]string {
	d := map[string]string{"client": g.Client, "site": g.Site, "asked_from": g.IP}
	if tokenID != "" {
		d["token"] = tokenID
	}
	return d
}

// Fetch returns the token of a program, with its owner, once: the text is made here and stored hashed. client is what
// the program calls itself, as it did before. Errors: [ErrDevicePending], [ErrDeviceDenied], [ErrDeviceExpired],
// store.ErrNotFound.
func (s DeviceActions) Fetch(ctx context.Context, c login.Client, deviceCode, client string,
) (IssuedToken, store.User, error) {
	if !store.ValidToken(deviceCode) {
		return IssuedToken{}, store.User{}, store.ErrNotFound
	}
	g, err := s.Store.DeviceGrant(ctx, store.HashToken(deviceCode))
	switch {
	case err != nil:
		return IssuedToken{}, store.User{}, err
	case g.Client != client, g.State == store.DeviceUsed:
		return IssuedToken{}, store.User{}, store.ErrNotFound
	case g.Expired(s.now()):
		return IssuedToken{}, store.User{}, ErrDeviceExpired
	case g.State == store.DevicePending:
		return IssuedToken{}, store.User{}, ErrDevicePending
	case g.State != store.DeviceApproved || !s.on():
		return IssuedToken{}, store.User{}, ErrDeviceDenied
	}
	return s.fetch(ctx, c, g)
}

// fetch gives the token of an approved request its text. The owner may have lost it since, with all other tokens.
func (s DeviceActions) fetch(ctx context.Context, c login.Client, g store.DeviceGrant,
) (out IssuedToken, owner store.User, err error) {
	a := Actor{Client: c}
	err = s.change(ctx, a, store.Event{Action: "device.fetch"}, func(tx store.Tx, e *store.Event) error {
		now := s.now()
		g, err := tx.TakeDeviceGrant(ctx, g.Hash, now)
		if err != nil {
			return err
		}
		t, u, err := tx.Token(ctx, g.TokenID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return ErrDeviceDenied
		case err != nil:
			return err
		case u.ID != g.UserID, !u.Active, u.Pending, u.IsService():
			return ErrDeviceDenied
		}
		text := credential.New(false)
		t.Hash, t.Hint = store.HashToken(text), credential.Hint(text)
		t.ExpiresAt = t.CreatedAt.Add(min(DeviceTokenLife, s.Tokens.MaxExpiry))
		if !t.ExpiresAt.After(now) {
			return ErrDeviceDenied
		}
		err = tx.SetTokenText(ctx, t.ID, t.Hash, t.Hint, t.ExpiresAt, now)
		if errors.Is(err, store.ErrNotFound) { // rotated, or expired
			return ErrDeviceDenied
		}
		setTarget(e, u)
		e.Details = deviceDetails(g, t.ID)
		e.Details["expires"] = t.ExpiresAt.Format(time.RFC3339)
		out, owner = IssuedToken{Token: t, Text: text}, u
		return err
	})
	if err != nil {
		return IssuedToken{}, store.User{}, err
	}
	return out, owner, nil
}
