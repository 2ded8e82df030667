package oidc

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// Claims holds the verified claims about one user. Subject, Email and Groups are exactly what the provider signed;
// decisions are made by them. Username and Name are cleaned for display; no decision depends on them.
type Claims struct {
	Provider string // name in the configuration
	Issuer   string
	Subject  string
	SID      string // session at the provider; "" if not given

	Username      string           // preferred, not yet unique here; never empty
	Email         identifier.Email // zero if there is none, or none that can be compared
	EmailVerified bool             // only with an Email
	Name          string
	Groups        identifier.Groups // sorted, no duplicates
	// Ignored lists the claim values that were left out, for a warning: a rule that relies on one cannot match.
	Ignored []IgnoredValue

	Tokens Tokens

	authTime time.Time // auth_time: when the provider asked for credentials; zero if not given
}

// IgnoredValue counts the values of one claim that were left out for the same reason.
type IgnoredValue struct {
	Claim   string
	Fault   identifier.Fault
	Example string // one of the values, escaped for logs and terminals
	Count   int
}

func (p *Claims) addIgnored(claim string, fault identifier.Fault, example string) {
	for i := range p.Ignored {
		if p.Ignored[i].Claim == claim && p.Ignored[i].Fault == fault {
			p.Ignored[i].Count++
			return
		}
	}
	p.Ignored = append(p.Ignored, IgnoredValue{claim, fault, identifier.Example(example), 1})
}

// buildClaims reads the claims. Userinfo is newer than the ID token, so it takes precedence.
func (p *provider) buildClaims(v *verifiedToken, info jsonObject) *Claims {
	all := mergeUserinfo(v.claims, info)
	out := &Claims{Provider: p.Config.Name, Issuer: p.Issuer, Subject: v.subject, SID: v.sid, authTime: v.authTime}
	p.setEmail(out, all)
	out.Name = identifier.SanitizeName(all.lookup(orDefault(p.Claims.Name, "name")).scalar())
	p.setGroups(out, all)
	local, _, _ := strings.Cut(out.Email.String(), "@")
	for _, candidate := range []string{
		all.lookup(p.Claims.Username).scalar(), all.get("preferred_username").scalar(), local, v.subject, "user",
	} {
		if out.Username = identifier.SanitizeUsername(candidate); out.Username != "" {
			break
		}
	}
	return out
}

func orDefault(path, fallback string) string {
	if path == "" {
		return fallback
	}
	return path
}

// mergeUserinfo overlays the ID token's claims with those of userinfo. email and email_verified stay together: the flag
// in one document never vouches for the address in the other.
func mergeUserinfo(id, info jsonObject) jsonObject {
	out := id.overlay(info)
	mail, has := info.get("email").singleString()
	idMail, idHas := id.get("email").singleString()
	switch {
	case !info.get("email").present():
		out.set("email_verified", id.get("email_verified"))
	case !has || !idHas || mail != idMail:
		out.set("email_verified", info.get("email_verified"))
	}
	return out
}

// setEmail sets the address, and whether the provider has verified it. email_verified is read from the object that
// holds the address, and counts only if that object's "email" is exactly the same text.
func (p *provider) setEmail(out *Claims, all jsonObject) {
	path := orDefault(p.Claims.Email, "email")
	claim := all.lookup(path)
	signed, ok := claim.singleString()
	switch {
	case !claim.present(), ok && signed == "":
		return
	case !ok:
		out.addIgnored(path, identifier.NotString, "")
		return
	}
	mail, fault := identifier.ParseEmail(signed)
	if fault != "" {
		out.addIgnored(path, fault, signed)
		return
	}
	parent := ""
	if i := strings.LastIndexByte(path, '.'); i >= 0 && !all.get(path).present() {
		parent = path[:i+1]
	}
	verifiedText, _ := all.lookup(parent + "email").singleString()
	out.Email, out.EmailVerified = mail, all.lookup(parent+"email_verified").isTrue() && verifiedText == signed
}

// setGroups reads a claim that is one group or a list of groups. Groups that the configuration names take precedence,
// so that nobody loses a right because of being in one group too many.
func (p *provider) setGroups(out *Claims, all jsonObject) {
	path := orDefault(p.Claims.Groups, "groups")
	var found []string
	for _, item := range all.lookup(path).items() {
		signed, ok := item.asString()
		switch _, fault := identifier.ParseGroup(signed); {
		case !item.present() || ok && signed == "":
		case !ok:
			out.addIgnored(path, identifier.NotString, "")
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

// CheckAllowed returns nil if the allow rules of the configuration match, otherwise an *[Error] of kind NotAllowed, or
// of kind Unverified if a rule would match but the provider has not verified the e-mail address.
func (c *Config) CheckAllowed(p *Claims) error {
	if len(c.Allow) == 0 {
		return nil
	}
	unverified := false
	for _, a := range c.Allow {
		if !a.matches(p) {
			continue
		}
		if p.EmailVerified || (a.Field != "email" && a.Field != "domain") {
			return nil
		}
		unverified = true
	}
	if unverified {
		return fail(Unverified, "the provider has not verified the e-mail address")
	}
	return fail(NotAllowed, "no allow rule matches")
}

func (a Allow) matches(p *Claims) bool {
	switch a.Field {
	case "email":
		return p.Email.Is(a.Values...)
	case "domain":
		return p.Email.In(a.Values...)
	case "group":
		return p.Groups.AnyOf(a.Values)
	case "subject":
		return p.Subject != "" && slices.Contains(a.Values, p.Subject)
	default:
		return false
	}
}

// IsAdmin reports whether the user is in one of the AdminGroups.
func (c *Config) IsAdmin(p *Claims) bool { return p.Groups.AnyOf(c.AdminGroups) }
