package oidc_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// env is a relying party and its provider.
type env struct {
	t    testing.TB
	idp  *provider.Provider
	db   store.Store
	pool *oidc.Pool
	cfg  oidc.Config
	reg  *oidc.Registry
}

const callback = "https://app.example.com/_auth/oidc/test/callback"

func newEnv(t testing.TB, change ...func(*oidc.Config)) *env {
	t.Helper()
	e := &env{t: t, idp: provider.New(t), db: testenv.Store(t), pool: oidc.NewPool(oidc.PoolOptions{})}
	e.cfg = oidc.Config{
		Name: "test", Issuer: e.idp.Issuer, ClientID: e.idp.Client.ID, Secret: e.idp.Client.Secret,
		Insecure: true,
	}
	for _, f := range change {
		f(&e.cfg)
	}
	e.reg = e.registry()
	t.Cleanup(e.pool.Close)
	return e
}

func (e *env) registry() *oidc.Registry {
	e.t.Helper()
	reg, err := oidc.NewRegistry(e.pool, e.db, []oidc.Config{e.cfg}, oidc.Options{})
	if err != nil {
		e.t.Fatal(err)
	}
	return reg
}

// begin begins a flow and returns the parameters of the provider's redirect.
func (e *env) begin(s oidc.FlowOptions) (oidc.AuthRequest, url.Values) {
	e.t.Helper()
	if s.RedirectURI == "" {
		s.RedirectURI, s.Purpose = callback, oidc.PurposeLogin
	}
	b, err := e.reg.Begin(e.ctx(), "test", s)
	if err != nil {
		e.t.Fatal(err)
	}
	return b, e.visit(b.URL)
}

func (e *env) visit(address string) url.Values {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.ctx(), http.MethodGet, address, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		e.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		e.t.Fatalf("the provider refused the authorization request: %s", resp.Status)
	}
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		e.t.Fatal(err)
	}
	return back.Query()
}

func (e *env) finish(b oidc.AuthRequest, params url.Values) (oidc.CallbackResult, error) {
	a, err := oidc.ParseAuthResponse(params)
	if err != nil {
		return oidc.CallbackResult{}, err
	}
	return e.reg.Finish(e.ctx(), "test", a, jar(b))
}

func (e *env) signIn() (*oidc.Claims, error) {
	e.t.Helper()
	f, err := e.finish(e.begin(oidc.FlowOptions{}))
	return f.Claims, err
}

func (e *env) ctx() context.Context { return e.t.Context() }

func jar(b oidc.AuthRequest) func(string) string {
	return func(name string) string {
		if name == b.Cookie.Name {
			return b.Cookie.Value
		}
		return ""
	}
}

func TestASignInReturnsTheProvidersClaims(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.idp.SetClaim("groups", []string{"staff", "admins"})
	p, err := e.signIn()
	if err != nil {
		t.Fatal(err)
	}
	if p.Issuer != e.idp.Issuer || p.Subject != "user-1" || p.Username != "ada" || p.Email.String() != "ada@example.com" ||
		!p.EmailVerified || p.Name != "Ada Lovelace" || len(p.Groups) != 2 || p.SID == "" ||
		p.Tokens.IDToken != e.idp.LastIDToken() {
		t.Errorf("got %+v", p)
	}
}
