package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Purposes of a flow.
const (
	PurposeLogin  = "login"  // a user signs in
	PurposeLink   = "link"   // a signed-in user links an identity
	PurposeStepUp = "reauth" // step-up: a signed-in user authenticates again
	purposeForm   = "form"   // no flow: a posted response, stored for the redirect that follows
)

// FlowTTL is how long a user may take to sign in at the provider.
const FlowTTL = 10 * time.Minute

// formTTL is how long a posted response is stored: the browser follows the redirect at once.
const formTTL = 2 * time.Minute

// MaxFlows is how many flows one browser may have at once; the oldest are dropped.
const MaxFlows = 20

// FlowOptions holds the parameters of a new flow.
type FlowOptions struct {
	Purpose     string // PurposeLogin, PurposeLink or PurposeStepUp
	UserID      string // the user who links or steps up
	RedirectURI string // our callback, absolute
	ReturnTo    string // where to redirect at the end; validated again then
	Remember    bool
	SessionID   string // session of the browser that begins the flow, "" for none
	// CrossSite marks a flow that another site's page started (login CSRF): it never replaces another user's session.
	CrossSite bool
	Hint      string // what was typed as username; sent if the configuration says login_hint
	// Limit is called before a request with the client's credentials; its error is returned. It may be nil.
	Limit func() error
}

// AuthRequest is an authorization request: where to redirect the browser, and the cookie to set.
type AuthRequest struct {
	URL    string // of the authorization endpoint, with parameters
	Cookie FlowCookie
}

// FlowCookie binds a flow to the browser that began it. Each flow has its own, so that several tabs can sign in at
// once.
type FlowCookie struct{ Name, Value string }

// FlowCookiePrefix is the prefix of the names of flow cookies.
const FlowCookiePrefix = "flow-"

// FlowCookieName returns the name of the flow cookie for a state.
func FlowCookieName(state string) string { return cookieNameFor(store.HashToken(state)) }

// cookieNameFor derives the name from the state, so that a callback finds its cookie.
func cookieNameFor(hash store.TokenHash) string { return FlowCookiePrefix + hash.String()[:12] }

// FlowCookiesToDrop returns the names of the flow cookies to delete, oldest first, to make room for one more. have maps
// names to values.
func FlowCookiesToDrop(have map[string]string) []string {
	var drop []string
	for len(have)-len(drop) >= MaxFlows {
		oldest, at := "", int64(0)
		for name, value := range have {
			began := cookieTime(value)
			if !slices.Contains(drop, name) && (oldest == "" || began < at || (began == at && name < oldest)) {
				oldest, at = name, began
			}
		}
		drop = append(drop, oldest)
	}
	return drop
}

// cookieTime returns when a flow cookie was created, or 0 for a value that is not ours.
func cookieTime(value string) int64 {
	began, _, _ := strings.Cut(value, ".")
	t, err := strconv.ParseInt(began, 36, 64)
	if err != nil {
		return 0
	}
	return t
}

// flowData is stored, sealed, from the beginning of a flow to its end.
type flowData struct {
	Nonce       string `json:"n"`
	Verifier    string `json:"v"`
	RedirectURI string `json:"r"`
	ReturnTo    string `json:"t,omitempty"`
	Issuer      string `json:"i"`
	Remember    bool   `json:"m,omitempty"`
	SessionID   string `json:"s,omitempty"`
	CrossSite   bool   `json:"x,omitempty"`
}

const flowPurpose = "flow"

// Begin begins a flow at a provider. Errors are *[Error] (Unavailable), [ErrNoProvider], or technical.
func (g *Registry) Begin(ctx context.Context, name string, s FlowOptions) (AuthRequest, error) {
	p := g.names[name]
	if p == nil {
		return AuthRequest{}, ErrNoProvider
	}
	a, err := g.begin(ctx, p, s)
	if KindOf(err) != "" {
		p.remote.recordResult(p.Name, g.now(), err)
	}
	return a, err
}

