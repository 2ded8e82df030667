package policy

import (
	"fmt"
	"net/url"
	stdpath "path"
	"slices"
	"strings"
)

// Paths are the path rules of one gate. Each pattern is an exact path, or a prefix ending in "/*".
type Paths struct {
	exact  map[string]struct{}
	prefix []string // with the trailing '/', without the '*'
}

// NewPaths checks patterns and makes rules of them.
func NewPaths(patterns []string) (Paths, error) {
	p := Paths{exact: make(map[string]struct{})}
	for _, pat := range patterns {
		if err := checkPattern(pat); err != nil {
			return Paths{}, err
		}
		if dir, ok := strings.CutSuffix(pat, "*"); ok {
			p.prefix = append(p.prefix, dir)
			continue
		}
		p.exact[pat] = struct{}{}
	}
	return p, nil
}

func checkPattern(pat string) error {
	switch {
	case !strings.HasPrefix(pat, "/"):
		return fmt.Errorf("path %q must begin with '/'", pat)
	case strings.Count(pat, "*") > 1, strings.Contains(pat, "*") && !strings.HasSuffix(pat, "/*"):
		return fmt.Errorf("path %q: '*' may only stand at the end, after a '/': use an exact path or a prefix such as "+
			"/static/*", pat)
	case strings.Contains(pat, ",/"):
		return fmt.Errorf("path %q: put blanks between several paths, not commas; a comma before a '/' is written %%2C", pat)
	case strings.ContainsAny(pat, "? "):
		return fmt.Errorf("path %q would never match: what follows a '?' is no part of a path, and a blank is sent as %%20",
			pat)
	}
	if plain := strings.TrimSuffix(pat, "*"); Ambiguous(plain) {
		return fmt.Errorf("path %q would never match: paths with //, segments that end in a dot, blanks at the ends of a "+
			"segment, ';', '\\', "+
			"%%2e %%2f %%5c %%25 %%3f %%23, control characters or unescaped non-ASCII letters are always protected", pat)
	}
	return nil
}

// Match reports whether a request is under one of the rules, as its client wrote the path. It is case-sensitive, ends
// at segment boundaries, and is false for every target that is ambiguous before or after a rewrite.
func (p Paths) Match(t Target) bool {
	return !t.Ambiguous() && p.contains(t.original)
}

// Contains reports whether every path that a pattern of other rules means is under one of the rules.
func (p Paths) Contains(pattern string) bool {
	dir, ok := strings.CutSuffix(pattern, "*")
	if !ok {
		return p.contains(pattern)
	}
	return slices.ContainsFunc(p.prefix, func(have string) bool { return strings.HasPrefix(dir, have) })
}

// Covers reports whether any usual reading of the path that the client wrote, or of what it was rewritten to, is under
// one of the rules. It is for rules that open nothing: what an upstream may take for the address of an API gets the
// response of one.
func (p Paths) Covers(t Target) bool {
	if len(p.exact) == 0 && len(p.prefix) == 0 {
		return false
	}
	return p.covers(t.original, t.Ambiguous()) || t.current != t.original && p.covers(t.current, t.Ambiguous())
}

func (p Paths) covers(path string, ambiguous bool) bool {
	if p.contains(path) {
		return true
	}
	if !ambiguous && !strings.Contains(path, "%") {
		return false // it has no other reading
	}
	plain, _, _ := strings.Cut(strings.ReplaceAll(path, "\\", "/"), ";")
	for range 2 { // some decode twice
		if text, err := url.PathUnescape(plain); err == nil {
			plain = text
		}
	}
	plain = strings.ReplaceAll(plain, "\\", "/")
	if i := strings.IndexAny(plain, ";?#\x00"); i >= 0 {
		plain = plain[:i]
	}
	clean := stdpath.Clean("/" + plain)
	if strings.HasSuffix(plain, "/") {
		clean += "/"
	}
	return p.contains(clean)
}

func (p Paths) contains(path string) bool {
	if _, ok := p.exact[path]; ok {
		return true
	}
	return slices.ContainsFunc(p.prefix, func(dir string) bool { return strings.HasPrefix(path, dir) })
}
