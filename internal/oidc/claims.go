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
	Subject  string // of the identity: sub, or the claim that identity_key names, with its name; see [BareSubject]
	Sub      string // as signed: logout tokens name it
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
	amr      []string  // how, of the ID token of this sign-in; see [Config.VouchedFor]
	acr      string
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
func (p *provider) buildClaims(v *verifiedToken, info jsonObject) (*Claims, error) {
	subject, err := p.identitySubject(v)
	if err != nil {
		return nil, err
	}
	all := mergeUserinfo(v.claims, info)
	out := &Claims{
		Provider: p.Config.Name, Issuer: p.Issuer, Subject: subject, Sub: v.subject, SID: v.sid, authTime: v.authTime,
	}
	if at := v.claims.get("auth_time"); at.present() && v.authTime.IsZero() {
		out.addIgnored("auth_time", identifier.NotTime, at.text())
	}
	out.setAuthentication(v)
	p.setEmail(out, all)
	out.Name = p.nameOf(all)
	p.setGroups(out, all)
	local, _, _ := strings.Cut(out.Email.String(), "@")
	for _, candidate := range []string{
		all.lookup(p.Claims.Username).scalar(), all.get("preferred_username").scalar(), local, v.subject, "user",
	} {
		if out.Username = identifier.SanitizeUsername(candidate); out.Username != "" {
			break
		}
	}
	return out, nil
}

// identitySubject returns what the identity is known by: sub, or the claim of the ID token that identity_key names,
// with its name.
// Userinfo is not read for it: that is not signed for this client.
func (p *provider) identitySubject(v *verifiedToken) (string, error) {
	if p.IdentityKey == "" {
		return v.subject, nil
	}
	value := v.claims.get(p.IdentityKey)
	text := value.scalar()
	if text == "" || len(text) > maxSubject || !plainText(text) {
		return "", fail(Misconfigured, "ID token: identity_key names the claim %s, which is missing or not a text of at "+
			"most 255 characters; have the provider add it to ID tokens", p.IdentityKey)
	}
	return qualifySubject(p.IdentityKey, text), nil
}

// nameOf returns the name to show. Without one of its own it is put together from its parts.
func (p *provider) nameOf(all jsonObject) string {
	if name := identifier.SanitizeName(all.lookup(orDefault(p.Claims.Name, "name")).scalar()); name != "" {
		return name
	}
	given, family := all.get("given_name").scalar(), all.get("family_name").scalar()
	return identifier.SanitizeName(strings.TrimSpace(given + " " + family))
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

// CheckAllowed returns nil if the allow rules of the configuration match, otherwise an *[Error] of kind NotAllowed, or
// of kind Unverified if a rule would match but the provider has not verified the e-mail address.
func (c *Config) CheckAllowed(p *Claims) error {
	if len(c.Allow) == 0 {
		return nil
	}
	unverified := false
	for _, a := range c.Allow {
		if !a.matches(p, c.IdentityKey) {
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

func (a Allow) matches(p *Claims, identityKey string) bool {
	switch a.Field {
	case "email":
		return p.Email.Is(a.Values...)
	case "domain":
		return p.Email.In(a.Values...)
	case "group":
		return p.Groups.AnyOf(a.Values)
	case "subject":
		return p.Subject != "" && slices.ContainsFunc(a.Values, func(value string) bool {
			return qualifySubject(identityKey, value) == p.Subject
		})
	default:
		return false
	}
}

// IsAdmin reports whether the user is in one of the AdminGroups.
func (c *Config) IsAdmin(p *Claims) bool { return p.Groups.AnyOf(c.AdminGroups) }
