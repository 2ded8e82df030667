package caddyauth

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// chance says whether matchers select the requests of a probe.
type chance int

const (
	never chance = iota
	maybe        // some of them, or it depends on what cannot be known before a request is there
	always
)

// planSet is one set of matchers, all of which have to match.
type planSet []planMatcher

// planMatcher is a matcher of a route.
type planMatcher struct {
	name  string
	known caddyhttp.RequestMatcherWithError // nil where it cannot be judged beforehand
	not   []planSet                         // of `not`: what must not match
}

// readRawSets reads matchers that are still JSON.
func readRawSets(raw caddyhttp.RawMatcherSets) []planSet {
	var sets []planSet
	for _, modules := range raw {
		var set planSet
		for name, text := range modules {
			set = append(set, readRawMatcher(name, text))
		}
		sets = append(sets, set)
	}
	return sets
}

func readRawMatcher(name string, raw json.RawMessage) planMatcher {
	m := planMatcher{name: name}
	var module interface {
		caddyhttp.RequestMatcherWithError
		caddy.Provisioner // none of these uses its context
	}
	switch name {
	case "not":
		var sets caddyhttp.RawMatcherSets
		if json.Unmarshal(raw, &sets) == nil {
			m.not = readRawSets(sets)
		}
		return m
	case "host":
		module = new(caddyhttp.MatchHost)
	case "path":
		module = new(caddyhttp.MatchPath)
	case "path_regexp":
		module = new(caddyhttp.MatchPathRE)
	case "method":
		module = new(caddyhttp.MatchMethod)
	default:
		return m
	}
	if json.Unmarshal(raw, module) == nil && module.Provision(caddy.Context{}) == nil {
		m.known = known(module)
	}
	return m
}

// readSets reads matchers that are modules.
func readSets(modules caddyhttp.MatcherSets) []planSet {
	var sets []planSet
	for _, list := range modules {
		var set planSet
		for _, module := range list {
			m := planMatcher{name: caddy.GetModuleName(module)}
			switch module := module.(type) {
			case *caddyhttp.MatchNot:
				m.not = readSets(module.MatcherSets)
			case *caddyhttp.MatchHost, *caddyhttp.MatchPath, *caddyhttp.MatchPathRE, *caddyhttp.MatchMethod:
				m.known = known(module.(caddyhttp.RequestMatcherWithError)) //nolint:errcheck // each of them is one
			}
			set = append(set, m)
		}
		sets = append(sets, set)
	}
	return sets
}

// known returns a matcher, or nil where it has placeholders: what they stand for is not known yet.
func known(m caddyhttp.RequestMatcherWithError) caddyhttp.RequestMatcherWithError {
	var values []string
	switch m := m.(type) {
	case *caddyhttp.MatchHost:
		values = *m
	case *caddyhttp.MatchPath:
		values = *m
	}
	if strings.Contains(strings.Join(values, ""), "{") {
		return nil
	}
	return m
}

// probe are requests for our pages on the hosts of a site.
type probe struct {
	hosts     *planRoute // the innermost route to the gate that names hosts; nil for every host
	requests  []*http.Request
	rewritten bool // the path is another one by now
}

// match reports whether a route selects the requests of a probe. With onlyHosts every other matcher counts as met.
func (r *planRoute) match(p *probe, onlyHosts bool) chance {
	if len(r.sets) == 0 {
		return always
	}
	return matchSets(r.sets, p, onlyHosts)
}

func matchSets(sets []planSet, p *probe, onlyHosts bool) chance {
	best := never
	for _, set := range sets {
		all := always
		for _, m := range set {
			all = min(all, m.match(p, onlyHosts))
		}
		best = max(best, all)
	}
	return best
}

func (m planMatcher) match(p *probe, onlyHosts bool) chance {
	path := m.name == "path" || m.name == "path_regexp"
	switch {
	case onlyHosts && m.name != "host":
		return always
	case m.not != nil:
		return always - matchSets(m.not, p, false)
	case m.known == nil, path && p.rewritten:
		return maybe
	}
	matched := 0
	for _, r := range p.requests {
		if ok, err := m.known.MatchWithError(r); ok && err == nil {
			matched++
		}
	}
	switch matched {
	case 0:
		return never
	case len(p.requests):
		return always
	}
	return maybe
}