func (g *Registry) begin(ctx context.Context, p *provider, s FlowOptions) (AuthRequest, error) {
	m, err := p.remote.metadata(ctx, metadataTTL)
	if err == nil && p.pushes(m) && s.Limit != nil {
		err = s.Limit()
	}
	if err != nil {
		return AuthRequest{}, err
	}
	now := g.now().UTC()
	state := store.NewToken()
	hash := store.HashToken(state)
	cookie := FlowCookie{Name: cookieNameFor(hash), Value: strconv.FormatInt(now.UnixMilli(), 36) + "." + store.NewToken()}
	d := flowData{
		Nonce: store.NewToken(), Verifier: oauth2.GenerateVerifier(), RedirectURI: s.RedirectURI, ReturnTo: s.ReturnTo,
		Issuer: p.Issuer, Remember: s.Remember, SessionID: s.SessionID, CrossSite: s.CrossSite,
	}
	data, err := g.sealJSON(ctx, d, flowPurpose, hash.String())
	if err != nil {
		return AuthRequest{}, err
	}
	err = g.store.Change(ctx, func(tx store.Tx) error {
		return tx.CreateFlow(ctx, store.Flow{
			Hash: hash, Browser: store.HashToken(cookie.Value), Provider: p.Name, UserID: s.UserID, Purpose: s.Purpose,
			Data: data, CreatedAt: now, ExpiresAt: now.Add(FlowTTL),
		})
	})
	if err != nil {
		return AuthRequest{}, fmt.Errorf("storing a flow: %w", err)
	}
	address, err := p.authURL(ctx, m, s, &d, state)
	if err != nil {
		return AuthRequest{}, err
	}
	return AuthRequest{URL: address, Cookie: cookie}, nil
}

// AuthResponse is an authorization response: the parameters of the redirect from the provider.
type AuthResponse struct {
	State       string `json:"s,omitempty"`
	Code        string `json:"c,omitempty"`
	Error       string `json:"e,omitempty"`
	Description string `json:"d,omitempty"` // cleaned, for the log; never shown to the user
	Issuer      string `json:"i,omitempty"`
}

// maxParam limits each parameter of a response, in bytes.
const maxParam = 4 << 10

// ParseAuthResponse reads the parameters of an authorization response. A duplicate parameter, and a code together with
// an error, are refused: otherwise one parser could check a value and another one use a different value.
func ParseAuthResponse(v url.Values) (AuthResponse, error) {
	var a AuthResponse
	for name, to := range map[string]*string{
		"state": &a.State, "code": &a.Code, "error": &a.Error, "iss": &a.Issuer, "error_description": &a.Description,
	} {
		values := v[name]
		if len(values) > 1 || (len(values) == 1 && len(values[0]) > maxParam) {
			return AuthResponse{}, fail(Invalid, "the parameter %s is duplicated or too long", name)
		}
		if len(values) == 1 {
			*to = values[0]
		}
	}
	switch {
	case !store.ValidToken(a.State):
		return AuthResponse{}, fail(Expired, "the response belongs to no flow: its state is missing or malformed")
	case (a.Code == "") == (a.Error == ""):
		return AuthResponse{}, fail(Invalid, "the response has neither a code nor an error, or both")
	}
	if a.Description = Clean(a.Description, 200); a.Error != "" {
		a.Error = orDefault(Clean(a.Error, 80), "unknown") // cleaning must not turn an error into none
	}
	return a, nil
}

// SaveResponse stores a posted response (response_mode form_post) for the browser's next request and returns its id. A
// POST from the provider's page is cross-site and comes without our cookies (SameSite=Lax); the redirect that follows
// is a GET and has them. This keeps the parameters out of URLs and logs.
func (g *Registry) SaveResponse(ctx context.Context, name string, a AuthResponse) (string, error) {
	if g.names[name] == nil {
		return "", ErrNoProvider
	}
	id, now := store.NewToken(), g.now().UTC()
	hash := store.HashToken(id)
	data, err := g.sealJSON(ctx, a, purposeForm, hash.String())
	if err != nil {
		return "", err
	}
	err = g.store.Change(ctx, func(tx store.Tx) error {
		return tx.CreateFlow(ctx, store.Flow{
			Hash: hash, Browser: store.HashToken(a.State), Provider: name, Purpose: purposeForm, Data: data,
			CreatedAt: now, ExpiresAt: now.Add(formTTL),
		})
	})
	if err != nil {
		return "", fmt.Errorf("storing a posted response: %w", err)
	}
	return id, nil
}

// TakeResponse returns the response that was stored under id, once.
func (g *Registry) TakeResponse(ctx context.Context, name, id string) (AuthResponse, error) {
	var a AuthResponse
	if !store.ValidToken(id) {
		return a, fail(Expired, "the id of the posted response is malformed")
	}
	f, err := g.takeFlow(ctx, id)
	if err != nil {
		return a, err
	}
	if f.Purpose != purposeForm || f.Provider != name {
		return a, fail(Expired, "the posted response was for another callback")
	}
	err = g.openJSON(ctx, f.Data, purposeForm, f.Hash.String(), &a)
	return a, err
}

// CallbackResult is the result of a flow. With an error, Purpose and ReturnTo are set, too, once the flow is known.
type CallbackResult struct {
	Claims   *Claims
	Purpose  string
	UserID   string // the user who links or steps up
	ReturnTo string // not validated
	Remember bool

	StartedAt time.Time
	SessionID string // session of the browser when the flow began, "" for none
	CrossSite bool   // another site's page started the flow
}

