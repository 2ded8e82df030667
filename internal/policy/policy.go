// Package policy decides what a request may do. It is pure: no I/O, no clock, no Caddy.
//
// The zero [Decision] denies, the zero [Rule] is satisfied by nobody, and a path that could be read in two ways is
// never public.
package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Decision is what happens to a request. The zero value denies.
type Decision int

// Decisions.
const (
	Deny     Decision = iota // not let through
	SignIn                   // nobody is signed in: let through after a sign-in
	Allow                    // let through with the person's identity
	AllowAny                 // let through without any identity
)

// Field is what a rule looks at.
type Field string

// Fields of rules.
const (
	FieldRole     Field = "role"
	FieldGroup    Field = "group"
	FieldUser     Field = "user"
	FieldEmail    Field = "email"
	FieldDomain   Field = "domain"
	FieldProvider Field = "provider"
)

// Rule is one `require` line: it holds when the person has any of the values. All rules of a gate must hold.
type Rule struct {
	// Field to look at: role, group, user, email, domain or provider.
	Field Field `json:"field"`
	// Values, any of which satisfies the rule.
	Values []string `json:"values"`
}

// Validate reports what is wrong with a rule. A rule that could never hold is an error, not a lock-out.
func (r Rule) Validate() error {
	if len(r.Values) == 0 {
		return fmt.Errorf("require %s: give at least one value", r.Field)
	}
	for _, v := range r.Values {
		if strings.TrimSpace(v) == "" {
			return fmt.Errorf("require %s: a value is empty", r.Field)
		}
		switch r.Field {
		case FieldRole:
			if !store.Role(v).Valid() {
				return fmt.Errorf("require role: unknown role %q; the roles are admin and user", v)
			}
		case FieldEmail:
			if _, _, ok := SplitEmail(v); !ok {
				return fmt.Errorf("require email: %q is not an e-mail address", v)
			}
		case FieldDomain:
			if strings.Contains(v, "@") {
				return fmt.Errorf("require domain: %q: give the domain alone, such as example.com", v)
			}
		case FieldGroup, FieldUser, FieldProvider:
		default:
			return fmt.Errorf("require %s: unknown field; use role, group, user, email, domain or provider", r.Field)
		}
	}
	return nil
}

// LocalProvider is the name under which rules and headers know people who signed in with a local password.
const LocalProvider = "local"

// Subject is who asks: a user, and how the present session was made.
type Subject struct {
	User     *store.User
	Provider string // name of the provider of this session; "" or LocalProvider for local sign-ins
}

// Holds reports whether the rule holds for who asks. Names compare folded as accounts are; of e-mails and domains only
// A to Z fold, for what else Unicode calls alike may be two mailboxes; groups, roles and providers compare as they are.
func (r Rule) Holds(s Subject) bool {
	if s.User == nil {
		return false
	}
	switch r.Field {
	case FieldRole:
		return slices.Contains(r.Values, string(s.User.Role))
	case FieldGroup:
		return slices.ContainsFunc(r.Values, func(v string) bool { return slices.Contains(s.User.Groups, v) })
	case FieldUser:
		return containsFolded(r.Values, s.User.Username)
	case FieldEmail:
		return s.User.EmailVerified && s.User.Email != "" && containsMail(r.Values, s.User.Email)
	case FieldDomain:
		// Exactly one local part and one domain: attacker@evil.com@company.com has no domain at all.
		_, domain, ok := SplitEmail(s.User.Email)
		return ok && s.User.EmailVerified && containsMail(r.Values, domain)
	case FieldProvider:
		p := s.Provider
		if p == "" {
			p = LocalProvider
		}
		return slices.Contains(r.Values, p)
	default:
		return false
	}
}

// Failed answers the first rule that does not hold, or nil when all hold.
func Failed(rules []Rule, s Subject) *Rule {
	for i := range rules {
		if !rules[i].Holds(s) {
			return &rules[i]
		}
	}
	return nil
}

func containsFolded(values []string, have string) bool {
	have = store.FoldName(have)
	return slices.ContainsFunc(values, func(v string) bool { return store.FoldName(v) == have })
}

func containsMail(values []string, have string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return SameMail(v, have) })
}

// SameMail reports whether two addresses, or two domains, are one. Only A to Z compare in either case: compatibility
// folding makes one of addresses that belong to two people.
func SameMail(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// FoldMail answers what addresses have in common that are one by SameMail.
func FoldMail(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// SplitEmail splits an address into local part and domain. Only the plain form is one: a single '@', no white space,
// control characters, quotes, comments, brackets or separators, a domain of letters, digits, '-' and dots inside.
// Everything else has no domain that a rule could trust.
func SplitEmail(s string) (local, domain string, ok bool) {
	local, domain, found := strings.Cut(s, "@")
	if !found || local == "" || len(s) > 254 || strings.ContainsAny(local, "\"(),:;<>@[\\]") {
		return "", "", false
	}
	for _, r := range local {
		if r <= ' ' || r == 0x7f || (r >= 0x80 && r <= 0xa0) {
			return "", "", false
		}
	}
	if strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, "..") || domain == "" {
		return "", "", false
	}
	for _, r := range domain {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r < 0xa1 {
			return "", "", false
		}
	}
	return local, domain, true
}
