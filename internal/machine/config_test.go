package machine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
)

func good() machine.Issuer {
	return machine.Issuer{
		Name: "github", Issuer: "https://token.actions.githubusercontent.com", Audiences: []string{audience},
		Rules: []machine.Rule{rule("deploy", claim("repository_id", "74"))},
	}
}

func TestValidateNamesTheOptionAndTheCure(t *testing.T) {
	t.Parallel()
	c := good()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*machine.Issuer){
		`token_issuer: the name "A"`:                         func(c *machine.Issuer) { c.Name = "A" },
		"token_issuer github: issuer: is missing":            func(c *machine.Issuer) { c.Issuer = "" },
		"github: issuer: is http; use https, or add insecur": func(c *machine.Issuer) { c.Issuer = "http://id.example" },
		"github: issuer: has to begin with https://":         func(c *machine.Issuer) { c.Issuer = "ftp://id.example" },
		"github: issuer: is not an address":                  func(c *machine.Issuer) { c.Issuer = "kubernetes/serviceaccount" },
		"github: issuer: leave /.well-known/openid-config":   func(c *machine.Issuer) { c.Issuer += "/.well-known/openid-configuration" },
		"github: jwks: is not the address of a key set":      func(c *machine.Issuer) { c.KeysURL = "http://id.example/jwks" },
		`github: sign_alg: "none"`:                           func(c *machine.Issuer) { c.SignAlgs = []string{"none"} },
		`github: sign_alg: "HS512"`:                          func(c *machine.Issuer) { c.SignAlgs = []string{"RS256", "HS512"} },
		`github: sign_alg: ""`:                               func(c *machine.Issuer) { c.SignAlgs = []string{""} },
		`github: sign_alg: "rs256"`:                          func(c *machine.Issuer) { c.SignAlgs = []string{"rs256"} },
		"github: max_age: has to be positive":                func(c *machine.Issuer) { c.MaxAge = -time.Second },
		"github: audience: is missing":                       func(c *machine.Issuer) { c.Audiences = nil },
		`github: audience: "": it is empty`:                  func(c *machine.Issuer) { c.Audiences = []string{""} },
		`github: audience: "x ": it begins or ends`:          func(c *machine.Issuer) { c.Audiences = []string{"x "} },
		"github: as: is missing":                             func(c *machine.Issuer) { c.Rules = nil },
		`github: as "": no service account has that name`:    func(c *machine.Issuer) { c.Rules[0].Account = "" },
		"github: as deploy: claim is missing":                func(c *machine.Issuer) { c.Rules[0].Claims = nil },
		"as deploy: claim : is not the path":                 func(c *machine.Issuer) { c.Rules[0].Claims[0].Path = "" },
		"as deploy: claim a..b: is not the path":             func(c *machine.Issuer) { c.Rules[0].Claims[0].Path = "a..b" },
		"as deploy: claim repository_id: give at least one":  func(c *machine.Issuer) { c.Rules[0].Claims[0].Values = nil },
		`claim repository_id: "": it is empty`:               func(c *machine.Issuer) { c.Rules[0].Claims[0].Values = []string{"74", ""} },
		`claim repository_id: " 74": it begins or ends`:      func(c *machine.Issuer) { c.Rules[0].Claims[0].Values = []string{" 74"} },
		"it has control characters":                          func(c *machine.Issuer) { c.Rules[0].Claims[0].Values = []string{"7\u200b4"} },
		"it is not valid Unicode text":                       func(c *machine.Issuer) { c.Rules[0].Claims[0].Values = []string{"\ufffd"} },
		"it is too long":                                     func(c *machine.Issuer) { c.Rules[0].Claims[0].Values = []string{strings.Repeat("x", 4000)} },
		`claim sub: "repo:org/*:ref:x": only a * at the end`: func(c *machine.Issuer) { c.Rules[0].Claims[0] = claim("sub", "a", "repo:org/*:ref:x") },
		`claim sub: "*:x": only a * at the end`:              func(c *machine.Issuer) { c.Rules[0].Claims[0] = claim("sub", "*:x") },
		`claim sub: "repo:*:*": only a * at the end`:         func(c *machine.Issuer) { c.Rules[0].Claims[0] = claim("sub", "repo:*:*") },
	} {
		c := good()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, values := range [][]string{{"repo:org/app:ref:refs/heads/*"}, {"repo:org/app:*"}, {"system:serviceaccount:ns:*"}} {
		c := good()
		c.Rules[0].Claims[0] = claim("sub", values...)
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestIssuersThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	other := func(change func(*machine.Issuer)) []machine.Issuer {
		c := good()
		c.Name, c.Issuer = "other", "https://gitlab.example"
		change(&c)
		return []machine.Issuer{good(), c}
	}
	clients := []machine.Client{{Issuer: good().Issuer, ID: "gate"}, {Issuer: "https://id.example", ID: audience}}
	for want, list := range map[string][]machine.Issuer{
		"token_issuer github: is given twice":               other(func(c *machine.Issuer) { c.Name = "github" }),
		"token_issuer other: issuer: is that of github":     other(func(c *machine.Issuer) { c.Issuer = good().Issuer }),
		"token_issuer other: audience: is the client_id of": other(func(c *machine.Issuer) { c.Issuer, c.Audiences = "https://id.example", []string{"x", audience} }),
		"": other(func(*machine.Issuer) {}),
	} {
		if err := machine.Check(list, clients); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A rule that strangers satisfy is a door, not a rule.
func TestRulesThatTellNobodyApartAreWarnedAbout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claims []machine.Claim
		warned bool
	}{
		{[]machine.Claim{claim("repository_id", "74")}, false},
		{[]machine.Claim{claim("environment", "*"), claim("repository_id", "74")}, false},
		{[]machine.Claim{claim("sub", "repo:org/app:*")}, false},
		{[]machine.Claim{claim("sub", "*")}, true},
		{[]machine.Claim{claim("sub", "repo:*")}, true},
		{[]machine.Claim{claim("sub", "re*")}, true},
		{[]machine.Claim{claim("repository_id", "74", "*")}, true},
		{[]machine.Claim{claim("aud", audience), claim("iss", good().Issuer)}, true},
		{[]machine.Claim{claim("environment", "*"), claim("ref", "*")}, true},
		{[]machine.Claim{claim("ref", "refs/heads/main")}, true},
		{[]machine.Claim{claim("environment", "production"), claim("ref_protected", "true")}, true},
		{[]machine.Claim{claim("ref", "refs/heads/main"), claim("repository_id", "74")}, false},
	} {
		i := good()
		i.Rules[0].Claims = c.claims
		if err := i.Validate(); err != nil {
			t.Error(err)
		}
		if got := len(i.Warnings()) > 0; got != c.warned {
			t.Errorf("%v: warned %v", c.claims, got)
		}
	}
}
