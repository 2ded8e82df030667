package caddyauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
)

// What the Caddyfile refuses about hosts, providers and limits is refused in JSON.
func TestJSONRefusesWhatCaddyfilesRefuse(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	provider := func(change func(*caddyauth.ProviderConfig)) *caddyauth.App {
		p := &caddyauth.ProviderConfig{Name: "a", Issuer: "https://id.example.com", ClientID: "1", ClientSecret: "s"}
		change(p)
		return &caddyauth.App{OIDC: []*caddyauth.ProviderConfig{p}}
	}
	allow := func(rules ...caddyauth.AllowRule) *caddyauth.App {
		return provider(func(p *caddyauth.ProviderConfig) { p.Allow = rules })
	}
	window := func(n int, d time.Duration) *caddyauth.App {
		return &caddyauth.App{Throttle: &caddyauth.ThrottleConfig{ClientAttempts: n, ClientWindow: caddy.Duration(d)}}
	}
	for want, app := range map[string]*caddyauth.App{
		`sign_in passwords: unknown value "never"`:            {SignIn: &caddyauth.SignInConfig{Passwords: "never"}},
		`sign_in first: there is no provider "a"`:             {SignIn: &caddyauth.SignInConfig{First: "a"}},
		`sign_in passwords off: there is no prov`:             {SignIn: &caddyauth.SignInConfig{Passwords: "off"}, Admin: &caddyauth.AdminConfig{Mode: "managed"}},
		`admin_host: "a.test" is given twice`:                 {AdminHosts: []string{"a.test", "A.test"}},
		`admin_host: "[::1" is not a host`:                    {AdminHosts: []string{"[::1"}},
		`trust_return: "a.test" is given twice`:               {TrustReturn: []string{"a.test:443", "a.test"}},
		`trust_return: "[::1]" is given twice`:                {TrustReturn: []string{"[::1]:443", "[0::1]:443"}},
		`trust_return: "[::1]]" is not a host`:                {TrustReturn: []string{"[::1]]"}},
		`trust_return: "[::ffff:1.2.3.4]" is not a host`:      {TrustReturn: []string{"[::ffff:1.2.3.4]"}},
		`oidc a: sign_alg: "RS256" is given twice`:            provider(func(p *caddyauth.ProviderConfig) { p.SignAlgs = []string{"RS256", "RS256"} }),
		`oidc a: scopes: "openid" is given twice`:             provider(func(p *caddyauth.ProviderConfig) { p.Scopes = []string{"openid", "openid"} }),
		`oidc a: admin_group: "g" is given twice`:             provider(func(p *caddyauth.ProviderConfig) { p.AdminGroups = []string{"g", "g"} }),
		`oidc a: allow group: "g" is given twice`:             allow(caddyauth.AllowRule{Field: "group", Values: []string{"g"}}, caddyauth.AllowRule{Field: "group", Values: []string{"h", "g"}}),
		`oidc a: allow email: "x@a.test" is given twice`:      allow(caddyauth.AllowRule{Field: "email", Values: []string{"x@a.test", "X@a.test"}}),
		`throttle client: a window of 999µs is too short`:     window(1, 999*time.Microsecond),
		`throttle client: 1000001 attempts; use 1 to 1000000`: window(1_000_001, time.Hour),
		`throttle client: give both a count and a window`:     window(1, 0),
	} {
		if err := app.Resolve(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, app := range []*caddyauth.App{
		{AdminHosts: []string{"a.test", "a.test:443", "::1", "[::1]:8443"}, TrustReturn: []string{"a.test", "a.test:8443", "::1"}},
		allow(caddyauth.AllowRule{Field: "group", Values: []string{"a", "A"}}, caddyauth.AllowRule{Field: "subject", Values: []string{"a", "A"}}),
		window(1_000_000, time.Millisecond),
	} {
		if err := app.Resolve(); err != nil {
			t.Error(err)
		}
	}
}
