package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Provider is an OpenID provider.
type Provider struct {
	Issuer string
	Client Client

	t      testing.TB
	server *httptest.Server
	now    func() time.Time

	mu      sync.Mutex
	faults  Faults
	keys    []Key // the first one signs
	users   map[string]map[string]any
	subject string // who signs in unless login_hint says otherwise
	codes   map[string]grant
	tokens  map[string]grant // access and refresh tokens
	calls   map[string]int
	issued  []string // ID tokens
	ended   []url.Values
	revoked []string
	pushed  map[string]url.Values
	down    bool
}

type grant struct {
	subject, nonce, challenge, redirect, scope, sid string
	authTime                                        time.Time
}

// New starts a provider with one user, with subject "user-1". It stops with the test.
func New(t testing.TB) *Provider { return NewAt(t, time.Now) }

// NewAt is New with a clock.
func NewAt(t testing.TB, now func() time.Time) *Provider {
	t.Helper()
	p := &Provider{
		t: t, now: now, keys: []Key{RSA(0)}, subject: "user-1", codes: map[string]grant{}, tokens: map[string]grant{},
		calls: map[string]int{}, pushed: map[string]url.Values{},
		Client: Client{ID: "gate", Secret: "s3cret of the gate: 32 bytes or more"},
		users: map[string]map[string]any{"user-1": {
			"preferred_username": "ada", "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true,
		}},
	}
	mux := http.NewServeMux()
	for path, e := range map[string]struct {
		name string
		h    http.HandlerFunc
	}{
		"/.well-known/openid-configuration": {"discovery", p.discovery}, "/jwks": {"jwks", p.jwks},
		"/jwks2":     {"jwks", p.jwks},
		"/authorize": {"authorize", p.authorize}, "/token": {"token", p.token}, "/userinfo": {"userinfo", p.userinfo},
		"/end": {"end_session", p.end}, "/revoke": {"revocation", p.revoke}, "/par": {"par", p.push},
	} {
		mux.HandleFunc(path, p.endpoint(e.name, e.h))
	}
	p.server = httptest.NewServer(mux)
	p.Issuer = p.server.URL
	t.Cleanup(p.server.Close)
	return p
}

// SetFaults changes the faults of the provider.
func (p *Provider) SetFaults(change func(l *Faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.faults)
}

// ClearFaults removes all faults.
func (p *Provider) ClearFaults() { p.SetFaults(func(l *Faults) { *l = Faults{} }) }

// AddUser adds a user by subject, with claims.
func (p *Provider) AddUser(subject string, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[subject] = maps.Clone(claims)
}

// SetClaim changes a claim of the user who signs in; nil removes it.
func (p *Provider) SetClaim(claim string, v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := maps.Clone(p.users[p.subject])
	claims[claim] = v
	if v == nil {
		delete(claims, claim)
	}
	p.users[p.subject] = claims
}

// SignInAs sets the user who signs in.
func (p *Provider) SignInAs(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subject = subject
}

// SetNow replaces the clock.
func (p *Provider) SetNow(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

// Keys replaces the keys. The first one is used for signing.
func (p *Provider) Keys(keys ...Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// Down makes every connection fail, or ends that.
func (p *Provider) Down(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Calls returns how often an endpoint was called.
func (p *Provider) Calls(endpoint string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[endpoint]
}

// LastIDToken returns the last issued ID token.
func (p *Provider) LastIDToken() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.issued) == 0 {
		return ""
	}
	return p.issued[len(p.issued)-1]
}

// EndSessionCalls returns the parameters of calls of the end-session endpoint.
func (p *Provider) EndSessionCalls() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]url.Values(nil), p.ended...)
}

// Revoked returns the tokens that the revocation endpoint was asked to revoke.
func (p *Provider) Revoked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.revoked...)
}

// Revoke revokes all refresh tokens and access tokens.
func (p *Provider) Revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.tokens)
}

// LogoutToken returns a logout token for a subject and a session ("" leaves either out). change may make it invalid.
func (p *Provider) LogoutToken(subject, sid string, change func(claims, header map[string]any)) string {
	now := p.now()
	claims := map[string]any{
		"iss": p.Issuer, "aud": p.Client.ID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(),
		"jti":           store.NewToken(),
		"events":        map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		"ignored_claim": "x",
	}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	header := map[string]any{}
	if change != nil {
		change(claims, header)
	}
	p.mu.Lock()
	key := p.keys[0]
	p.mu.Unlock()
	return key.Sign(claims, header)
}

// endpoint counts a call and applies faults before h.
func (p *Provider) endpoint(name string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.calls[name]++
		lies, down := p.faults, p.down
		p.mu.Unlock()
		if down {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				_ = conn.Close()
			}
			return
		}
		if lies.Delay > 0 && (name == "token" || name == "userinfo") {
			time.Sleep(lies.Delay) // waits: a provider that takes its time
		}
		w.Header().Set("Date", p.now().UTC().Format(http.TimeFormat))
		if lies.Handle != nil && lies.Handle(name, w, r) {
			return
		}
		h(w, r)
	}
}

