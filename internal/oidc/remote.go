package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
)

const (
	metadataTTL  = 10 * time.Minute // refetched after this
	maxStale     = 24 * time.Hour   // still used for this long if it cannot be refetched
	firstBackoff = time.Second
	maxBackoff   = time.Minute
)

// metadata is a provider's discovery document. It is immutable.
type metadata struct {
	provider *gooidc.Provider
	at       time.Time

	Issuer       string   `json:"issuer"`
	AuthURL      string   `json:"authorization_endpoint"`
	TokenURL     string   `json:"token_endpoint"`
	UserInfoURL  string   `json:"userinfo_endpoint"`
	KeysURL      string   `json:"jwks_uri"`
	EndURL       string   `json:"end_session_endpoint"`
	Algorithms   []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods  []string `json:"token_endpoint_auth_methods_supported"`
	IssParameter bool     `json:"authorization_response_iss_parameter_supported"`
	Backchannel  bool     `json:"backchannel_logout_supported"`
	Frontchannel bool     `json:"frontchannel_logout_supported"`
	PKCE         []string `json:"code_challenge_methods_supported"`
}

// metadataNames are the members of a discovery document that are read.
var metadataNames = []string{
	"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint",
	"id_token_signing_alg_values_supported", "token_endpoint_auth_methods_supported",
	"authorization_response_iss_parameter_supported", "backchannel_logout_supported", "frontchannel_logout_supported",
	"code_challenge_methods_supported",
}

// remote is the cached state of one provider, shared by all configurations that use it.
type remote struct {
	issuer    string
	insecure  bool
	client    *http.Client
	now       func() time.Time
	log       *zap.Logger
	flights   singleflight.Group
	refetches map[purpose]*rateLimit

	mu             sync.Mutex
	meta           *metadata
	keys           keyring
	failures       int       // of discovery, in a row
	retry          time.Time // not before
	health         health
	records        map[string]*signInRecord // by the name of a configured provider
	lastAlgorithms map[string]string        // of the last ID token, by the same name
}

// health is the provider's state for the status page.
type health struct {
	checkedAt  time.Time // last finished attempt at discovery
	problem    string    // of that attempt, "" when it went well
	keyProblem string
	skew       time.Duration // the provider's clock less ours
	skewKnown  bool
}

// metadata returns the discovery document. If it is older than maxAge it is refetched; if that fails, the old one is
// returned unless it is older than maxStale.
func (r *remote) metadata(ctx context.Context, maxAge time.Duration) (*metadata, error) {
	r.mu.Lock()
	m, now := r.meta, r.now()
	waiting := now.Before(r.retry)
	problem := r.health.problem
	r.mu.Unlock()
	if m != nil && age(now, m.at) < maxAge {
		return m, nil
	}
	usable := m != nil && age(now, m.at) < maxStale
	if waiting {
		if usable {
			return m, nil
		}
		return nil, fail(Unavailable, "the provider is unavailable: %s", problem)
	}
	got, err := share(ctx, r, "metadata", r.discover)
	switch {
	case err == nil:
		return got, nil
	case usable:
		return m, nil
	default:
		return nil, err
	}
}

// age is never negative: after a clock was set back, cached values are old, not fresh for long.
func age(now, at time.Time) time.Duration { return now.Sub(at).Abs() }

// share runs fn once for all concurrent callers. It continues if one of them is canceled.
func share[T any](ctx context.Context, r *remote, what string, fn func(context.Context) (T, error)) (T, error) {
	ch := r.flights.DoChan(what, func() (any, error) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*callTimeout)
		defer cancel()
		return fn(bounded)
	})
	select {
	case res := <-ch:
		got, ok := res.Val.(T)
		if !ok && res.Err == nil { // two kinds of calls under one name
			return got, fmt.Errorf("%s: got a %T", what, res.Val)
		}
		return got, res.Err
	case <-ctx.Done():
		var none T
		return none, &Error{Kind: Unavailable, Reason: "timeout waiting for the provider", Err: ctx.Err()}
	}
}

// discover fetches the discovery document and records the result.
func (r *remote) discover(ctx context.Context) (*metadata, error) {
	m, err := r.readMetadata(ctx)
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health.checkedAt = now
	if err != nil {
		r.health.problem = err.Error()
		r.retry = now.Add(min(firstBackoff<<min(r.failures, 10), maxBackoff))
		r.failures++
		r.log.Warn("provider unavailable", zap.String("problem", err.Error()), zap.Time("next_try", r.retry))
		return nil, &Error{Kind: Unavailable, Reason: "discovery", Err: err}
	}
	m.at = now
	r.meta, r.failures, r.retry, r.health.problem = m, 0, time.Time{}, ""
	return m, nil
}

