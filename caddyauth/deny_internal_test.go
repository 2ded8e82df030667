package caddyauth

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
)

// A denial for which nobody gave a rule is a denial, and no panic.
func TestADenialWithoutARuleHasWords(t *testing.T) {
	t.Parallel()
	if got, want := ruleText(denial{}.rule).String(), i18n.New("gate.person").String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
