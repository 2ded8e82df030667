package oidc

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Person is somebody whom a provider vouches for. Its texts are cleaned, but chosen by the person or the provider.
type Person struct {
	Provider string // name in the configuration
	Issuer   string
	Subject  string
	SID      string // of the session at the provider, "" when it does not say

	Username      string // wished for; never empty
	Email         string // "" or one plain address
	EmailVerified bool
	Name          string
	Groups        []string // sorted, no duplicates, no commas
	// GroupsIgnored is how many groups could not be taken over: malformed, with a comma, or too many.
	GroupsIgnored int

	Tokens Tokens

	authTime time.Time // when the provider asked for credentials, zero when it does not say
}

const (
	maxText   = 254 // characters of a name
	maxGroups = 200
)

// person reads the claims. Userinfo is fresher than the ID token, so it goes first.
func (p *provider) person(v *verified, info map[string]any) *Person {
	claims := merge(v.claims, info)
	out := &Person{Provider: p.Config.Name, Issuer: p.Issuer, Subject: v.subject, SID: v.sid, authTime: v.authTime}
	out.Email, out.EmailVerified = p.email(claims)
	out.Name = text(claims, or(p.Claims.Name, "name"))
	out.Groups, out.GroupsIgnored = groups(claims, or(p.Claims.Groups, "groups"))
	local, _, _ := strings.Cut(out.Email, "@")
	for _, name := range []string{text(claims, p.Claims.Username), text(claims, "preferred_username"), local, tidy(v.subject), "user"} {
		if name = strings.TrimSpace(strings.ReplaceAll(name, ",", "")); store.FoldName(name) != "" {
			out.Username = name
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
func merge(id, info map[string]any) map[string]any {
	out := make(map[string]any, len(id)+len(info))
	for k, v := range id {
		out[k] = v
	}
	if mail, has := info["email"]; has && mail != id["email"] {
		delete(out, "email_verified")
	}
	for k, v := range info {
		out[k] = v
	}
	if _, has := info["email"]; !has {
		if was, had := id["email_verified"]; had {
			out["email_verified"] = was
		} else {
			delete(out, "email_verified")
		}
	}
	return out
}

// email answers the address and whether the provider vouches for it. The word is beside the address in the same
// object, and speaks of the claim "email" there.
func (p *provider) email(claims map[string]any) (string, bool) {
	path := or(p.Claims.Email, "email")
	mail := text(claims, path)
	if _, _, ok := policy.SplitEmail(mail); !ok {
		return "", false
	}
	beside := ""
	if _, flat := claims[path]; !flat {
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			beside = path[:i+1]
		}
	}
	word, _ := lookup(claims, beside+"email_verified")
	vouched := word == true || word == "true"
	return mail, vouched && text(claims, beside+"email") == mail
}

// lookup follows a path. Names with dots in them (https://example.com/groups) are found, too: at each level the
// longest name that exists is taken.
func lookup(claims map[string]any, path string) (any, bool) {
	if v, ok := claims[path]; ok {
		return v, true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v, ok := lookup(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// text answers a claim that is a text or a number, cleaned; "" for every other kind.
func text(claims map[string]any, path string) string {
	v, _ := lookup(claims, path)
	switch t := v.(type) {
	case string:
		return tidy(t)
	case json.Number:
		return tidy(t.String())
	default:
		return ""
	}
}

// tidy drops what has no place in a name: control and format characters forge log lines and make one name look like
// another; what is no UTF-8 cannot be kept.
func tidy(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) {
			continue
		}
		if n++; n > maxText {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// groups answers a claim that is one group or a list of them. They travel to the upstream in one comma-separated
// header, so a name with a comma would forge membership of another group: it is left out.
func groups(claims map[string]any, path string) (out []string, ignored int) {
	v, _ := lookup(claims, path)
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	for _, item := range list {
		g, ok := item.(string)
		switch clean := tidy(g); {
		case ok && clean == "" && g == "":
		case !ok || clean == "" || clean != strings.TrimSpace(g) || strings.Contains(g, ","):
			ignored++
		default:
			out = append(out, clean)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxGroups {
		ignored += len(out) - maxGroups
		out = out[:maxGroups]
	}
	return out, ignored
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
	_, domain, mail := policy.SplitEmail(p.Email)
	switch a.Field {
	case "email":
		return mail && containsMail(a.Values, p.Email)
	case "domain":
		return mail && containsMail(a.Values, domain)
	case "group":
		return slices.ContainsFunc(a.Values, func(g string) bool { return contains(p.Groups, g) })
	case "subject":
		return contains(a.Values, p.Subject)
	default:
		return false
	}
}

// Administers reports whether the person is in a group that makes administrators.
func (c *Config) Administers(p *Person) bool {
	return slices.ContainsFunc(c.AdminGroups, func(g string) bool { return contains(p.Groups, g) })
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func containsMail(list []string, s string) bool {
	return slices.ContainsFunc(list, func(v string) bool { return policy.SameMail(v, s) })
}
