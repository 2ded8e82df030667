package oidc

import (
	"slices"
	"strings"
	"testing"
)

func TestADiscoveryDocumentCannotFillTheLog(t *testing.T) {
	t.Parallel()
	var m metadata
	for range 10_000 {
		m.ignore("id_token_signing_alg_values_supported", jsonValue{})
	}
	if len(m.ignored) > 50 {
		t.Errorf("%d members are named", len(m.ignored))
	}
}

func TestAnIdentityKeyThatIsNotKnownToBeStableIsWarnedAbout(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "sub", "oid", "OID"} {
		if c := (Config{IdentityKey: key}); len(c.Warnings()) != 0 {
			t.Errorf("%s: %v", key, c.Warnings())
		}
	}
	c := Config{Name: "id", IdentityKey: "employee_id"}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "oidc id: identity_key employee_id") {
		t.Errorf("%v", w)
	}
	for _, key := range stableClaims {
		if slices.Contains(mutableClaims, key) || slices.Contains(perSignInClaims, key) {
			t.Errorf("%s is stable, and is not", key)
		}
	}
}
