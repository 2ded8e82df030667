package oidc

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What cannot mean what it says is refused by its name.
func TestOptionsThatCannotMeanWhatTheySayAreRefused(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{Name: "test", Issuer: "https://id.example.com", ClientID: "gate", Secret: "s"}
	}
	for want, change := range map[string]func(*Config){
		"discovery":                 func(c *Config) { c.Discovery = "http://10.0.0.1/x" },
		"endpoint token":            func(c *Config) { c.Endpoints = map[string]string{"token": "//id.example.com/t"} },
		"endpoint tokens":           func(c *Config) { c.Endpoints = map[string]string{"tokens": "https://id.example.com/t"} },
		"userinfo off":              func(c *Config) { c.NoUserinfo, c.Endpoints = true, map[string]string{"userinfo": "https://x.example"} },
		"refresh off":               func(c *Config) { c.NoRefresh, c.RefreshGrace = true, time.Hour },
		"ca_file":                   func(c *Config) { c.CA = []byte("no certificate") },
		"identity_key email":        func(c *Config) { c.IdentityKey = "email" },
		"identity_key UPN":          func(c *Config) { c.IdentityKey = "UPN" },
		"identity_key hd":           func(c *Config) { c.IdentityKey = "hd" },
		"identity_key Organization": func(c *Config) { c.IdentityKey = "Organization" },
		"identity_key nonce":        func(c *Config) { c.IdentityKey = "nonce" },
		"identity_key":              func(c *Config) { c.IdentityKey = " oid" },
		"login_hint contradict":     func(c *Config) { c.LoginHint, c.AuthParams = true, []AuthParam{{"login_hint", "ada"}} },
		"x is given twice":          func(c *Config) { c.AuthParams = []AuthParam{{"x", "1"}, {"x", "2"}} },
		"value of x":                func(c *Config) { c.AuthParams = []AuthParam{{"x", ""}} },
		"name of a parameter":       func(c *Config) { c.AuthParams = []AuthParam{{"a b", "1"}} },
	} {
		c := good()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, name := range append(reservedParams, "State", "NONCE") {
		c := good()
		c.AuthParams = []AuthParam{{name, "x"}}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("auth_params %s: %v", name, err)
		}
	}
	c := good()
	c.IdentityKey, c.AuthParams = "oid", []AuthParam{{"acr_values", "urn:x y"}, {"prompt", "select_account"}}
	c.Discovery, c.Endpoints = "https://in.example.com/d", map[string]string{"jwks": "https://in.example.com:8443/k"}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// What comes from one address never serves a configuration that names another one.
func TestConfigurationsWithOtherAddressesShareNoState(t *testing.T) {
	t.Parallel()
	keys := make(map[string]bool)
	for _, c := range []Config{
		{Issuer: "https://a.example"},
		{Issuer: "https://a.example", Insecure: true},
		{Issuer: "https://a.example", Discovery: "https://b.example/d"},
		{Issuer: "https://a.example", Endpoints: map[string]string{"token": "https://b.example/t"}},
		{Issuer: "https://a.example", Endpoints: map[string]string{"jwks": "https://b.example/t"}},
		{Issuer: "https://a.example", CA: []byte("x")},
	} {
		keys[c.poolKey()] = true
	}
	if len(keys) != 6 {
		t.Errorf("there are %d keys", len(keys))
	}
}

// A certificate of a CA of one's own: misconfigured without ca_file, trusted with it, and by that provider only.
func TestACAOfOnesOwnIsTrustedWhereItIsNamed(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.ReplaceAll(string(fuzzDiscovery), fuzzIssuer, "https://"+server.Listener.Addr().String())))
	})
	server.StartTLS()
	defer server.Close()
	pool := NewPool(PoolOptions{})
	defer pool.Close()
	c := Config{Name: "test", Issuer: server.URL, ClientID: "gate", Secret: "s", Insecure: true}
	_, err := pool.remote(&c).metadata(t.Context(), time.Hour)
	if KindOf(err) != Misconfigured || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("without: %v", err)
	}
	c.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.remote(&c).metadata(t.Context(), time.Hour); err != nil {
		t.Errorf("with: %v", err)
	}
}
