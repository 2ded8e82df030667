// Package policy decides what a request may do. It is pure: no I/O, no clock, no Caddy.
//
// The zero [Decision] denies, the zero [Rule] is never satisfied, an ambiguous path is never public, and a need that
// cannot be read asks for the highest level.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Decision is what happens to a request. The zero value denies.
type Decision int

// Decisions.
const (
	Deny     Decision = iota // not passed on
	SignIn                   // no session: passed on after a sign-in
	StepUp                   // passed on after the session has proved more, or proved it again
	Allow                    // passed on with the person's identity
	AllowAny                 // passed on without any identity
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

// Rule is one `require` line: the person has to have any of the values. All rules of a gate have to be satisfied.
type Rule struct {
	// Field to look at: role, group, user, email, domain or provider; or mfa or fresh, about how the session was proved.
	Field Field `json:"field"`
	// Values, any of which satisfies the rule. Of mfa: none, or passkey. Of fresh: a duration such as 15m, and mfa where
	// it is about the second factor.
	Values []string `json:"values,omitempty"`
}

// Validate returns what is wrong with a rule. A rule that nobody could satisfy is an error, not a lock-out.
func (r Rule) Validate() error {
	if r.AboutSession() {
		_, err := r.need()
		return err
	}
	if len(r.Values) == 0 {
		return fmt.Errorf("require %s: give at least one value", r.Field)
	}
	for _, v := range r.Values {
		if err := r.Field.CheckValue(v); err != nil {
			return fmt.Errorf("require %s: %w", r.Field, err)
		}
	}
	return nil
}

// CheckValue returns why nobody could ever have a value in this field: a rule that requires it is a mistake.
func (f Field) CheckValue(v string) error {
	switch strings.TrimSpace(v) {
	case "":
		return errors.New("a value is empty")
	case "*":
		return errors.New("\"*\" is a name like any other here; leave the line out if everybody may")
	}
	return f.checkText(v)
}

// checkText checks a value that is not empty for its field.
func (f Field) checkText(v string) error {
	var fault identifier.Fault
	switch f {
	case FieldRole:
		if !store.Role(v).Valid() {
			return fmt.Errorf("unknown role %q; the roles are admin and user", v)
		}
	case FieldEmail:
		if domain, all := strings.CutPrefix(v, "*@"); all {
			return fmt.Errorf("%q: there are no wildcards; for everybody of a domain write: domain %s", v, domain)
		}
		if fault = identifier.CheckEmail(v); fault == identifier.Form {
			return fmt.Errorf("%q is not an e-mail address", v)
		}
	case FieldDomain:
		if !identifier.IsDomain(v) {
			return fmt.Errorf("%q: give the domain alone, such as example.com", v)
		}
	case FieldGroup:
		if strings.ContainsAny(v, ",;") && !strings.Contains(v, "=") {
			return fmt.Errorf("%q: put blanks between several groups, not commas", v)
		}
		fault = identifier.CheckGroup(v)
	case FieldUser:
		fault = identifier.CheckUsername(v)
	case FieldProvider:
	default:
		return errors.New("unknown field; use role, group, user, email, domain, provider, mfa or fresh")
	}
	if fault != "" {
		return fmt.Errorf("%s: nobody can have it: %w", identifier.Example(v), fault)
	}
	return nil
}

// LocalProvider is the provider of people who signed in with a local password, in rules and headers.
const LocalProvider = "local"

// NoProvider satisfies no rule: it is no name of a provider, and no local sign-in.
const NoProvider = "-"

// Subject is a signed-in person: a user, and the provider of the session.
type Subject struct {
	User     *store.User
	Provider string // name of the provider of this session; "" or LocalProvider for local sign-ins
}

// SatisfiedBy reports whether s satisfies the rule. Names compare folded as accounts are; of e-mails and domains only
// A to Z fold, for what else Unicode calls alike may be two mailboxes; groups, roles and providers compare as they are.
// An address or a group that is no proof ([identifier.ParseEmail], [identifier.ParseGroup]) satisfies nothing, however
// it came into the store.
func (r Rule) SatisfiedBy(s Subject) bool {
	if s.User == nil {
		return false
	}
	switch r.Field {
	case FieldRole:
		return slices.Contains(r.Values, string(s.User.Role))
	case FieldGroup:
		return identifier.HasAnyGroup(s.User.Groups, r.Values)
	case FieldUser:
		return containsFolded(r.Values, s.User.Username)
	case FieldEmail:
		return verifiedEmail(s.User).Is(r.Values...)
	case FieldDomain:
		// Exactly one local part and one domain: attacker@evil.com@company.com has no domain at all.
		return verifiedEmail(s.User).In(r.Values...)
	case FieldProvider:
		p := s.Provider
		if p == "" {
			p = LocalProvider
		}
		return p != NoProvider && slices.Contains(r.Values, p)
	default:
		return false
	}
}

// verifiedEmail returns the address if it is verified, or none.
func verifiedEmail(u *store.User) identifier.Email {
	if !u.EmailVerified {
		return identifier.Email{}
	}
	e, _ := identifier.ParseEmail(u.Email) // none when it is no address
	return e
}

// FirstUnsatisfied returns the first rule about people that s does not satisfy, nil when it satisfies all. Those about
// the session are for [NeedOf].
func FirstUnsatisfied(rules []Rule, s Subject) *Rule {
	for i := range rules {
		if !rules[i].AboutSession() && !rules[i].SatisfiedBy(s) {
			return &rules[i]
		}
	}
	return nil
}

func containsFolded(values []string, have string) bool {
	have = store.FoldName(have)
	return slices.ContainsFunc(values, func(v string) bool { return store.FoldName(v) == have })
}