func (p *Provider) currentFaults() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token",
		"userinfo_endpoint": p.Issuer + "/userinfo", "jwks_uri": p.Issuer + "/jwks",
		"end_session_endpoint":     p.Issuer + "/end",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
		"token_endpoint_auth_methods_supported": []string{
			"client_secret_basic", "client_secret_post", "client_secret_jwt",
			"private_key_jwt", "none",
		},
		"backchannel_logout_supported": true, "frontchannel_logout_supported": true,
	}
	if l := p.currentFaults(); l.Metadata != nil {
		l.Metadata(m)
	}
	writeJSON(w, http.StatusOK, m)
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	var keys []any
	for _, k := range p.keys {
		keys = append(keys, k.JWK())
	}
	l := p.faults
	p.mu.Unlock()
	var doc any = map[string]any{"keys": keys}
	if l.JWKS != nil {
		doc = l.JWKS(keys)
	}
	writeJSON(w, http.StatusOK, doc)
}

// authorize redirects back at once. It refuses requests that a conforming client never sends.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if reference := q.Get("request_uri"); reference != "" && q.Get("client_id") == p.Client.ID && len(q) == 2 {
		p.mu.Lock()
		q = p.pushed[reference]
		delete(p.pushed, reference)
		p.mu.Unlock()
	}
	if q.Get("client_id") != p.Client.ID || q.Get("response_type") != "code" || q.Get("redirect_uri") == "" ||
		q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("nonce")) < 20 ||
		len(q.Get("state")) < 20 || !strings.Contains(" "+q.Get("scope")+" ", " openid ") {
		http.Error(w, "bad authorization request", http.StatusBadRequest)
		return
	}
	params, l := p.newGrant(q)
	if l.Callback != nil {
		l.Callback(params)
	}
	if l.FormPost {
		var b strings.Builder
		b.WriteString("<!doctype html><body onload=document.forms[0].submit()><form method=post action=\"" +
			html.EscapeString(q.Get("redirect_uri")) + "\">")
		for k, v := range params {
			for _, one := range v {
				b.WriteString("<input type=hidden name=\"" + html.EscapeString(k) + "\" value=\"" + html.EscapeString(one) + "\">")
			}
		}
		b.WriteString("<button>Go on</button></form>")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(b.String()))
		return
	}
	w.Header().Set("Location", q.Get("redirect_uri")+"?"+params.Encode())
	w.WriteHeader(http.StatusFound)
}

func (p *Provider) newGrant(q url.Values) (url.Values, Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	subject := p.subject
	if hint := q.Get("login_hint"); hint != "" {
		subject = hint
	}
	code := store.NewToken()
	p.codes[code] = grant{
		subject: subject, nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), redirect: q.Get("redirect_uri"),
		scope: q.Get("scope"), sid: "sid-" + store.NewToken()[:12], authTime: p.now(),
	}
	return url.Values{"code": {code}, "state": {q.Get("state")}}, p.faults
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(code string) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": "<script>alert(1)</script>"})
	}
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		refuse("invalid_request")
		return
	}
	if err := p.authenticate(r); err != nil {
		p.t.Logf("provider: client authentication: %v", err)
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	var g grant
	var ok bool
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		code := r.PostForm.Get("code")
		g, ok = p.codes[code]
		delete(p.codes, code)
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		ok = ok && g.redirect == r.PostForm.Get("redirect_uri") && g.challenge == base64.RawURLEncoding.EncodeToString(sum[:])
	case "refresh_token":
		token := r.PostForm.Get("refresh_token")
		g, ok = p.tokens["r:"+token]
		delete(p.tokens, "r:"+token) // rotated: reuse is rejected
	}
	p.mu.Unlock()
	if !ok {
		refuse("invalid_grant")
		return
	}
	writeJSON(w, http.StatusOK, p.issue(g, r.PostForm.Get("grant_type") == "refresh_token"))
}

func (p *Provider) issue(g grant, refresh bool) map[string]any {
	response, fault := p.newResponse(g, refresh)
	if fault != nil {
		fault(response) // which may wait for what else is asked
	}
	return response
}

func (p *Provider) newResponse(g grant, refresh bool) (response map[string]any, fault func(map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	access, next := store.NewToken(), store.NewToken()
	p.tokens["a:"+access], p.tokens["r:"+next] = g, g
	response = map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": next}
	now := p.now()
	claims := map[string]any{
		"iss": p.Issuer, "sub": g.subject, "aud": p.Client.ID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"sid": g.sid, "auth_time": g.authTime.Unix(), "at_hash": atHash(p.keys[0].Alg, access),
	}
	if !refresh {
		claims["nonce"] = g.nonce
	}
	if p.faults.ID != nil {
		p.faults.ID(claims)
	}
	var id any = p.keys[0].Sign(claims, p.faults.Header)
	if p.faults.Sign != nil {
		id = p.faults.Sign(claims)
	}
	response["id_token"] = id
	if s, ok := id.(string); ok {
		p.issued = append(p.issued, s)
	}
	return response, p.faults.Token
}
