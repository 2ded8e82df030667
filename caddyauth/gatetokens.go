package caddyauth

import (
	"cmp"
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

// parseGateTokens reads `tokens <path>…|off`.
func (g *Gate) parseGateTokens(d *caddyfile.Dispenser) error {
	args, err := someArgs(d)
	if err != nil {
		return err
	}
	if !slices.Contains(args, tokensOff) {
		err = g.addPaths(d, &g.Tokens, args)
	} else {
		g.Tokens = append(g.Tokens, args...)
	}
	if err != nil {
		return err
	}
	return g.checkParsedTokens(d)
}

// parseBasic reads `basic <path>…`.
func (g *Gate) parseBasic(d *caddyfile.Dispenser) error {
	if err := g.parsePaths(d, &g.Basic); err != nil {
		return err
	}
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
	switch {
	case !slices.Contains(g.Tokens, tokensOff):
	case len(g.Tokens) > 1:
		return errors.New("tokens: off closes the site to tokens; give either off or paths")
	case len(g.Basic) > 0:
		return errors.New("basic: tokens are off here, so that nobody could use it; take one of the two lines out")
	}
	return nil
}

// tokenPaths returns the paths on which tokens are taken, nil where they are off, or taken everywhere.
func (g *Gate) tokenPaths() []string {
	if slices.Contains(g.Tokens, tokensOff) {
		return nil
	}
	return g.Tokens
}

// checkProgramsGetIn refuses the options where there are no tokens.
func (g *Gate) checkProgramsGetIn() error {
	none := !g.app.opt.takesPrograms()
	for option, useless := range map[string]bool{
		"tokens":     none && len(g.tokenPaths()) > 0,
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

// warnBasic warns of paths for Basic on which this gate takes no token: a program is asked for one there, and gets in
// with none.
func (g *Gate) warnBasic() error {
	if len(g.tokenPaths()) == 0 {
		return nil
	}
	for _, path := range g.Basic {
		if g.tokens.Contains(path) {
			continue
		}
		err := g.app.warn(cmp.Or(g.At, "http.handlers.gatehouse"), "basic "+path+": programs are asked for a token there, "+
			"and tokens are taken on other paths only, "+strings.Join(g.Tokens, " ")+"; name the path in tokens, or a part of "+
			"it that is there in basic")
		if err != nil {
			return err
		}
	}
	return nil
}

// takesPrograms reports whether programs have any way in.
func (o *options) takesPrograms() bool { return o.tokens != nil || len(o.issuers) > 0 }

// takesTokens reports whether tokens are taken for a path of this gate.
func (g *Gate) takesTokens(target policy.Target) bool {
	return len(g.Tokens) == 0 || len(g.tokenPaths()) > 0 && g.tokens.Match(target)
}
