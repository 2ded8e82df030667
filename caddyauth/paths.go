package caddyauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// The options public, optional and api: which paths are open, and which are never redirected. Those of tokens and basic
// are read in the same way.

func (g *Gate) parsePublic(d *caddyfile.Dispenser) error { return g.parsePaths(d, &g.Public) }

func (g *Gate) parseOptional(d *caddyfile.Dispenser) error { return g.parsePaths(d, &g.Optional) }

func (g *Gate) parseAPI(d *caddyfile.Dispenser) error { return g.parsePaths(d, &g.API) }

// parsePaths reads path rules and checks them where the line number is known.
func (g *Gate) parsePaths(d *caddyfile.Dispenser, to *[]string) error {
	args, err := someArgs(d)
	if err != nil {
		return err
	}
	return g.addPaths(d, to, args)
}

func (g *Gate) addPaths(d *caddyfile.Dispenser, to *[]string, args []string) error {
	*to = append(*to, args...)
	if err := g.checkPaths(); err != nil {
		return d.WrapErr(err)
	}
	if _, err := policy.NewPaths(args); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// pathList are the paths of one option, and where the rules that are made of them go.
type pathList struct {
	option string
	paths  []string
	rules  *policy.Paths
}

// pathLists are those of all options.
func (g *Gate) pathLists() []pathList {
	return []pathList{
		{"public", g.Public, &g.public},
		{"optional", g.Optional, &g.optional},
		{"api", g.API, &g.api},
		{"tokens", g.tokenPaths(), &g.tokens},
		{"basic", g.Basic, &g.basic},
	}
}

// checkPaths refuses placeholders and paths that are given twice.
func (g *Gate) checkPaths() error {
	for _, list := range g.pathLists() {
		for _, p := range list.paths {
			if strings.ContainsAny(p, "{}") {
				return fmt.Errorf("%s: path %q: placeholders are not replaced here; write the path itself, with %%7B and %%7D "+
					"for braces", list.option, p)
			}
		}
		if err := repeated(list.option, list.paths, same); err != nil {
			return err
		}
	}
	for _, p := range g.Optional {
		if slices.Contains(g.Public, p) {
			return fmt.Errorf("path %q is both public and optional; choose one: public passes no identity on", p)
		}
	}
	return nil
}

// provisionPaths makes rules of the configured paths.
func (g *Gate) provisionPaths() (err error) {
	for _, list := range g.pathLists() {
		if *list.rules, err = policy.NewPaths(list.paths); err != nil {
			return fmt.Errorf("%s: %w", list.option, err)
		}
	}
	return nil
}
