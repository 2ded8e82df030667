package machine

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// Issuer is the configuration of one issuer, with placeholders resolved and files read.
type Issuer struct {
	Name        string // in logs and the audit log; [NameForm]
	Issuer      string // iss, exactly
	Audiences   []string
	KeysURL     string // "" for the one that discovery names
	Keys        []byte // a JWKS in place of an address
	SignAlgs    []string
	AccessToken bool // typ has to be at+jwt
	MaxAge      time.Duration
	Insecure    bool // allows http, and addresses of this machine and its networks
	Rules       []Rule
}

// Rule lets a token act as a service account if all of its claims hold.
type Rule struct {
	Account string
	Claims  []Claim
}

// Claim holds if the claim at Path has one of Values. A value that ends in * stands for all that begin with what is
// before it; everything else is compared as it came.
type Claim struct {
	Path   string   `json:"path"`
	Values []string `json:"values"`
}

const (
	maxText = 2 << 10 // of a value, in bytes
	maxPath = 256
)

// NameForm is the form of an issuer's name.
var NameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?$`)

// Validate returns the first problem with c, naming the option. It makes no requests.
func (c *Issuer) Validate() error {
	if !NameForm.MatchString(c.Name) {
		return fmt.Errorf("token_issuer: the name %q: use lower-case letters, digits, '-' and '_', at most 40", c.Name)
	}
	for _, check := range []func() error{c.checkSource, c.checkAudiences, c.checkRules} {
		if err := check(); err != nil {
			return fmt.Errorf("token_issuer %s: %w", c.Name, err)
		}
	}
	return nil
}

func (c *Issuer) source() *oidc.IssuerConfig {
	return &oidc.IssuerConfig{Issuer: c.Issuer, KeysURL: c.KeysURL, Keys: c.Keys, Insecure: c.Insecure}
}

func (c *Issuer) checkSource() error {
	if err := c.source().Validate(); err != nil {
		return err
	}
	for _, alg := range c.SignAlgs {
		if err := oidc.CheckSignAlg(alg); err != nil {
			return err
		}
	}
	if c.MaxAge < 0 {
		return errors.New("max_age: has to be positive; leave it out for any age")
	}
	return nil
}

func (c *Issuer) checkAudiences() error {
	if len(c.Audiences) == 0 {
		return errors.New("audience: is missing; without it a token that was made for somebody else would be accepted " +
			"here. Have the program ask for one of its own, such as this site's address")
	}
	for _, a := range c.Audiences {
		if fault := checkText(a); fault != "" {
			return fmt.Errorf("audience: %s: %w", identifier.Example(a), fault)
		}
	}
	return nil
}

func (c *Issuer) checkRules() error {
	if len(c.Rules) == 0 {
		return errors.New("as: is missing; say which service account a token acts as, and by which claims: " +
			"as deploy { claim repository_id 456789 }")
	}
	for _, r := range c.Rules {
		if err := CheckAccount(r.Account); err != nil {
			return err
		}
		if len(r.Claims) == 0 {
			return fmt.Errorf("as %s: claim is missing; without one every token of this issuer would be %s: on a public "+
				"platform those of strangers, too", r.Account, r.Account)
		}
		for _, claim := range r.Claims {
			if err := claim.validate(); err != nil {
				return fmt.Errorf("as %s: claim %s: %w", r.Account, identifier.Clean(claim.Path, 60), err)
			}
		}
	}
	return nil
}

// CheckAccount returns an error for a name that no service account can have.
func CheckAccount(name string) error {
	if fault := identifier.CheckUsername(name); fault != "" {
		return fmt.Errorf("as %s: no service account has that name: %w", identifier.Example(name), fault)
	}
	return nil
}

func (c Claim) validate() error {
	if len(c.Path) > maxPath || checkText(c.Path) != "" ||
		strings.HasPrefix(c.Path, ".") || strings.HasSuffix(c.Path, ".") || strings.Contains(c.Path, "..") {
		return errors.New("is not the path of a claim, such as repository_id or kubernetes.io.namespace")
	}
	if len(c.Values) == 0 {
		return errors.New("give at least one value")
	}
	for _, v := range c.Values {
		fault := checkText(v)
		star := strings.IndexByte(v, '*')
		switch {
		case fault != "":
			return fmt.Errorf("%s: %w", identifier.Example(v), fault)
		case c.Path == "sub" && star >= 0 && star < strings.LastIndexByte(v, ':'):
			return fmt.Errorf("%s: only a * at the end stands for more, and what is before it in sub is a name that somebody "+
				"else may have one day; use claims with ids, such as repository_id", identifier.Example(v))
		}
	}
	return nil
}

// checkText returns why no claim can be this text; "" for nothing.
func checkText(s string) identifier.Fault {
	switch {
	case s == "":
		return identifier.Missing
	case len(s) > maxText:
		return identifier.Long
	case !utf8.ValidString(s), strings.ContainsRune(s, utf8.RuneError):
		return identifier.Encoding
	case strings.TrimSpace(s) != s:
		return identifier.Space
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || identifier.Ignorable(r) }):
		return identifier.Invisible
	}
	return ""
}

// Warnings returns what is allowed, and may not be meant.
func (c *Issuer) Warnings() []string {
	var out []string
	for _, r := range c.Rules {
		if !slices.ContainsFunc(r.Claims, Claim.tellsApart) {
			out = append(out, fmt.Sprintf("token_issuer %s: as %s: no claim has a value of its own, so tokens of strangers "+
				"at this issuer may act as %s; add one such as repository_id", c.Name, r.Account, r.Account))
		}
	}
	return out
}

// shared are claims that say what a run is like, not whose it is: at a public issuer those of strangers have the same
// values.
var shared = []string{
	"iss", "aud", "exp", "iat", "nbf", "jti", "ref", "ref_type", "ref_path", "ref_protected", "environment",
	"environment_protected", "deployment_tier", "event_name", "pipeline_source", "runner_environment",
	"repository_visibility", "project_visibility",
}

// tellsApart reports whether a claim holds for some tokens only: aud does for all that are accepted, and so does a
// value that stands for everything, or for all that begins with one kind of names.
func (c Claim) tellsApart() bool {
	if slices.Contains(shared, c.Path) {
		return false
	}
	return !slices.ContainsFunc(c.Values, func(v string) bool {
		prefix, is := strings.CutSuffix(v, "*")
		kind, name, _ := strings.Cut(prefix, ":")
		return is && (kind == "" || c.Path == "sub" && name == "")
	})
}
