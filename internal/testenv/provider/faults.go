package provider

import (
	"net/http"
	"net/url"
	"time"
)

// Faults are the faults and variations of the provider. A nil function means correct behavior.
type Faults struct {
	Metadata func(m map[string]any)          // changes the discovery document
	JWKS     func(keys []any) any            // returns what to publish instead
	ID       func(claims map[string]any)     // changes the claims of an ID token
	Header   map[string]any                  // members of an ID token's header; nil ones are removed
	Sign     func(claims map[string]any) any // returns the id_token instead
	UserInfo func(claims map[string]any)     // changes the userinfo response
	Token    func(response map[string]any)   // changes the token response
	Callback func(params url.Values)         // changes the parameters of the callback
	FormPost bool                            // respond with response_mode form_post
	JWTInfo  bool                            // respond to userinfo with a signed JWT
	// Handle runs before an endpoint ("discovery", "jwks", "authorize", "token", "userinfo", "end_session") and replaces
	// it if it returns true.
	Handle func(endpoint string, w http.ResponseWriter, r *http.Request) bool
	Delay  time.Duration // before every response of the token and userinfo endpoints
}

// Client is the registration of a client.
type Client struct {
	ID, Secret string
	Method     string // token_endpoint_auth_method; "" means client_secret_basic
	Key        any    // public key for private_key_jwt
}
