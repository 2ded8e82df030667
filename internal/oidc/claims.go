package oidc

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// Person is somebody whom a provider vouches for. Subject, Email and Groups are exactly what the provider signed, and
// decide; Username and Name are cleaned, and decide nothing.
type Person struct {
	Provider string // name in the configuration
	Issuer   string
	Subject  string
	SID      string // of the session at the provider, "" when it does not say

	Username      string           // wished for; never empty
	Email         identifier.Email // zero when there is none that could be compared
	EmailVerified bool             // never without an Email
	Name          string
	Groups        identifier.Groups // sorted, no duplicates
	// Ignored are the values that prove nothing, for a warning: whoever made them may be missed somewhere.
	Ignored []Ignored

	Tokens Tokens

	authTime time.Time // when the provider asked for credentials, zero when it does not say
}

// Ignored tells of values of one claim that were left out for one reason.
type Ignored struct {
	Claim   string
	Fault   identifier.Fault
	Example string // of such a value, harmless to logs and terminals
	Count   int
}

func (p *Person) ignore(claim string, fault identifier.Fault, example string) {
	for i := range p.Ignored {
		if p.Ignored[i].Claim == claim && p.Ignored[i].Fault == fault {
			p.Ignored[i].Count++
			return
		}
	}
	p.Ignored = append(p.Ignored, Ignored{claim, fault, identifier.Example(example), 1})
}

// person reads the claims. Userinfo is fresher than the ID token, so it goes first.
func (p *provider) person(v *verified, info claims) *Person {
	all := merge(v.claims, info)
	out := &Person{Provider: p.Config.Name, Issuer: p.Issuer, Subject: v.subject, SID: v.sid, authTime: v.authTime}
	p.email(out, all)
	out.Name = identifier.Name(all.lookup(or(p.Claims.Name, "name")).word())
	p.groups(out, all)
	local, _, _ := strings.Cut(out.Email.String(), "@")
	for _, wish := range []string{all.lookup(p.Claims.Username).word(), all.get("preferred_username").word(), local, v.subject, "user"} {
		if out.Username = identifier.Username(wish); out.Username != "" {
			break
		}
	}
	return out
}

func or(path, usual string) string {
	if path == "" {
		return usual
	}
	return path
}

// merge lays userinfo over the ID token. An e-mail and the word on it go together: a flag of the one never vouches for
// the address of the other.
func merge(id, info claims) claims {
	out := id.over(info)
	mail, has := info.get("email").only()
	was, had := id.get("email").only()
	switch {
	case !info.get("email").there():
		out.set("email_verified", id.get("email_verified"))
	case !has || !had || mail != was:
		out.set("email_verified", info.get("email_verified"))
	}
	return out
}

// email takes the address over, and whether the provider vouches for it. The word is beside the address in the same
// object, and speaks of the claim "email" there: of exactly that text.
func (p *provider) email(out *Person, all claims) {
	path := or(p.Claims.Email, "email")
	claim := all.lookup(path)
	signed, ok := claim.only()
	switch {
	case !claim.there(), ok && signed == "":
		return
	case !ok:
		out.ignore(path, identifier.Odd, "")
		return
	}
	mail, fault := identifier.ParseEmail(signed)
	if fault != "" {
		out.ignore(path, fault, signed)
		return
	}
	beside := ""
	if i := strings.LastIndexByte(path, '.'); i >= 0 && !all.get(path).there() {
		beside = path[:i+1]
	}
	named, _ := all.lookup(beside + "email").only()
	out.Email, out.EmailVerified = mail, all.lookup(beside+"email_verified").yes() && named == signed
}

// groups takes a claim over that is one group or a list of them. Those that something here asks for come first, so that
// nobody loses a right to one group more.
func (p *provider) groups(out *Person, all claims) {
	path := or(p.Claims.Groups, "groups")
	var found []string
	for _, item := range all.lookup(path).list() {
		signed, ok := item.text()
		switch _, fault := identifier.ParseGroup(signed); {
		case !item.there() || ok && signed == "":
		case !ok:
			out.ignore(path, identifier.Odd, "")
		case fault != "":
			out.ignore(path, fault, signed)
		default:
			found = append(found, signed)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) > identifier.MaxProviderGroups {
		found = p.cut(out, path, found)
	}
	out.Groups = identifier.ParseGroups(found)
}

// cut leaves groups out beyond the limit, none of those that are asked for among them.
func (p *provider) cut(out *Person, path string, found []string) []string {
	asked := p.asked()
	var kept, rest []string
	for _, g := range found {
		if slices.Contains(asked, g) {
			kept = append(kept, g)
		} else {
			rest = append(rest, g)
		}
	}
	room := max(identifier.MaxProviderGroups-len(kept), 0)
	for _, g := range rest[min(room, len(rest)):] {
		out.ignore(path, identifier.Many, g)
	}
	kept = append(kept, rest[:min(room, len(rest))]...)
	slices.Sort(kept)
	return kept
}

// asked returns the groups that rules, admin_group and the gates name.
func (p *provider) asked() []string {
	asked := slices.Clone(p.AdminGroups)
	for _, a := range p.Allow {
		if a.Field == "group" {
			asked = append(asked, a.Values...)
		}
	}
	if p.required != nil {
		asked = append(asked, p.required()...)
	}
	return asked
}

// Admit reports whether the rules of the configuration let a person in: nil, or an *[Error] of kind NotAllowed, or
// Unverified when only the provider's word on the e-mail is missing.
func (c *Config) Admit(p *Person) error {
	if len(c.Allow) == 0 {
		return nil
	}
	unverified := false
	for _, a := range c.Allow {
		if !a.holds(p) {
			continue
		}
		if p.EmailVerified || (a.Field != "email" && a.Field != "domain") {
			return nil
		}
		unverified = true
	}
	if unverified {
		return fail(Unverified, "the provider does not vouch for the e-mail address")
	}
	return fail(NotAllowed, "no allow rule lets this person in")
}

func (a Allow) holds(p *Person) bool {
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

// Administers reports whether the person is in a group that makes administrators.
func (c *Config) Administers(p *Person) bool { return p.Groups.AnyOf(c.AdminGroups) }
