package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Status is the state of a provider for administrators. It holds no secret.
type Status struct {
	Name, Label, Issuer, ClientID string

	Scopes []string

	CheckedAt    time.Time // last discovery attempt, zero before the first
	DiscoveredAt time.Time // last successful discovery
	Problem      string    // why the last attempt failed, "" if it succeeded
	// Misconfigured reports that the provider cannot be used until somebody changes a configuration, here or there.
	Misconfigured bool
	Algs          []string  // accepted signature algorithms
	Method        string    // client authentication method
	Keys          int       // number of usable keys
	KeysRead      time.Time // last fetch of the keys
	KeysFailed    time.Time // when the keys could not be read or used
	KeyProblem    string    // why the keys could not be read, "" for none
	KeyNote       string    // keys that are not used, with the reasons; "" for none

	Skew      time.Duration // the provider's clock less ours
	SkewKnown bool
	SkewBad   bool // beyond the leeway of token times

	LastSuccess time.Time // of a sign-in or refresh
	LastFailure time.Time
	LastError   string // text of LastFailure
	// LogoutRefused is when a logout token was last refused. Anybody can send one: it need not be the provider's fault.
	LogoutRefused time.Time
	LogoutError   string

	EndSession   bool // it has an end-session endpoint
	Backchannel  bool // it supports back-channel logout
	Frontchannel bool
}

// signInRecord is the last success and failure of sign-ins at one configured provider.
type signInRecord struct {
	success, failure time.Time
	problem          string
	kind             Kind // of that problem
	aboutClient      bool // it was the client's credentials
	logoutRefused    time.Time
	logoutProblem    string
}

// recordResult records the result of a sign-in or refresh. Errors of the user (canceled, expired, not allowed), and
// those that only the browser reported, say nothing about the provider and are left out.
func (r *remote) recordResult(name string, now time.Time, err error) {
	switch KindOf(err) {
	case Canceled, Expired, NotAllowed, Unverified:
		return
	}
	if FromBrowser(err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.recordFor(name)
	if err == nil {
		rec.success = now
		return
	}
	rec.failure, rec.problem, rec.kind = now, Clean(err.Error(), 300), KindOf(err)
	var e *Error
	rec.aboutClient = errors.As(err, &e) && e.aboutClient
}

// recordFor returns the record of a configured provider. r.mu is held.
func (r *remote) recordFor(name string) *signInRecord {
	if r.records == nil {
		r.records = make(map[string]*signInRecord)
	}
	if r.records[name] == nil {
		r.records[name] = &signInRecord{}
	}
	return r.records[name]
}

// RecordRefusedLogout records that a logout token was refused. It reports whether there is such a provider.
func (g *Registry) RecordRefusedLogout(name string, err error) bool {
	p := g.names[name]
	if p == nil {
		return false
	}
	p.remote.mu.Lock()
	defer p.remote.mu.Unlock()
	rec := p.remote.recordFor(name)
	rec.logoutRefused, rec.logoutProblem = g.now(), Clean(err.Error(), 200)
	return true
}

// Status returns the state of the providers in the order of the configuration. It makes no requests.
func (g *Registry) Status() []Status {
	out := make([]Status, 0, len(g.list))
	for _, p := range g.list {
		out = append(out, p.status())
	}
	return out
}

func (p *provider) status() Status {
	r := p.remote
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		Name: p.Name, Label: p.label(), Issuer: p.Issuer, ClientID: p.ClientID,
		CheckedAt: r.health.checkedAt, Problem: r.health.problem,
		Keys: len(r.keys.keys), KeysRead: r.keys.at, KeysFailed: r.health.keysFailed,
		KeyProblem: r.health.keyProblem, KeyNote: joinSome(r.keys.unusable),
		Skew: r.health.skew, SkewKnown: r.health.skewKnown, SkewBad: r.health.skewKnown && r.health.skew.Abs() > leeway,
	}
	s.Misconfigured = r.health.kind == Misconfigured || r.health.keyKind == Misconfigured
	s.Scopes = p.scopes()
	if m := r.meta; m != nil {
		s.DiscoveredAt = m.at
		for _, a := range m.allowedAlgorithms(&p.Config) {
			s.Algs = append(s.Algs, string(a))
		}
		s.Method = string(m.authMethod(&p.Config))
		s.EndSession, s.Backchannel, s.Frontchannel = m.EndURL != "", m.Backchannel, m.Frontchannel
		if len(s.Algs) == 0 && s.Problem == "" {
			s.Problem, s.Misconfigured = "none of its signature algorithms is accepted; see sign_alg", true
		}
		if p.Push && m.PushURL == "" && s.Problem == "" {
			s.Problem, s.Misconfigured = nowhereToPush, true
		}
	}
	if rec := r.records[p.Name]; rec != nil {
		s.LastSuccess, s.LastFailure, s.LastError = rec.success, rec.failure, rec.problem
		s.Misconfigured = s.Misconfigured || rec.kind == Misconfigured && rec.failure.After(rec.success)
		s.LogoutRefused, s.LogoutError = rec.logoutRefused, rec.logoutProblem
	}
	return s
}

// Check fetches a provider's metadata and keys now, regardless of cache and back-off, and finds out whether it accepts
// the client's credentials.
func (g *Registry) Check(ctx context.Context, name string) (Status, error) {
	p := g.names[name]
	if p == nil {
		return Status{}, ErrNoProvider
	}
	r := p.remote
	m, err := share(ctx, r, "metadata", r.discover)
	if err == nil {
		// the result is recorded in its health
		_, _ = share(ctx, r, "keys", func(ctx context.Context) (keyring, error) { return r.updateKeys(ctx, metadataTTL) })
		p.checkCredentials(ctx, m)
	}
	return p.status(), nil
}

// checkCredentials asks the token endpoint for the tokens of a code that nobody has. Providers authenticate the client
// first (RFC 6749, section 3.2.1), so wrong credentials are refused as such, and invalid_grant means that they are
// right. Every other response says nothing about them.
func (p *provider) checkCredentials(ctx context.Context, m *metadata) {
	status, body, err := p.post(ctx, m, m.TokenURL, url.Values{
		"grant_type": {"authorization_code"}, "code": {store.NewToken()}, "code_verifier": {oauth2.GenerateVerifier()},
		"redirect_uri": {p.Issuer},
	})
	if err != nil {
		return
	}
	code := errorCode(status, body)
	switch code {
	case "invalid_client", "unauthorized_client":
		response := &http.Response{StatusCode: status}
		p.remote.recordResult(p.Name, p.now(),
			p.tokenError(&oauth2.RetrieveError{Response: response, Body: body, ErrorCode: code}))
	case "invalid_grant":
		p.remote.acceptCredentials(p.Name)
	}
}

// acceptCredentials records that a provider accepts the client's credentials.
func (r *remote) acceptCredentials(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.recordFor(name); rec.aboutClient {
		rec.failure, rec.problem, rec.kind, rec.aboutClient = time.Time{}, "", "", false
	}
}

// Icon returns the image on a provider's button.
func (g *Registry) Icon(name string) (content []byte, mediaType string, ok bool) {
	p := g.names[name]
	if p == nil || len(p.Icon) == 0 {
		return nil, "", false
	}
	return p.Icon, p.IconType, true
}
