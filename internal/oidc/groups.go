package oidc

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// setGroups reads the groups, exactly as they are signed. Groups that the configuration names take precedence, so that
// nobody loses a right because of being in one group too many.
func (p *provider) setGroups(out *Claims, all jsonObject) {
	path := orDefault(p.Claims.Groups, "groups")
	var found []string
	for _, item := range p.groupItems(all) {
		signed, ok := item.asString()
		switch _, fault := identifier.ParseGroup(signed); {
		case !item.present() || ok && signed == "":
		case !ok:
			out.addIgnored(path, identifier.NotString, item.text())
		case fault != "":
			out.addIgnored(path, fault, signed)
		default:
			found = append(found, signed)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) > identifier.MaxProviderGroups {
		found = p.limitGroups(out, path, found)
	}
	out.Groups = identifier.ParseGroups(found)
}

// groupItems returns the groups of a claim that is a group or a list of them. Only where the configuration names the
// path, the claim may also be a map, whose keys are groups (Zitadel), or the path may lead through lists of objects:
// nobody becomes a member of something by a claim that an operator has not looked at.
func (p *provider) groupItems(all jsonObject) []jsonValue {
	if p.Claims.Groups == "" {
		return all.lookup("groups").items()
	}
	var out []jsonValue
	for _, found := range all.lookupAll(p.Claims.Groups) {
		if m, ok := found.asObject(); ok {
			out = append(out, m.keys()...)
		} else {
			out = append(out, found.items()...)
		}
	}
	return out
}

// limitGroups drops groups beyond the limit, but none that the configuration names.
func (p *provider) limitGroups(out *Claims, path string, found []string) []string {
	configured := p.configuredGroups()
	var kept, rest []string
	for _, g := range found {
		if slices.Contains(configured, g) {
			kept = append(kept, g)
		} else {
			rest = append(rest, g)
		}
	}
	room := max(identifier.MaxProviderGroups-len(kept), 0)
	for _, g := range rest[min(room, len(rest)):] {
		out.addIgnored(path, identifier.TooMany, g)
	}
	kept = append(kept, rest[:min(room, len(rest))]...)
	slices.Sort(kept)
	return kept
}

// configuredGroups returns the groups that rules, admin_group and the gates name.
func (p *provider) configuredGroups() []string {
	names := slices.Clone(p.AdminGroups)
	for _, a := range p.Allow {
		if a.Field == "group" {
			names = append(names, a.Values...)
		}
	}
	if p.gateGroups != nil {
		names = append(names, p.gateGroups()...)
	}
	return names
}
