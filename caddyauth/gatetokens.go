package caddyauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// The options tokens, basic and pass_token of a site: where programs get in, and what the app sees of it.

// tokensOff is the word that closes a site to tokens.
const tokensOff = "off"

// gateTokens are the options as a gate uses them.
type gateTokens struct {
	off   bool
	paths policy.Paths // where tokens are taken, if there are any
	some  bool         // there are paths
	basic policy.Paths
}

// parseGateTokens reads `tokens <path>…|off`.
func (g *Gate) parseGateTokens(d *caddyfile.Dispenser) error {
	args, err := someArgs(d)
	if err != nil {
		return err
	}
	g.Tokens = append(g.Tokens, args...)
	return g.checkParsedTokens(d)
}

// parseBasic reads `basic <path>…`.
func (g *Gate) parseBasic(d *caddyfile.Dispenser) error {
	args, err := someArgs(d)
	if err != nil {
		return err
	}
	g.Basic = append(g.Basic, args...)
	return g.checkParsedTokens(d)
}

// parsePassToken reads `pass_token`.
func (g *Gate) parsePassToken(d *caddyfile.Dispenser) error {
	g.PassToken = true
	return noArgs(d)
}

func (g *Gate) checkParsedTokens(d *caddyfile.Dispenser) error {
	if err := g.checkTokens(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// checkTokens refuses what contradicts itself.
func (g *Gate) checkTokens() error {
	if slices.Contains(g.Tokens, tokensOff) {
		switch {
		case len(g.Tokens) > 1:
			return errors.New("tokens: off closes the site to tokens; give either off or paths")
		case len(g.Basic) > 0:
			return errors.New("basic: tokens are off here, so that nobody could use it; take one of the two lines out")
		}
	}
	_, err := newGateTokens(g)
	return err
}

// newGateTokens makes rules of the options.
func newGateTokens(g *Gate) (t gateTokens, err error) {
	t.off = slices.Contains(g.Tokens, tokensOff)
	if !t.off {
		if t.paths, err = tokenPaths("tokens", g.Tokens); err != nil {
			return t, err
		}
		t.some = len(g.Tokens) > 0
	}
	t.basic, err = tokenPaths("basic", g.Basic)
	return t, err
}

// tokenPaths makes rules of the paths of an option.
func tokenPaths(option string, paths []string) (policy.Paths, error) {
	for _, p := range paths {
		if strings.ContainsAny(p, "{}") {
			return policy.Paths{}, placeholderInPath(option, p)
		}
	}
	if err := repeated(option, paths, same); err != nil {
		return policy.Paths{}, err
	}
	rules, err := policy.NewPaths(paths)
	if err != nil {
		return policy.Paths{}, fmt.Errorf("%s: %w", option, err)
	}
	return rules, nil
}

// provisionTokens makes rules of the options, and refuses them where there are no tokens.
func (g *Gate) provisionTokens() (err error) {
	if g.gateTokens, err = newGateTokens(g); err != nil {
		return err
	}
	none := !g.app.opt.takesPrograms()
	for option, useless := range map[string]bool{
		"tokens":     none && len(g.Tokens) > 0 && !g.gateTokens.off,
		"basic":      g.app.opt.tokens == nil && len(g.Basic) > 0, // JWTs come as bearer tokens only
		"pass_token": none && g.PassToken,
	} {
		if useless {
			return fmt.Errorf("%s: there are no tokens to take: switch them on in the global option, { gatehouse { tokens } }",
				option)
		}
	}
	return nil
}

// takesPrograms reports whether programs have any way in.
func (o *options) takesPrograms() bool { return o.tokens != nil || len(o.issuers) > 0 }

// takesTokens reports whether tokens are taken for a path of this gate.
func (t *gateTokens) takesTokens(target policy.Target) bool {
	return !t.off && (!t.some || t.paths.Match(target))
}
