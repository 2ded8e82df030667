package caddyauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// The options public, optional and api: which paths are open, and which are never redirected.

func (g *Gate) parsePublic(d *caddyfile.Dispenser) error { return g.parsePaths(d, &g.Public) }

func (g *Gate) parseOptional(d *caddyfile.Dispenser) error { return g.parsePaths(d, &g.Optional) }

func (g *Gate) parseAPI(d *caddyfile.Dispenser) error { return g.parsePaths(d, &g.API) }

// parsePaths reads path rules and checks them where the line number is known.
func (g *Gate) parsePaths(d *caddyfile.Dispenser, to *[]string) error {
	args, err := someArgs(d)
	if err != nil {
		return err
	}
	*to = append(*to, args...)
	if err := g.checkPaths(); err != nil {
		return d.WrapErr(err)
	}
	if _, err := policy.NewPaths(args); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// checkPaths refuses placeholders and paths that are given twice.
func (g *Gate) checkPaths() error {
	for _, list := range []struct {
		option string
		paths  []string
	}{{"public", g.Public}, {"optional", g.Optional}, {"api", g.API}} {
		for _, p := range list.paths {
			if strings.ContainsAny(p, "{}") {
				return placeholderInPath(list.option, p)
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

func placeholderInPath(option, path string) error {
	return fmt.Errorf("%s: path %q: placeholders are not replaced here; write the path itself, with %%7B and %%7D "+
		"for braces", option, path)
}

// provisionPaths makes rules of the configured paths.
func (g *Gate) provisionPaths() (err error) {
	for _, p := range []struct {
		option string
		from   []string
		to     *policy.Paths
	}{{"public", g.Public, &g.public}, {"optional", g.Optional, &g.optional}, {"api", g.API, &g.api}} {
		if *p.to, err = policy.NewPaths(p.from); err != nil {
			return fmt.Errorf("%s: %w", p.option, err)
		}
	}
	return nil
}
