package caddyauth

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// Rule is one require line, see [policy.Rule].
type Rule = policy.Rule

// parseRequire reads `require <field> <value>…`. That a provider exists, and what a session can prove, can be checked
// where the global option is known.
func (g *Gate) parseRequire(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 && !slices.Equal(args, []string{string(policy.FieldMFA)}) {
		return d.Err("require takes a field and at least one value, such as: require group staff")
	}
	rule := Rule{Field: policy.Field(args[0]), Values: args[1:]}
	if err := rule.Validate(); err != nil {
		return d.WrapErr(err)
	}
	g.Require = append(g.Require, rule)
	if err := g.checkRequire(); err != nil {
		return d.WrapErr(err)
	}
	if g.global == nil {
		return nil
	}
	if err := checkProviders(rule, g.global.providerNames()); err != nil {
		return d.WrapErr(err)
	}
	return wrapErr(d, g.global.checkProof(rule))
}

// ruleKey returns what makes two values of a rule the same, as the rule itself compares them.
func ruleKey(f policy.Field) func(string) string {
	switch f {
	case policy.FieldUser:
		return identifier.Fold
	case policy.FieldEmail, policy.FieldDomain:
		return identifier.FoldEmail
	case policy.FieldRole, policy.FieldGroup, policy.FieldProvider, policy.FieldMFA, policy.FieldFresh:
	}
	return same
}

// checkRequire refuses rules that are given twice, and those that nobody could satisfy together: a lock-out should be
// seen when the configuration is written. A person has any number of groups, but one of everything else.
func (g *Gate) checkRequire() error {
	remaining := make(map[policy.Field][]string) // values that satisfy all lines so far
	seen := make(map[string]bool)
	if err := checkProofLines(g.Require); err != nil {
		return err
	}
	for _, r := range g.Require {
		if r.AboutSession() {
			continue
		}
		if strings.ContainsAny(strings.Join(r.Values, ""), "{}") {
			return errors.New("require: placeholders are not replaced here; write the value itself")
		}
		key := ruleKey(r.Field)
		if err := repeated("require "+string(r.Field), r.Values, key); err != nil {
			return err
		}
		values := make([]string, len(r.Values))
		for i, v := range r.Values {
			values[i] = key(v)
		}
		line := string(r.Field) + " " + strings.Join(slices.Sorted(slices.Values(values)), "\x00")
		if seen[line] {
			return fmt.Errorf("require %s %s is given twice", r.Field, strings.Join(r.Values, " "))
		}
		seen[line] = true
		if earlier, ok := remaining[r.Field]; ok {
			values = slices.DeleteFunc(values, func(v string) bool { return !slices.Contains(earlier, v) })
		}
		remaining[r.Field] = values
		if len(values) == 0 && r.Field != policy.FieldGroup {
			return fmt.Errorf("require %s: nobody can satisfy all of these lines; put the values on one line if any of them "+
				"is enough", r.Field)
		}
	}
	return checkEmailDomains(remaining[policy.FieldEmail], remaining[policy.FieldDomain])
}

// checkProviders refuses a rule about a provider that is none of these.
func checkProviders(r Rule, providers []string) error {
	if r.Field != policy.FieldProvider {
		return nil
	}
	for _, v := range r.Values {
		if !slices.Contains(providers, v) {
			return fmt.Errorf("require provider: there is no provider %q; configure it with oidc in the global option, or "+
				"use local", v)
		}
	}
	return nil
}

// checkEmailDomains refuses addresses of which none is in the domains.
func checkEmailDomains(emails, domains []string) error {
	if len(emails) == 0 || len(domains) == 0 {
		return nil
	}
	for _, e := range emails {
		if _, domain, ok := identifier.SplitEmail(e); ok && slices.Contains(domains, domain) {
			return nil
		}
	}
	return errors.New("require: nobody can satisfy both lines: none of the e-mail addresses is in one of the domains")
}

// provisionRequire checks the rules with the providers that there are.
func (g *Gate) provisionRequire() error {
	g.need = policy.NeedOf(g.Require)
	providers := g.app.providerNames()
	for _, r := range g.Require {
		if err := r.Validate(); err != nil {
			return err
		}
		if err := checkProviders(r, providers); err != nil {
			return err
		}
		if err := g.app.checkProof(r); err != nil {
			return fmt.Errorf("%s: %w", cmp.Or(g.At, "http.handlers.gatehouse"), err)
		}
		if err := g.warnCommas(r); err != nil {
			return err
		}
	}
	return nil
}

// warnCommas warns of several usernames that are one. A username may have a comma, a list is more likely.
func (g *Gate) warnCommas(r Rule) error {
	several := func(v string) bool { return strings.Contains(strings.ReplaceAll(v, ", ", ""), ",") }
	if r.Field != policy.FieldUser || !slices.ContainsFunc(r.Values, several) {
		return nil
	}
	return g.app.warn(cmp.Or(g.At, "http.handlers.gatehouse"), "require user "+strings.Join(r.Values, " ")+
		": what has a comma in it is one username; put blanks between several")
}

// ruleText returns in words what a rule requires. Values are the operator's own, shown to someone who is signed in.
// Without a rule it says no more than that the person is not allowed.
func ruleText(r *Rule) i18n.Text {
	if r != nil {
		switch r.Field {
		case policy.FieldRole, policy.FieldGroup, policy.FieldDomain, policy.FieldProvider:
			return i18n.New("gate."+string(r.Field), "values", i18n.OrList(r.Values))
		case policy.FieldUser, policy.FieldEmail, policy.FieldMFA, policy.FieldFresh:
		}
	}
	return i18n.New("gate.person") // the person who is denied must not learn whom a rule names
}
