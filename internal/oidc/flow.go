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
	PurposeLogin  = "login"  // somebody signs in
	PurposeLink   = "link"   // a signed-in user links an identity
	PurposeReauth = "reauth" // a signed-in user proves again who they are
	purposeForm   = "form"   // no flow: a posted answer on its way to the browser's own request
)

// FlowLife is how long a sign-in may take at the provider.
const FlowLife = 10 * time.Minute

// formLife is how long a posted answer waits for the browser, which is on its way.
const formLife = 2 * time.Minute

// MaxFlows is how many sign-ins one browser may have under way; the oldest give way.
const MaxFlows = 20

// Start says what sign-in to begin.
type Start struct {
	Purpose     string // PurposeLogin, PurposeLink or PurposeReauth
	UserID      string // who links or re-authenticates
	RedirectURI string // our callback, absolute
	ReturnTo    string // where to go at the end; judged again then
	Remember    bool
	SessionID   string // the session of the browser that begins, "" for none
	// Foreign: another site's page led here. It signs nobody in who is signed in by then.
	Foreign bool
}

// Begun is a sign-in under way.
type Begun struct {
	URL    string // at the provider
	Cookie FlowCookie
}

// FlowCookie binds a flow to the browser that began it. Each flow has one of its own, so that many tabs can sign in
// at once.
type FlowCookie struct{ Name, Value string }

// FlowCookiePrefix is what the names of flow cookies begin with.
const FlowCookiePrefix = "flow-"

// CookieName returns the name of the cookie that goes with a state.
func CookieName(state string) string { return cookieName(store.HashToken(state)) }

// cookieName is derived from the state, so that a callback finds its cookie.
func cookieName(hash store.TokenHash) string { return FlowCookiePrefix + hash.String()[:12] }

// Surplus returns the names of the flow cookies to drop, oldest first, so that there is room for one more. have maps
// names to values.
func Surplus(have map[string]string) []string {
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

// cookieTime returns when a flow cookie was made, 0 for one that we did not make.
func cookieTime(value string) int64 {
	began, _, _ := strings.Cut(value, ".")
	t, err := strconv.ParseInt(began, 36, 64)
	if err != nil {
		return 0
	}
	return t
}

// flowData is what a flow has to know at its end. It is sealed.
type flowData struct {
	Nonce       string `json:"n"`
	Verifier    string `json:"v"`
	RedirectURI string `json:"r"`
	ReturnTo    string `json:"t,omitempty"`
	Issuer      string `json:"i"`
	Remember    bool   `json:"m,omitempty"`
	SessionID   string `json:"s,omitempty"`
	Foreign     bool   `json:"x,omitempty"`
}

const flowPurpose = "flow"

// Begin begins a sign-in at a provider. Errors are *[Error] (Down), [ErrNoProvider], or technical.
func (g *Registry) Begin(ctx context.Context, name string, s Start) (Begun, error) {
	p := g.names[name]
	if p == nil {
		return Begun{}, ErrNoProvider
	}
	m, err := p.remote.metadata(ctx, metadataLife)
	if err != nil {
		return Begun{}, err
	}
	now := g.now().UTC()
	state := store.NewToken()
	hash := store.HashToken(state)
	cookie := FlowCookie{Name: cookieName(hash), Value: strconv.FormatInt(now.UnixMilli(), 36) + "." + store.NewToken()}
	d := flowData{
		Nonce: store.NewToken(), Verifier: oauth2.GenerateVerifier(), RedirectURI: s.RedirectURI, ReturnTo: s.ReturnTo,
		Issuer: p.Issuer, Remember: s.Remember, SessionID: s.SessionID, Foreign: s.Foreign,
	}
	data, err := g.sealJSON(ctx, d, flowPurpose, hash.String())
	if err != nil {
		return Begun{}, err
	}
	err = g.store.Change(ctx, func(tx store.Tx) error {
		return tx.CreateFlow(ctx, store.Flow{
			Hash: hash, Browser: store.HashToken(cookie.Value), Provider: p.Name, UserID: s.UserID, Purpose: s.Purpose,
			Data: data, CreatedAt: now, ExpiresAt: now.Add(FlowLife),
		})
	})
	if err != nil {
		return Begun{}, fmt.Errorf("keeping a sign-in under way: %w", err)
	}
	opts := []oauth2.AuthCodeOption{
		oauth2.SetAuthURLParam("nonce", d.Nonce),
		oauth2.S256ChallengeOption(d.Verifier), // always, also with a client secret (RFC 9700, section 2.1.1)
	}
	if s.Purpose == PurposeReauth {
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return Begun{URL: p.oauth(m, s.RedirectURI, credentials{}).AuthCodeURL(state, opts...), Cookie: cookie}, nil
}

// Answer is what the provider sent the browser back with.
type Answer struct {
	State       string `json:"s,omitempty"`
	Code        string `json:"c,omitempty"`
	Error       string `json:"e,omitempty"`
	Description string `json:"d,omitempty"` // for the log, cleaned; never shown
	Issuer      string `json:"i,omitempty"`
}

// maxParam bounds a parameter of an answer, in bytes.
const maxParam = 4 << 10

// ParseAnswer reads the parameters of an answer. One that has a parameter twice, or both a code and an error, is
// refused: what one reader checks another one would not use.
func ParseAnswer(v url.Values) (Answer, error) {
	var a Answer
	for name, to := range map[string]*string{
		"state": &a.State, "code": &a.Code, "error": &a.Error, "iss": &a.Issuer, "error_description": &a.Description,
	} {
		values := v[name]
		if len(values) > 1 || (len(values) == 1 && len(values[0]) > maxParam) {
			return Answer{}, fail(Invalid, "the answer has the parameter %s twice, or it is too long", name)
		}
		if len(values) == 1 {
			*to = values[0]
		}
	}
	switch {
	case !store.ValidToken(a.State):
		return Answer{}, fail(Expired, "the answer belongs to no sign-in: its state is missing or not ours")
	case (a.Code == "") == (a.Error == ""):
		return Answer{}, fail(Invalid, "the answer has neither a code nor an error, or both")
	}
	if a.Description = Clean(a.Description, 200); a.Error != "" {
		a.Error = or(Clean(a.Error, 80), "unknown") // never none: what is judged above is what came
	}
	return a, nil
}

// Stash keeps a posted answer for the browser's next request and returns the name of it. A POST from the provider's
// page is cross-site and comes without our cookies (SameSite=Lax); the redirect that follows is a GET and has them.
// The parameters stay out of addresses and logs.
func (g *Registry) Stash(ctx context.Context, name string, a Answer) (string, error) {
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
			CreatedAt: now, ExpiresAt: now.Add(formLife),
		})
	})
	if err != nil {
		return "", fmt.Errorf("keeping a posted answer: %w", err)
	}
	return id, nil
}

