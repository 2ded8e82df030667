package policy_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

func asks(field policy.Field, values ...string) policy.Rule {
	return policy.Rule{Field: field, Values: values}
}

// What a line about the session means, and which lines mean nothing.
func TestRulesAboutTheSessionAreReadAsWritten(t *testing.T) {
	t.Parallel()
	two, phr := assurance.Need{Level: assurance.Two}, assurance.Need{Level: assurance.PhishingResistant}
	for _, c := range []struct {
		rule policy.Rule
		want assurance.Need // zero: an error
	}{
		{asks(policy.FieldMFA), two},
		{asks(policy.FieldMFA, "passkey"), phr},
		{asks(policy.FieldFresh, "15m"), assurance.Fresh(15 * time.Minute)},
		{asks(policy.FieldFresh, "1d"), assurance.Fresh(24 * time.Hour)},
		{asks(policy.FieldFresh, "60s"), assurance.Fresh(time.Minute)},
		{asks(policy.FieldFresh, "15m", "mfa"), assurance.FreshFactor(15 * time.Minute)},

		{rule: asks(policy.FieldMFA, "totp")},
		{rule: asks(policy.FieldMFA, "Passkey")},
		{rule: asks(policy.FieldMFA, "passkey", "passkey")},
		{rule: asks(policy.FieldMFA, "")},
		{rule: asks(policy.FieldFresh)},
		{rule: asks(policy.FieldFresh, "mfa")},
		{rule: asks(policy.FieldFresh, "59s")},
		{rule: asks(policy.FieldFresh, "0")},
		{rule: asks(policy.FieldFresh, "-15m")},
		{rule: asks(policy.FieldFresh, "15")},
		{rule: asks(policy.FieldFresh, "15m", "passkey")},
		{rule: asks(policy.FieldFresh, "15m", "MFA")},
		{rule: asks(policy.FieldFresh, "15m", "mfa", "mfa")},
	} {
		err := c.rule.Validate()
		if c.want.IsZero() != (err != nil) {
			t.Errorf("%v: %v", c.rule, err)
		}
		want := c.want
		if err != nil {
			want = phr // it closes rather than opens
		}
		if got := policy.NeedOf([]policy.Rule{c.rule}); got.Level != want.Level || err == nil && got != want {
			t.Errorf("%v asks for %+v", c.rule, got)
		}
	}
}

// Rules about people refuse nobody for how the session was proved, and are judged whatever rules there are about that.
func TestRulesAboutPeopleAndAboutTheSessionAreCheckedApart(t *testing.T) {
	t.Parallel()
	user := policy.Subject{User: &store.User{Username: "ada", Role: store.RoleUser, Active: true}}
	mfa, fresh, admin := asks(policy.FieldMFA), asks(policy.FieldFresh, "15m"), asks(policy.FieldRole, "admin")
	if r := policy.FirstUnsatisfied([]policy.Rule{mfa, fresh}, user); r != nil {
		t.Errorf("%v refuses a person", r)
	}
	if r := policy.FirstUnsatisfied([]policy.Rule{mfa, admin, fresh}, user); r == nil || r.Field != policy.FieldRole {
		t.Errorf("the rule about the role is passed over: %v", r)
	}
	if mfa.SatisfiedBy(user) || fresh.SatisfiedBy(user) {
		t.Error("a person alone satisfies a rule about the session")
	}
	all := []policy.Rule{admin, mfa, fresh}
	if n := policy.NeedOf(all); n.Level != assurance.Two || n.Within != 15*time.Minute {
		t.Errorf("together they ask for %+v", n)
	}
	if n := policy.NeedOf([]policy.Rule{admin}); !n.IsZero() {
		t.Errorf("a rule about people asks for %+v", n)
	}
}
