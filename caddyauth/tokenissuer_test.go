package caddyauth_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/machine"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func tokenIssuer(change func(*caddyauth.TokenIssuerConfig)) *caddyauth.App {
	p := &caddyauth.TokenIssuerConfig{
		Name: "ci", Issuer: "https://ci.example.com", Audiences: []string{"gate"},
		As: []caddyauth.TokenRule{{Account: "deploy", Claims: []machine.Claim{{Path: "sub", Values: []string{"x"}}}}},
	}
	change(p)
	return &caddyauth.App{TokenIssuers: []*caddyauth.TokenIssuerConfig{p}}
}

// What the Caddyfile refuses about issuers is refused in JSON, and in what variables and files hold.
func TestTokenIssuersAreCheckedWhereverTheirValuesComeFrom(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys, err := json.Marshal(map[string]any{"keys": []any{idp.RSA(0).JWK()}})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"TEST_SPACE": " x", "TEST_LINE": "x\n", "TEST_LINES": "x\ny", "TEST_STAR": "a:*:b", "TEST_HTTP": "http://ci.example.com",
		"TEST_ISSUER": "https://ci.example.com", "TEST_KEYS": file("keys.json", string(keys)), "TEST_PREFIX": "repo:x:",
	} {
		t.Setenv(name, value)
	}
	claim := func(v string) func(*caddyauth.TokenIssuerConfig) {
		return func(p *caddyauth.TokenIssuerConfig) { p.As[0].Claims[0].Values = []string{v} }
	}
	jwks := func(v string) func(*caddyauth.TokenIssuerConfig) {
		return func(p *caddyauth.TokenIssuerConfig) { p.JWKS = v }
	}
	for want, change := range map[string]func(*caddyauth.TokenIssuerConfig){
		"audience: is missing":               func(p *caddyauth.TokenIssuerConfig) { p.Audiences = nil },
		"as: is missing":                     func(p *caddyauth.TokenIssuerConfig) { p.As = nil },
		"as deploy: claim is missing":        func(p *caddyauth.TokenIssuerConfig) { p.As[0].Claims = nil },
		"claim sub: give at least one value": func(p *caddyauth.TokenIssuerConfig) { p.As[0].Claims[0].Values = nil },
		`type: "jwt"; use any or at+jwt`:     func(p *caddyauth.TokenIssuerConfig) { p.Type = "jwt" },
		"max_age: has to be positive":        func(p *caddyauth.TokenIssuerConfig) { p.MaxAge = -1 },
		`sign_alg: "none"`:                   func(p *caddyauth.TokenIssuerConfig) { p.SignAlgs = []string{"none"} },
		`audience: "gate" is given twice`:    func(p *caddyauth.TokenIssuerConfig) { p.Audiences = []string{"gate", "gate"} },
		"issuer: is http":                    func(p *caddyauth.TokenIssuerConfig) { p.Issuer = "{env.TEST_HTTP}" },
		"token_issuer ci issuer: evaluated placeholder {env.TEST_NONE} is empty":    func(p *caddyauth.TokenIssuerConfig) { p.Issuer = "{env.TEST_NONE}" },
		"token_issuer ci audience: evaluated placeholder {env.TEST_NONE} is empty":  func(p *caddyauth.TokenIssuerConfig) { p.Audiences = []string{"{env.TEST_NONE}"} },
		"audience: begins or ends with white space":                                 func(p *caddyauth.TokenIssuerConfig) { p.Audiences = []string{"{env.TEST_SPACE}"} },
		"token_issuer ci claim sub: evaluated placeholder {env.TEST_NONE} is empty": claim("{env.TEST_NONE}"),
		"claim sub: begins or ends with white space":                                claim("{env.TEST_SPACE}"),
		"claim sub: has a control character or a line break":                        claim("{env.TEST_LINES}"),
		`claim sub: "a:*:b": only a * at the end stands`:                            claim("{env.TEST_STAR}"),
		`claim sub: "repo:x:*:y": only a * at the end`:                              claim("{env.TEST_PREFIX}*:y"),
		"token_issuer ci jwks: evaluated placeholder {env.TEST_NONE} is empty":      jwks("{env.TEST_NONE}"),
		"jwks: is neither an https address nor a file":                              jwks("file:///etc/keys"),
		"token_issuer ci jwks: stat ":                                               jwks(filepath.Join(dir, "none")),
		"token_issuer ci jwks: " + dir + ": give a file of at most 256 KiB":         jwks(dir),
		"token_issuer ci jwks: the file is empty":                                   jwks(file("empty", "")),
		"jwks: the file cannot be used: the keys are not JSON":                      jwks(file("text", "text")),
		"jwks: the file cannot be used: there is no key":                            jwks(file("none.json", `{"keys":[]}`)),
		"jwks: the file cannot be used: there is no usable key":                     jwks(file("weak.json", `{"keys":[{"kty":"oct","k":"AAAA"}]}`)),
		"large: give a file of at most 256 KiB":                                     jwks(file("large", strings.Repeat(" ", 256<<10+1))),
	} {
		if err := tokenIssuer(change).Resolve(); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "token_issuer ci") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, change := range []func(*caddyauth.TokenIssuerConfig){
		func(*caddyauth.TokenIssuerConfig) {}, jwks("{env.TEST_KEYS}"), claim("{env.TEST_LINE}"), claim("{env.TEST_PREFIX}*"),
		func(p *caddyauth.TokenIssuerConfig) { p.Type = "at+jwt" }, func(p *caddyauth.TokenIssuerConfig) { p.Type = "any" },
	} {
		if err := tokenIssuer(change).Resolve(); err != nil {
			t.Error(err)
		}
	}
	if err := (&caddyauth.App{TokenIssuers: []*caddyauth.TokenIssuerConfig{nil}}).Resolve(); err == nil {
		t.Error("an issuer that is null is accepted")
	}
}

func TestTokenIssuersThatContradictOthersAreRefused(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("TEST_ISSUER", "https://ci.example.com")
	t.Setenv("TEST_CLIENT", "gate")
	first := tokenIssuer(func(*caddyauth.TokenIssuerConfig) {}).TokenIssuers[0]
	second := tokenIssuer(func(p *caddyauth.TokenIssuerConfig) { p.Name, p.Issuer = "b", "{env.TEST_ISSUER}" }).TokenIssuers[0]
	people := &caddyauth.ProviderConfig{Name: "a", Issuer: "https://ci.example.com", ClientID: "{env.TEST_CLIENT}", ClientSecret: "s"}
	for want, app := range map[string]*caddyauth.App{
		"token_issuer b: issuer: is that of ci, too":       {TokenIssuers: []*caddyauth.TokenIssuerConfig{first, second}},
		"token_issuer ci: is given twice":                  {TokenIssuers: []*caddyauth.TokenIssuerConfig{first, first}},
		"token_issuer ci: audience: is the client_id of a": {TokenIssuers: []*caddyauth.TokenIssuerConfig{first}, OIDC: []*caddyauth.ProviderConfig{people}},
	} {
		if err := app.Resolve(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
