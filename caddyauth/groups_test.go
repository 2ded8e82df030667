package caddyauth_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// A group with a comma is one group to a rule; in the header it would be two.
func TestAGroupWithACommaSatisfiesRulesButIsNotSent(t *testing.T) {
	idp := provider.New(t)
	const dn = "cn=Staff,ou=groups"
	idp.SetClaim("groups", []string{dn, "dev", "a,admins"})
	s := startOIDC(t, idp, "allow group "+dn, "gatehouse {\n require group "+dn+"\n }")
	b := s.browser()
	if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 || a.Header.Get("X-Upstream") != "yes" {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	if got := s.up.last().Header.Get("Remote-Groups"); got != "dev" {
		t.Errorf("the app got %q", got)
	}
}

// What a gate asks for is found among any number of groups.
func TestARequiredGroupIsFoundAmongHundreds(t *testing.T) {
	idp := provider.New(t)
	var groups []string
	for i := range 300 {
		groups = append(groups, fmt.Sprintf("group-%03d", i))
	}
	idp.SetClaim("groups", append(groups, "zz-staff"))
	s := startOIDC(t, idp, "", "gatehouse {\n require group zz-staff\n }")
	b := s.browser()
	if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 || a.Header.Get("X-Upstream") != "yes" {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	if got := s.up.last().Header.Get("Remote-Groups"); !strings.HasSuffix(got, ",zz-staff") || strings.Count(got, ",") != 199 {
		t.Errorf("the app got %q", got)
	}
}
