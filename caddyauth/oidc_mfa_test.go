package caddyauth_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// A session that was let in by a value which the configuration no longer has is asked for its second factor with the next
// request after the reload, and is believed again when the value comes back.
func TestAReloadTakesBackWhatAProviderWasBelievedFor(t *testing.T) {
	idp := provider.New(t)
	idp.SetFaults(func(l *provider.Faults) { l.ID = func(c map[string]any) { c["acr"] = "gold" } })
	s := startOIDC(t, idp, "mfa acr gold", "gatehouse {\n\trequire mfa\n}")
	b := s.browser()
	if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 || a.Request.URL.Path != "/x" {
		t.Fatalf("%d at %s", a.StatusCode, a.Request.URL)
	}
	before := "mfa acr gold"
	for _, c := range []struct {
		line string
		let  bool
	}{{"mfa acr silver", false}, {"mfa acr silver gold", true}, {"mfa amr gold", false}, {"mfa acr gold", true}, {"mfa ask", false}} {
		s.global, before = strings.Replace(s.global, before, c.line, 1), c.line
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		if a := b.fetch("/x"); (a.StatusCode == 200) != c.let || !c.let && problemOf(t, a) != "mfa-required" {
			t.Errorf("%s: %d %s", c.line, a.StatusCode, a.body)
		}
	}
}
