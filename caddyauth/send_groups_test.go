package caddyauth_test

import (
	"net/url"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// The app is told of the groups that the directive names, rules see all of them, and another gate sends its own.
func TestTheAppGetsTheGroupsThatTheDirectiveNames(t *testing.T) {
	idp := provider.New(t)
	idp.SetClaim("groups", []string{"app-dev", "app-ops", "staff", "default-roles", "cn=x,ou=y"})
	for site, want := range map[string]string{
		"gatehouse": "app-dev,app-ops,default-roles,staff",
		"gatehouse {\n send_groups staff nobody\n require group app-dev\n }":          "staff",
		"gatehouse {\n send_groups_prefix app-\n }":                                   "app-dev,app-ops",
		"gatehouse {\n send_groups staff\n send_groups_prefix app-\n }":               "app-dev,app-ops,staff",
		"gatehouse {\n send_groups nobody\n }":                                        "",
		"gatehouse {\n send_groups cn=x,ou=y staff\n }":                               "staff",
		"gatehouse {\n send_groups staff\n }\n gatehouse {\n send_groups app-dev\n }": "app-dev",
	} {
		s := startOIDC(t, idp, "", site)
		b := s.browser()
		if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 {
			t.Fatalf("%s: status %d: %s", site, a.StatusCode, a.body)
		}
		for range 2 { // also when it is memoized
			if !b.reaches("/x") {
				t.Fatal("not let through")
			}
			if got := s.up.last().Header.Get("Remote-Groups"); got != want {
				t.Errorf("%s: the app got %q, want %q", site, got, want)
			}
		}
	}
}

// A percent-encoded value is ASCII, and what comes out of it is what was meant, commas too.
func TestEncodedValuesAreASCIIAndLoseNothing(t *testing.T) {
	idp := provider.New(t)
	idp.SetClaim("name", "Zoë Ünal, 100%")
	idp.SetClaim("groups", []string{"cn=x,ou=y", "Straße"})
	s := startOIDC(t, idp, "", "gatehouse {\n header X-Name name encoded\n header X-Groups groups encoded\n header X-Plain name\n }")
	b := s.browser()
	if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	h := s.up.last().Header
	if got := h.Get("X-Name"); got != "Zo%C3%AB%20%C3%9Cnal%2C%20100%25" {
		t.Errorf("the name is %q", got)
	}
	if got, err := url.PathUnescape(h.Get("X-Name")); err != nil || got != h.Get("X-Plain") {
		t.Errorf("the name decodes to %q, %v", got, err)
	}
	if got := h.Get("X-Groups"); got != "Stra%C3%9Fe,cn%3Dx%2Cou%3Dy" {
		t.Errorf("the groups are %q", got)
	}
}