// Unstash returns what was kept under id, once.
func (g *Registry) Unstash(ctx context.Context, name, id string) (Answer, error) {
	var a Answer
	if !store.ValidToken(id) {
		return a, fail(Expired, "the posted answer has a name that is not ours")
	}
	f, err := g.take(ctx, id)
	if err != nil {
		return a, err
	}
	if f.Purpose != purposeForm || f.Provider != name {
		return a, fail(Expired, "the posted answer was for another address")
	}
	return a, g.openJSON(ctx, f.Data, purposeForm, f.Hash.String(), &a)
}

// Finished is a sign-in that has come back. It is useful with an error, too: ReturnTo and Purpose are set as soon as
// the flow is known.
type Finished struct {
	Person   *Person
	Purpose  string
	UserID   string // who links or re-authenticates
	ReturnTo string // not judged
	Remember bool

	BegunAt   time.Time
	SessionID string // of the browser when it began, "" for none
	Foreign   bool   // another site's page had led to it
}

// Finish ends a sign-in. cookie returns the value of one of our cookies, "" for none. The flow is taken, once, before
// the provider is asked for anything; without the browser's cookie it is not even taken, so that nobody else can end
// it (login CSRF: a callback with a valid code but the state of another browser).
func (g *Registry) Finish(ctx context.Context, name string, a Answer, cookie func(name string) string) (Finished, error) {
	var out Finished
	p := g.names[name]
	if p == nil {
		return out, ErrNoProvider
	}
	hash := store.HashToken(a.State)
	value := cookie(cookieName(hash))
	if value == "" {
		return out, fail(Expired, "the sign-in was not begun in this browser, or its cookie is gone")
	}
	f, err := g.take(ctx, a.State)
	if err != nil {
		return out, err
	}
	browser := store.HashToken(value)
	if subtle.ConstantTimeCompare(browser[:], f.Browser[:]) != 1 || f.Provider != p.Name || f.Purpose == purposeForm {
		return out, fail(Expired, "the sign-in was begun in another browser or with another provider")
	}
	var d flowData
	if err := g.openJSON(ctx, f.Data, flowPurpose, f.Hash.String(), &d); err != nil {
		return out, err
	}
	out.Purpose, out.UserID, out.ReturnTo, out.Remember = f.Purpose, f.UserID, d.ReturnTo, d.Remember
	out.BegunAt, out.SessionID, out.Foreign = f.CreatedAt, d.SessionID, d.Foreign
	out.Person, err = p.finish(ctx, a, &d, &f)
	p.remote.record(p.Name, g.now(), err)
	return out, err
}

// finish judges the provider's answer and exchanges the code.
func (p *provider) finish(ctx context.Context, a Answer, d *flowData, f *store.Flow) (*Person, error) {
	if d.Issuer != p.Issuer {
		return nil, fail(Expired, "the provider was configured anew while the sign-in was under way")
	}
	m, err := p.remote.metadata(ctx, metadataLife)
	if err != nil {
		return nil, err
	}
	// RFC 9207: a code is sent to the provider that gave it, or two providers could be played against each other.
	if a.Issuer != p.Issuer && (a.Issuer != "" || m.IssParameter) {
		return nil, told(fail(Invalid, "the answer comes from another provider: iss"))
	}
	if a.Error != "" {
		return nil, told(answerError(a))
	}
	person, err := p.exchange(ctx, m, d, a.Code)
	if err != nil {
		return nil, err
	}
	if f.Purpose == PurposeReauth {
		err = checkAuthTime(person.authTime, f.CreatedAt, p.now())
	}
	return person, err
}

// told marks a failure that the browser tells of: whoever uses it can make it up, so it says nothing about the provider.
func told(err *Error) *Error {
	err.told = true
	return err
}

// answerError maps an error answer (RFC 6749, section 4.1.2.1; Core, section 3.1.2.6).
func answerError(a Answer) *Error {
	kind := Refused
	switch a.Error {
	case "access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required":
		kind = Canceled
	case "temporarily_unavailable", "server_error":
		kind = Down
	}
	if a.Description != "" {
		return fail(kind, "the provider answered %s (%s)", a.Error, a.Description)
	}
	return fail(kind, "the provider answered %s", a.Error)
}

// take takes a flow, once.
func (g *Registry) take(ctx context.Context, token string) (store.Flow, error) {
	var f store.Flow
	err := g.store.Change(ctx, func(tx store.Tx) (err error) {
		f, err = tx.TakeFlow(ctx, store.HashToken(token), g.now().UTC())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return f, fail(Expired, "there is no such sign-in under way (any more)")
	}
	if err != nil {
		return f, fmt.Errorf("taking up a sign-in: %w", err)
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