func (r *remote) readMetadata(ctx context.Context) (*metadata, error) {
	p, err := gooidc.NewProvider(gooidc.ClientContext(ctx, r.client), r.issuer)
	var mismatch *gooidc.IssuerMismatchError
	if errors.As(err, &mismatch) {
		return nil, errors.New("the provider's issuer is " + Clean(mismatch.Discovered, 120) +
			"; configure exactly that, if it is the right one")
	}
	if err != nil {
		return nil, errors.New(describeDiscovery(err))
	}
	m := &metadata{provider: p}
	var doc jsonObject
	if p.Claims(&doc) != nil || p.Claims(m) != nil {
		return nil, errors.New("the discovery document is malformed")
	}
	// encoding/json would accept a member whose name differs only by case.
	if name := doc.wrongCase(metadataNames...); name != "" {
		return nil, errors.New("the discovery document has a member in the wrong case: " + Clean(name, 60))
	}
	for _, e := range []struct {
		name, url string
		required  bool
	}{
		{"authorization_endpoint", m.AuthURL, true},
		{"token_endpoint", m.TokenURL, true},
		{"jwks_uri", m.KeysURL, true},
		{"userinfo_endpoint", m.UserInfoURL, false},
		{"end_session_endpoint", m.EndURL, false},
	} {
		if e.url == "" && !e.required {
			continue
		}
		if !r.isUsableURL(e.url) {
			return nil, errors.New("the discovery document has no usable " + e.name)
		}
	}
	return m, nil
}

// describeDiscovery is [describe] for discovery. go-oidc puts the response body into its errors; it is left out.
func describeDiscovery(err error) string {
	var u *url.Error
	if errors.As(err, &u) || errors.Is(err, errTooLarge) {
		return describe(err)
	}
	text := err.Error()
	if len(text) > 3 && text[0] >= '1' && text[0] <= '5' {
		return "the discovery document cannot be fetched: status " + Clean(text[:3], 3)
	}
	return "the discovery document cannot be read"
}

// isUsableURL reports whether a URL in the metadata is absolute, well-formed and of an allowed scheme.
func (r *remote) isUsableURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && plainHost(u) && u.User == nil && u.Fragment == "" && Clean(s, 2048) == s &&
		(u.Scheme == "https" || (r.insecure && u.Scheme == "http"))
}

// recordDate records the difference between the provider's clock and ours.
func (r *remote) recordDate(date time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health.skew, r.health.skewKnown = date.Sub(r.now()).Round(time.Second), true
}

// recordAlgorithm records the signature algorithm of an ID token for a configured provider.
func (r *remote) recordAlgorithm(name, algorithm string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lastAlgorithms == nil {
		r.lastAlgorithms = make(map[string]string)
	}
	r.lastAlgorithms[name] = algorithm
}

// lastAlgorithm returns the algorithm of the last ID token for a configured provider, or the default of OpenID Connect
// Dynamic Client Registration 1.0, section 2.
func (r *remote) lastAlgorithm(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.lastAlgorithms[name]; a != "" {
		return a
	}
	return string(jose.RS256)
}

// allowedAlgorithms returns the algorithms that tokens may be signed with: the configured ones, otherwise those in the
// metadata that are among the defaults.
func (m *metadata) allowedAlgorithms(c *Config) []jose.SignatureAlgorithm {
	var algs []jose.SignatureAlgorithm
	for _, a := range c.SignAlgs {
		algs = append(algs, jose.SignatureAlgorithm(a))
	}
	if len(algs) > 0 {
		return algs
	}
	if len(m.Algorithms) == 0 {
		return []jose.SignatureAlgorithm{jose.RS256} // which every provider has to support (Core, section 15.1)
	}
	for _, a := range defaultAlgorithms {
		for _, offered := range m.Algorithms {
			if string(a) == offered {
				algs = append(algs, a)
			}
		}
	}
	return algs
}

// authMethod returns the client authentication method at the token endpoint.
func (m *metadata) authMethod(c *Config) Method {
	if c.Method != "" {
		return c.Method
	}
	post := false
	for _, offered := range m.AuthMethods {
		if offered == string(Basic) {
			return Basic
		}
		post = post || offered == string(Post)
	}
	if post {
		return Post
	}
	return Basic // the default if the metadata has no list (Discovery, section 3)
}
