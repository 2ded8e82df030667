package caddyauth

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
)

// TokenIssuerConfig is a platform whose programs come with a JWT that it signed, and act as service accounts.
type TokenIssuerConfig struct {
	// Name of the issuer in logs and the audit log: lower-case letters, digits, '-' and '_'.
	Name string `json:"name"`
	// Issuer is the claim iss of its tokens, exactly. Placeholders are allowed.
	Issuer string `json:"issuer"`
	// Audiences are values of which the claim aud has to hold one. Placeholders are allowed.
	Audiences []string `json:"audiences"`
	// JWKS is the address of the issuer's keys, or a file that holds them; default the address that discovery names.
	// Placeholders are allowed.
	JWKS string `json:"jwks,omitempty"`
	// SignAlgs are the algorithms that tokens may be signed with; default RS256, ES256, PS256 and EdDSA. Never none or
	// HS*.
	SignAlgs []string `json:"sign_algs,omitempty"`
	// Type is `at+jwt` for access tokens that say so, and `any` by default.
	Type string `json:"type,omitempty"`
	// MaxAge is how long ago a token may have been issued; default any time.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
	// InsecureHTTP allows http and private addresses, for tests and networks of your own.
	InsecureHTTP bool `json:"insecure_http,omitempty"`
	// As says which service account a token acts as: that of the first rule whose claims all hold.
	As []TokenRule `json:"as"`
}

// TokenRule lets tokens act as a service account.
type TokenRule struct {
	// Account is the name of the service account.
	Account string `json:"account"`
	// Claims have to hold, all of them: each has one of its values, or begins with what is before a * at the end of one.
	// Placeholders are allowed in values.
	Claims []machine.Claim `json:"claims"`
}

// tokenIssuerOptions are the issuers, with placeholders replaced and key files read.
type tokenIssuerOptions struct {
	issuers []machine.Issuer
	clients []machine.Client // of the providers
}

// maxKeyFile is the size of the largest file of keys, in bytes.
const maxKeyFile = 256 << 10

const (
	typeAny    = "any"
	typeAccess = "at+jwt"
)

// parseTokenIssuer reads one issuer:
//
//	token_issuer <name> {
//		issuer   <url>
//		audience <value>…
//		as <service account> {
//			claim <path> <value>…
//		}
//		…
//	}
func parseTokenIssuer(a *App, d *caddyfile.Dispenser) error {
	p := &TokenIssuerConfig{}
	if !d.AllArgs(&p.Name) {
		return d.Err("token_issuer takes one name, such as: token_issuer github { … }")
	}
	for _, other := range a.TokenIssuers {
		if other.Name == p.Name {
			return d.Errf("token_issuer %s is given twice; each issuer needs a name of its own", p.Name)
		}
	}
	begin, lines := *d, []caddyfile.Dispenser(nil)
	if err := p.checkLine(d); err != nil {
		return err
	}
	a.TokenIssuers = append(a.TokenIssuers, p)
	err := block(d, func(option string) error {
		lines = append(lines, *d)
		if err := p.parseLine(d, option); err != nil {
			return err
		}
		if option == "as" {
			return nil // checked line by line
		}
		return p.checkLine(d)
	}, "as")
	if err != nil {
		return err
	}
	c := p.example()
	if err := c.Validate(); err != nil {
		return p.blame(begin, lines).WrapErr(err)
	}
	if err := a.checkTokenIssuers(); err != nil {
		return lineOf("issuer", lines, begin).WrapErr(err)
	}
	return nil
}

func (p *TokenIssuerConfig) parseLine(d *caddyfile.Dispenser, option string) (err error) {
	switch option {
	case "issuer":
		p.Issuer, err = oneArg(d)
	case "audience":
		p.Audiences, err = someArgs(d)
	case "jwks":
		p.JWKS, err = oneArg(d)
	case "sign_alg":
		p.SignAlgs, err = someArgs(d)
	case "type":
		p.Type, err = oneArg(d)
	case "max_age":
		return durationArg(d, &p.MaxAge)
	case "insecure_http":
		p.InsecureHTTP = true
		return noArgs(d)
	case "as":
		return p.parseAs(d)
	default:
		return d.Errf("unrecognized option %q; token_issuer knows issuer, audience, jwks, sign_alg, type, max_age, "+
			"insecure_http and as", option)
	}
	return err
}

// parseAs reads one rule.
func (p *TokenIssuerConfig) parseAs(d *caddyfile.Dispenser) error {
	var account string
	if !d.AllArgs(&account) {
		return d.Err("as takes the name of one service account, and a block: as deploy { claim repository_id 456789 }")
	}
	if err := machine.CheckAccount(account); err != nil {
		return d.Errf("token_issuer %s: %w", p.Name, err)
	}
	begin := *d
	p.As = append(p.As, TokenRule{Account: account})
	r := &p.As[len(p.As)-1]
	err := block(d, func(option string) error {
		if option != "claim" {
			return d.Errf("unrecognized option %q; as knows claim", option)
		}
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.Err("claim takes the path of a claim, and at least one value")
		}
		r.Claims = append(r.Claims, machine.Claim{Path: args[0], Values: args[1:]})
		return p.checkLine(d)
	}, "claim")
	if err != nil {
		return err
	}
	return p.checkLine(&begin)
}

// checkLine refuses what is wrong with the lines so far whatever may follow, so that the error has the line that it is
// about: the ones before were checked already.
func (p *TokenIssuerConfig) checkLine(d *caddyfile.Dispenser) error {
	c := p.literal()
	for _, text := range append(p.texts(&c), optionText{"jwks", &p.JWKS}) {
		if err := checkPlaceholders(*text.value); err != nil {
			return d.Errf("token_issuer %s %s: %w", p.Name, text.option, err)
		}
	}
	c = p.example()
	c.Insecure = true
	if c.Issuer == "" {
		c.Issuer = exampleIssuer
	}
	if p.Audiences == nil {
		c.Audiences = []string{exampleID}
	}
	if len(c.Rules) == 0 {
		c.Rules = []machine.Rule{{Account: exampleID, Claims: []machine.Claim{{Path: "sub", Values: []string{exampleID}}}}}
	}
	err := c.Validate()
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// blame returns the line that an error of the whole block is about: that of a plain http address, or the one that
// begins the block where something is missing.
func (p *TokenIssuerConfig) blame(begin caddyfile.Dispenser, lines []caddyfile.Dispenser) *caddyfile.Dispenser {
	switch {
	case p.InsecureHTTP:
		return &begin
	case strings.HasPrefix(p.Issuer, "http:"):
		return lineOf("issuer", lines, begin)
	case strings.HasPrefix(p.JWKS, "http:"):
		return lineOf("jwks", lines, begin)
	}
	return &begin
}

// lineOf returns the line of an option, or begin.
func lineOf(option string, lines []caddyfile.Dispenser, begin caddyfile.Dispenser) *caddyfile.Dispenser {
	for i := range lines {
		if lines[i].Val() == option {
			return &lines[i]
		}
	}
	return &begin
}

// checkTokenIssuers refuses an issuer that two blocks have, as far as they are written out.
func (a *App) checkTokenIssuers() error {
	var all []machine.Issuer
	for _, p := range a.TokenIssuers {
		if !strings.Contains(p.Issuer, "{") {
			all = append(all, p.example())
		}
	}
	return machine.Check(all, nil)
}
