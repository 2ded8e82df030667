package oidc

import (
	"context"
	"errors"
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
	metadataLife = 10 * time.Minute // read again after this
	staleLife    = 24 * time.Hour   // used this long when it cannot be read again
	firstBackoff = time.Second
	longBackoff  = time.Minute
)

// metadata is a provider's discovery document. It is never changed.
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

// metadataNames are the members of a discovery document that are used.
var metadataNames = []string{
	"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint",
	"id_token_signing_alg_values_supported", "token_endpoint_auth_methods_supported",
	"authorization_response_iss_parameter_supported", "backchannel_logout_supported", "frontchannel_logout_supported",
	"code_challenge_methods_supported",
}

// remote is what is known of one provider.
type remote struct {
	issuer   string
	insecure bool
	client   *http.Client
	now      func() time.Time
	log      *zap.Logger
	flights  singleflight.Group
	rereads  map[purpose]*budget

	mu       sync.Mutex
	meta     *metadata
	keys     keyring
	failures int       // of discovery, in a row
	retry    time.Time // not before
	health   health
	records  map[string]*record // by the name of a configured provider
	signed   map[string]string  // algorithm of the last ID token, by the same
}

// health is what the status page tells.
type health struct {
	checkedAt  time.Time // last finished attempt at discovery
	problem    string    // of that attempt, "" when it went well
	keyProblem string
	skew       time.Duration // the provider's clock less ours
	skewKnown  bool
}

// metadata returns the discovery document, not older than maxAge if that can be had; an older one is better than
// none, unless it is a day old.
func (r *remote) metadata(ctx context.Context, maxAge time.Duration) (*metadata, error) {
	r.mu.Lock()
	m, now := r.meta, r.now()
	waiting := now.Before(r.retry)
	problem := r.health.problem
	r.mu.Unlock()
	if m != nil && age(now, m.at) < maxAge {
		return m, nil
	}
	usable := m != nil && age(now, m.at) < staleLife
	if waiting {
		if usable {
			return m, nil
		}
		return nil, fail(Down, "the provider cannot be used: %s", problem)
	}
	got, err := r.share(ctx, "metadata", func(ctx context.Context) (any, error) { return r.discover(ctx) })
	switch {
	case err == nil:
		return got.(*metadata), nil
	case usable:
		return m, nil
	default:
		return nil, err
	}
}

// age never returns less than nothing: a clock that was set back makes things old, not young for long.
func age(now, at time.Time) time.Duration { return now.Sub(at).Abs() }

// share runs fn once for all who ask for it at the same time. It goes on when one of them leaves.
func (r *remote) share(ctx context.Context, what string, fn func(context.Context) (any, error)) (any, error) {
	ch := r.flights.DoChan(what, func() (any, error) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*callTimeout)
		defer cancel()
		return fn(bounded)
	})
	select {
	case res := <-ch:
		return res.Val, res.Err
	case <-ctx.Done():
		return nil, &Error{Kind: Down, Reason: "gave up waiting for the provider", Err: ctx.Err()}
	}
}

// discover reads the discovery document and notes how that went.
func (r *remote) discover(ctx context.Context) (*metadata, error) {
	m, err := r.readMetadata(ctx)
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health.checkedAt = now
	if err != nil {
		r.health.problem = err.Error()
		r.retry = now.Add(min(firstBackoff<<min(r.failures, 10), longBackoff))
		r.failures++
		r.log.Warn("a provider cannot be used", zap.String("problem", err.Error()), zap.Time("next_try", r.retry))
		return nil, &Error{Kind: Down, Reason: "discovery", Err: err}
	}
	m.at = now
	r.meta, r.failures, r.retry, r.health.problem = m, 0, time.Time{}, ""
	return m, nil
}

func (r *remote) readMetadata(ctx context.Context) (*metadata, error) {
	p, err := gooidc.NewProvider(gooidc.ClientContext(ctx, r.client), r.issuer)
	var mismatch *gooidc.IssuerMismatchError
	if errors.As(err, &mismatch) {
		return nil, errors.New("the provider calls itself " + Clean(mismatch.Discovered, 120) + "; write exactly that as issuer, if it is the right one")
	}
	if err != nil {
		return nil, errors.New(discoveryWords(err))
	}
	m := &metadata{provider: p}
	var doc claims
	if p.Claims(&doc) != nil || p.Claims(m) != nil {
		return nil, errors.New("the discovery document is not what it should be")
	}
	// encoding/json would take a member in another case for the one that is meant.
	if name := doc.misspelt(metadataNames...); name != "" {
		return nil, errors.New("the discovery document misspells a member: " + Clean(name, 60))
	}
	for _, e := range []struct {
		name, url string
		required  bool
	}{
		{"authorization_endpoint", m.AuthURL, true}, {"token_endpoint", m.TokenURL, true}, {"jwks_uri", m.KeysURL, true},
		{"userinfo_endpoint", m.UserInfoURL, false}, {"end_session_endpoint", m.EndURL, false},
	} {
		if e.url == "" && !e.required {
			continue
		}
		if !r.endpoint(e.url) {
			return nil, errors.New("the discovery document has no usable " + e.name)
		}
	}
	return m, nil
}

// discoveryWords keeps the provider's answer, which go-oidc puts into its errors, out of ours.
func discoveryWords(err error) string {
	var u *url.Error
	if errors.As(err, &u) || errors.Is(err, errTooLarge) {
		return words(err)
	}
	text := err.Error()
	if len(text) > 3 && text[0] >= '1' && text[0] <= '5' {
		return "the discovery document is not there: status " + Clean(text[:3], 3)
	}
	return "the discovery document cannot be read"
}

// endpoint judges an address in metadata: it must be one we would dial.
func (r *remote) endpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && plainHost(u) && u.User == nil && u.Fragment == "" && Clean(s, 2048) == s &&
		(u.Scheme == "https" || (r.insecure && u.Scheme == "http"))
}

// noteDate compares the provider's clock with ours.
func (r *remote) noteDate(date time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health.skew, r.health.skewKnown = date.Sub(r.now()).Round(time.Second), true
}

// noteAlgorithm notes how an ID token for a configured provider was signed.
func (r *remote) noteAlgorithm(name, algorithm string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.signed == nil {
		r.signed = make(map[string]string)
	}
	r.signed[name] = algorithm
}

// algorithm returns how ID tokens for a configured provider are signed: as the last one, else in the way that holds where
// nothing was agreed on (OpenID Connect Dynamic Client Registration 1.0, section 2).
func (r *remote) algorithm(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.signed[name]; a != "" {
		return a
	}
	return string(jose.RS256)
}

// pinned returns the algorithms that tokens may be signed with: the configured ones, else those of the metadata that
// are known to be good.
func (m *metadata) pinned(c *Config) []jose.SignatureAlgorithm {
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
	for _, a := range algorithms {
		for _, offered := range m.Algorithms {
			if string(a) == offered {
				algs = append(algs, a)
			}
		}
	}
	return algs
}

// method returns how to authenticate at the token endpoint.
func (m *metadata) method(c *Config) Method {
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
	return Basic // also when nothing is said: the default of the metadata (Discovery, section 3)
}
