package policy_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestTheZeroDecisionAndTheZeroRuleDeny(t *testing.T) {
	var d policy.Decision
	if d != policy.Deny {
		t.Error("the zero decision does not deny")
	}
	if (policy.Rule{}).SatisfiedBy(policy.Subject{User: &store.User{Username: "ada", Role: store.RoleAdmin}}) {
		t.Error("the zero rule holds")
	}
	if (policy.Rule{Field: policy.FieldUser, Values: []string{""}}).SatisfiedBy(policy.Subject{}) {
		t.Error("a rule holds for nobody")
	}
}

// For every field there is a person who is refused.
func TestEachRuleAdmitsOnlyMatchingPeople(t *testing.T) {
	ada := &store.User{Username: "Ada", Email: "Ada@Example.com", EmailVerified: true, Role: store.RoleUser, Groups: []string{"staff", "dev"}}
	unverified := *ada
	unverified.EmailVerified = false
	kelvin := *ada
	kelvin.Email = "jac\u212a@example.com" // KELVIN SIGN, which Unicode folds to k
	wide := *ada
	wide.Email = "ada@\uff45xample.com" // a full-width e
	for name, c := range map[string]struct {
		field    policy.Field
		values   []string
		user     *store.User
		provider string
		want     bool
	}{
		"role held":                         {policy.FieldRole, []string{"admin", "user"}, ada, "", true},
		"role not held":                     {policy.FieldRole, []string{"admin"}, ada, "", false},
		"group held":                        {policy.FieldGroup, []string{"ops", "dev"}, ada, "", true},
		"group not held":                    {policy.FieldGroup, []string{"ops"}, ada, "", false},
		"group is case-sensitive":           {policy.FieldGroup, []string{"Dev"}, ada, "", false},
		"a group of a directory":            {policy.FieldGroup, []string{"cn=staff,ou=x"}, &store.User{Groups: []string{"cn=staff,ou=x"}}, "", true},
		"a group that was kept untrimmed":   {policy.FieldGroup, []string{"staff", " staff"}, &store.User{Groups: []string{" staff"}}, "", false},
		"an e-mail that was kept uncleaned": {policy.FieldEmail, []string{"a@b.c\u200b"}, &store.User{Email: "a@b.c\u200b", EmailVerified: true}, "", false},
		"a domain that was kept uncleaned":  {policy.FieldDomain, []string{"b.c"}, &store.User{Email: "a\u00ad@b.c", EmailVerified: true}, "", false},
		"user, any case":                    {policy.FieldUser, []string{"ADA"}, ada, "", true},
		"another user":                      {policy.FieldUser, []string{"adam"}, ada, "", false},
		"e-mail, any case":                  {policy.FieldEmail, []string{"ada@example.com"}, ada, "", true},
		"another e-mail":                    {policy.FieldEmail, []string{"bob@example.com"}, ada, "", false},
		"e-mail nobody vouches for":         {policy.FieldEmail, []string{"ada@example.com"}, &unverified, "", false},
		"e-mail that only looks alike":      {policy.FieldEmail, []string{"jack@example.com"}, &kelvin, "", false},
		"domain that only looks alike":      {policy.FieldDomain, []string{"example.com"}, &wide, "", false},
		"domain":                            {policy.FieldDomain, []string{"example.com"}, ada, "", true},
		"domain nobody vouches for":         {policy.FieldDomain, []string{"example.com"}, &unverified, "", false},
		"a domain by its end":               {policy.FieldDomain, []string{"ample.com"}, ada, "", false},
		"a parent domain":                   {policy.FieldDomain, []string{"com"}, ada, "", false},
		"provider":                          {policy.FieldProvider, []string{"google"}, ada, "google", true},
		"another provider":                  {policy.FieldProvider, []string{"google"}, ada, "gitlab", false},
		"local sign-in is provider local":   {policy.FieldProvider, []string{"local"}, ada, "", true},
		"no e-mail satisfies no e-mail":     {policy.FieldEmail, []string{"x@example.com"}, &store.User{EmailVerified: true}, "", false},
		"no groups satisfy no group":        {policy.FieldGroup, []string{"staff"}, &store.User{}, "", false},
		"an unknown field holds for nobody": {policy.Field("ip"), []string{"127.0.0.1"}, ada, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := policy.Rule{Field: c.field, Values: c.values}
			if got := r.SatisfiedBy(policy.Subject{User: c.user, Provider: c.provider}); got != c.want {
				t.Errorf("holds = %v, want %v", got, c.want)
			}
		})
	}
}

func TestAllRulesHaveToBeSatisfied(t *testing.T) {
	rules := []policy.Rule{{Field: policy.FieldRole, Values: []string{"user"}}, {Field: policy.FieldGroup, Values: []string{"staff"}}}
	s := policy.Subject{User: &store.User{Role: store.RoleUser}}
	if r := policy.FirstUnsatisfied(rules, s); r == nil || r.Field != policy.FieldGroup {
		t.Errorf("failed rule = %v, want the group rule", r)
	}
	s.User.Groups = []string{"staff"}
	if r := policy.FirstUnsatisfied(rules, s); r != nil {
		t.Errorf("failed rule = %v, want none", r)
	}
}

// The domain after the last '@' is not the domain of an address with two of them.
func TestOddAddressesHaveNoDomain(t *testing.T) {
	for _, s := range []string{
		"attacker@evil.com@example.com", `"attacker@evil.com"@example.com`, "a(b)@example.com", "a b@example.com", "@example.com",
		"a@", "a", "", "a@example.com.", "a@.example.com", "a@exa mple.com", "a\x00@example.com", "a@example.com\n", "<a@example.com>",
		"a@[127.0.0.1]", "a@example..com", "a,b@example.com", " a@example.com",
	} {
		if _, d, ok := identifier.SplitEmail(s); ok {
			t.Errorf("%q has the domain %q", s, d)
		}
	}
	if _, d, ok := identifier.SplitEmail("o'hara+x@Example.com"); !ok || d != "Example.com" {
		t.Errorf("a plain address is refused: %q %v", d, ok)
	}
}

func TestUnsatisfiableRulesAreErrors(t *testing.T) {
	for _, r := range []policy.Rule{
		{Field: "role", Values: []string{"root"}},
		{Field: "email", Values: []string{"x"}},
		{Field: "domain", Values: []string{"@x.com"}},
		{Field: "ip", Values: []string{"1"}},
		{Field: "group"},
		{Field: "group", Values: []string{" "}},
		{Field: "group", Values: []string{"staff,ops"}},
		{Field: "group", Values: []string{"staff "}},
		{Field: "group", Values: []string{"sta\u200bff"}},
		{Field: "domain", Values: []string{"*.example.com"}},
		{Field: "domain", Values: []string{"example.com."}},
		{Field: "email", Values: []string{"a@b.c\u00ad"}},
		{Field: "user", Values: []string{"adm\u034fin"}},
	} {
		if r.Validate() == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
}
