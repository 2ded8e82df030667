package provider

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	g, known := p.tokens["a:"+token]
	claims := maps.Clone(p.users[g.subject])
	l, key := p.faults, p.keys[0]
	p.mu.Unlock()
	if !ok || !known || r.URL.RawQuery != "" {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if claims == nil {
		claims = map[string]any{}
	}
	claims["sub"] = g.subject
	if l.UserInfo != nil {
		l.UserInfo(claims)
	}
	if l.JWTInfo {
		w.Header().Set("Content-Type", "application/jwt")
		_, _ = fmt.Fprint(w, key.Sign(claims, nil))
		return
	}
	writeJSON(w, http.StatusOK, claims)
}

// revoke is the revocation endpoint (RFC 7009). It is in the metadata only if a test puts it there.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || p.authenticate(r) != nil {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	token := r.PostForm.Get("token")
	delete(p.tokens, "r:"+token)
	p.revoked = append(p.revoked, token)
}

// push is the endpoint for pushed authorization requests (RFC 9126). It is in the metadata if a test puts it there.
func (p *Provider) push(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || p.authenticate(r) != nil {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reference := "urn:ietf:params:oauth:request_uri:" + store.NewToken()
	p.pushed[reference] = r.PostForm
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": reference, "expires_in": 60})
}

func (p *Provider) end(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	p.ended = append(p.ended, q)
	l := p.faults
	p.mu.Unlock()
	to := q.Get("post_logout_redirect_uri")
	if to == "" {
		_, _ = fmt.Fprintln(w, "signed out")
		return
	}
	params := url.Values{"state": {q.Get("state")}}
	if l.Callback != nil {
		l.Callback(params)
	}
	w.Header().Set("Location", to+"?"+params.Encode())
	w.WriteHeader(http.StatusFound)
}