// Finish handles the callback of a flow. cookie returns the value of one of our cookies, "" for none. The flow is taken
// from the store, once, before any request to the provider. Without the browser's cookie it is not even taken, so that
// nobody else can use it up (login CSRF: a callback with a valid code but the state of another browser).
func (g *Registry) Finish(ctx context.Context, name string, a AuthResponse,
	cookie func(name string) string,
) (CallbackResult, error) {
	var out CallbackResult
	p := g.names[name]
	if p == nil {
		return out, ErrNoProvider
	}
	hash := store.HashToken(a.State)
	value := cookie(cookieNameFor(hash))
	if value == "" {
		return out, fail(Expired, "the flow was not begun in this browser, or its cookie is gone")
	}
	f, err := g.takeFlow(ctx, a.State)
	if err != nil {
		return out, err
	}
	browser := store.HashToken(value)
	if subtle.ConstantTimeCompare(browser[:], f.Browser[:]) != 1 || f.Provider != p.Name || f.Purpose == purposeForm {
		return out, fail(Expired, "the flow was begun in another browser or with another provider")
	}
	var d flowData
	if err := g.openJSON(ctx, f.Data, flowPurpose, f.Hash.String(), &d); err != nil {
		return out, err
	}
	out.Purpose, out.UserID, out.ReturnTo, out.Remember = f.Purpose, f.UserID, d.ReturnTo, d.Remember
	out.StartedAt, out.SessionID, out.CrossSite = f.CreatedAt, d.SessionID, d.CrossSite
	out.Claims, err = p.handleResponse(ctx, a, &d, &f)
	p.remote.recordResult(p.Name, g.now(), err)
	return out, err
}

// handleResponse checks the authorization response and exchanges the code.
func (p *provider) handleResponse(ctx context.Context, a AuthResponse, d *flowData, f *store.Flow) (*Claims, error) {
	if d.Issuer != p.Issuer {
		return nil, fail(Expired, "the provider's issuer was changed while the flow was in progress")
	}
	m, err := p.remote.metadata(ctx, metadataTTL)
	if err != nil {
		return nil, err
	}
	// RFC 9207: a code is sent only to the provider that issued it (mix-up attack).
	if a.Issuer != p.Issuer && (a.Issuer != "" || m.IssParameter) {
		return nil, markFromBrowser(fail(Invalid, "the response comes from another provider: iss"))
	}
	if a.Error != "" {
		return nil, markFromBrowser(authError(a))
	}
	person, err := p.exchange(ctx, m, d, a.Code)
	if err != nil {
		return nil, err
	}
	if f.Purpose == PurposeStepUp {
		if err = checkAuthTime(person.authTime, f.CreatedAt, p.now()); err == nil {
			err = p.checkStepUp(person)
		}
	}
	return person, err
}

// markFromBrowser marks a failure that the browser reported. Its user can make it up, so it says nothing about the
// provider.
func markFromBrowser(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.fromBrowser = true
	}
	return err
}

// FromBrowser reports whether a failure is only what the browser says.
func FromBrowser(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.fromBrowser
}

// authError maps an error response (RFC 6749, section 4.1.2.1; Core, section 3.1.2.6). It is never explained as a
// misconfiguration: anybody can make one up.
func authError(a AuthResponse) *Error {
	kind := Refused
	switch a.Error {
	case "access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required":
		kind = Canceled
	case "temporarily_unavailable", "server_error":
		kind = Unavailable
	}
	reason := "the provider returned the error " + a.Error + inBrackets(a.Description)
	if kind == Refused && wantsPush(reason) {
		reason += ": if it requires pushed authorization requests (PAR) of this client, write par"
	}
	return fail(kind, "%s", reason)
}

// takeFlow removes a flow from the store and returns it: it can be used once.
func (g *Registry) takeFlow(ctx context.Context, token string) (store.Flow, error) {
	var f store.Flow
	err := g.store.Change(ctx, func(tx store.Tx) (err error) {
		f, err = tx.TakeFlow(ctx, store.HashToken(token), g.now().UTC())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return f, fail(Expired, "there is no such flow (any more)")
	}
	if err != nil {
		return f, fmt.Errorf("taking a flow: %w", err)
	}
	return f, nil
}

func (g *Registry) sealJSON(ctx context.Context, v any, purpose, row string) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	return g.seal.Seal(ctx, b, purpose, row)
}

func (g *Registry) openJSON(ctx context.Context, sealed, purpose, row string, v any) error {
	b, err := g.seal.Open(ctx, sealed, purpose, row)
	if err != nil {
		g.log.Error("could not open a sealed value", zap.String("purpose", purpose), zap.Error(err))
		return fmt.Errorf("opening a sealed value: %w", err)
	}
	return json.Unmarshal(b, v)
}
