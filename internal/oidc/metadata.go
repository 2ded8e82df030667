package oidc

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// metadata is a provider's discovery document (OpenID Connect Discovery 1.0, section 3), with the configured endpoints
// in place of its own. It is immutable.
type metadata struct {
	at time.Time

	AuthURL      string
	TokenURL     string
	UserInfoURL  string
	KeysURL      string
	EndURL       string
	RevokeURL    string
	PushURL      string
	PushRequired bool // RFC 9126, section 5
	Algorithms   []string
	AuthMethods  []string
	IssParameter bool
	Backchannel  bool
	Frontchannel bool

	userinfoLost bool // there is a userinfo endpoint, but at an address that cannot be used

	ignored []string // optional members that cannot be used, with the reason
}

// The kinds of endpoints that can be configured.
const (
	EndpointAuthorization = "authorization"
	EndpointToken         = "token"
	EndpointUserinfo      = "userinfo"
	EndpointKeys          = "jwks"
	EndpointEndSession    = "end_session"
	EndpointRevocation    = "revocation"
)

// EndpointKinds are the kinds of endpoints that can be configured, in the order of the documentation.
var EndpointKinds = []string{
	EndpointAuthorization, EndpointToken, EndpointUserinfo, EndpointKeys, EndpointEndSession, EndpointRevocation,
}

// metadataNames are the members of a discovery document that are read.
var metadataNames = []string{
	"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint",
	"revocation_endpoint", "pushed_authorization_request_endpoint", "require_pushed_authorization_requests",
	"id_token_signing_alg_values_supported", "token_endpoint_auth_methods_supported",
	"authorization_response_iss_parameter_supported", "backchannel_logout_supported", "frontchannel_logout_supported",
}

// readMetadata fetches and checks the discovery document. The issuer in it has to be the configured one, exactly, also
// if the document itself is at another address (Discovery, section 4.3): everything that the issuer signs is trusted.
func (r *remote) readMetadata(ctx context.Context) (*metadata, error) {
	body, err := r.fetch(ctx, "the discovery document cannot be fetched", r.discovery)
	if err != nil {
		return nil, err
	}
	var doc jsonObject
	switch err := json.Unmarshal(body, &doc); {
	case err != nil && !json.Valid(body):
		return nil, fail(Unavailable, "the discovery document is not JSON; is the issuer right?")
	case err != nil:
		return nil, fail(Misconfigured, "the discovery document is not a JSON object, or has a duplicate member")
	}
	// encoding/json would accept a member whose name differs only by case.
	if name := doc.wrongCase(metadataNames...); name != "" {
		return nil, fail(Misconfigured, "the discovery document has a member in the wrong case: %s", Clean(name, 60))
	}
	if !doc.is("issuer", r.issuer) {
		return nil, fail(Misconfigured, "the provider's issuer is %s; configure exactly that, if it is the right one",
			identifier.Example(doc.get("issuer").text()))
	}
	return r.parseMetadata(doc)
}

// parseMetadata reads the members that are used. What is optional and cannot be used is left out, for one odd member
// must not keep everybody from signing in.
func (r *remote) parseMetadata(doc jsonObject) (*metadata, error) {
	m := &metadata{}
	for _, e := range []struct {
		name, kind string
		to         *string
		required   bool
	}{
		{"authorization_endpoint", EndpointAuthorization, &m.AuthURL, !r.keysOnly},
		{"token_endpoint", EndpointToken, &m.TokenURL, !r.keysOnly},
		{"jwks_uri", EndpointKeys, &m.KeysURL, true},
		{"userinfo_endpoint", EndpointUserinfo, &m.UserInfoURL, false},
		{"end_session_endpoint", EndpointEndSession, &m.EndURL, false},
		{"revocation_endpoint", EndpointRevocation, &m.RevokeURL, false},
		{"pushed_authorization_request_endpoint", "", &m.PushURL, doc.get("require_pushed_authorization_requests").isTrue()},
	} {
		if own := r.endpoints[e.kind]; own != "" {
			*e.to = own // checked with the configuration
			continue
		}
		found, _ := doc.get(e.name).asString()
		switch usable := isUsableURL(found, r.insecure); {
		case usable:
			*e.to = found
		case e.required:
			return nil, fail(Misconfigured, "the discovery document has no usable %s: %s", e.name,
				identifier.Example(doc.get(e.name).text()))
		case doc.get(e.name).present():
			m.ignore(e.name, doc.get(e.name))
		}
	}
	for name, to := range map[string]*bool{
		"require_pushed_authorization_requests":          &m.PushRequired,
		"authorization_response_iss_parameter_supported": &m.IssParameter,
		"backchannel_logout_supported":                   &m.Backchannel,
		"frontchannel_logout_supported":                  &m.Frontchannel,
	} {
		*to = doc.get(name).isTrue()
	}
	m.Algorithms = m.strings(doc, "id_token_signing_alg_values_supported")
	m.AuthMethods = m.strings(doc, "token_endpoint_auth_methods_supported")
	slices.Sort(m.ignored)
	m.userinfoLost = m.UserInfoURL == "" && doc.get("userinfo_endpoint").present()
	return m, nil
}

// strings returns the strings of a list.
func (m *metadata) strings(doc jsonObject, name string) []string {
	var out []string
	for _, item := range doc.get(name).items() {
		if s, ok := item.asString(); ok {
			out = append(out, s)
		} else {
			m.ignore(name, item)
		}
	}
	return out
}

// maxIgnored is how many members and items are named in the log: a document may have any number of them.
const maxIgnored = 20

func (m *metadata) ignore(name string, v jsonValue) {
	if len(m.ignored) >= maxIgnored {
		return
	}
	m.ignored = append(m.ignored, name+": "+identifier.Example(v.text()))
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
