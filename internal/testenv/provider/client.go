package provider

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// authenticate checks the client authentication, with the registered method only.
func (p *Provider) authenticate(r *http.Request) error {
	id, secret, basic := r.BasicAuth()
	f := r.PostForm
	method := p.Client.Method
	if method == "" {
		method = "client_secret_basic"
	}
	if basic != (method == "client_secret_basic") {
		return errors.New("the Authorization header does not match the registered method")
	}
	switch method {
	case "client_secret_basic":
		// RFC 6749, section 2.3.1: both are form-encoded.
		id, err1 := url.QueryUnescape(id)
		secret, err2 := url.QueryUnescape(secret)
		if err1 != nil || err2 != nil || id != p.Client.ID || secret != p.Client.Secret || f.Has("client_secret") {
			return errors.New("wrong id or secret")
		}
	case "client_secret_post":
		if f.Get("client_id") != p.Client.ID || f.Get("client_secret") != p.Client.Secret {
			return errors.New("wrong id or secret")
		}
	case "client_secret_jwt":
		return p.assertion(f, jose.HS256, []byte(p.Client.Secret))
	case "private_key_jwt":
		return p.assertion(f, jose.ES256, p.Client.Key)
	case "none":
		if f.Get("client_id") != p.Client.ID || f.Has("client_secret") || f.Has("client_assertion") {
			return errors.New("not a public client")
		}
	}
	return nil
}

func (p *Provider) assertion(f url.Values, alg jose.SignatureAlgorithm, key any) error {
	if f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" ||
		f.Has("client_secret") {
		return errors.New("no assertion")
	}
	tok, err := jwt.ParseSigned(f.Get("client_assertion"), []jose.SignatureAlgorithm{alg})
	if err != nil {
		return err
	}
	var c jwt.Claims
	if err := tok.Claims(key, &c); err != nil {
		return err
	}
	if c.ID == "" || c.Expiry == nil {
		return errors.New("jti or exp is missing")
	}
	p.mu.Lock()
	replayed := p.calls["jti "+c.ID] > 0
	p.calls["jti "+c.ID]++
	p.mu.Unlock()
	if replayed {
		return errors.New("an assertion was used twice")
	}
	return c.ValidateWithLeeway(jwt.Expected{
		Issuer: p.Client.ID, Subject: p.Client.ID, AnyAudience: jwt.Audience{p.Issuer + "/token", p.Issuer}, Time: p.now(),
	}, time.Second)
}
