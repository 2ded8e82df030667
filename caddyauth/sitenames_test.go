package caddyauth_test

import (
	"strings"
	"testing"
)

// Options about hosts that no gated site has are refused, with the names that there are.
func TestOptionsAboutHostsThatNoSiteHasAreRefused(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	for global, want := range map[string]string{
		"admin_host nowhere.example":                                "admin_host nowhere.example: no site with a gate has this name",
		"admin_host nowhere.example:8443 b.example":                 "admin_host nowhere.example:8443 b.example: no site",
		"session {\n\tcookie_domain example.org\n}":                 "session cookie_domain example.org: no site with a gate is below",
		"session {\n\tcookie_domain example.org\n}\nforwarded_host": "",
		"admin_host 127.0.0.1":                                      "",
		"admin_host 127.0.0.1:1234 nowhere.example":                 "",
		"strict\nadmin_host 127.0.0.1 nowhere.example":              "no site with a gate has the name nowhere.example",
	} {
		s.global = global
		if err := s.load(); (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "127.0.0.1")) {
			t.Errorf("%q: %v", global, err)
		}
	}
	for sites, fine := range map[string]bool{"*.example.org": true, "a.example.org, b.test": true, "example.org": true, "b.test": false, "xexample.org": false, "{env.SITE}": true, "": true} {
		s.global = "session {\n\tcookie_domain example.org\n}"
		_, port, _ := strings.Cut(s.addr, ":")
		var keys []string
		for _, k := range strings.Split(sites, ", ") {
			keys = append(keys, "http://"+k+":"+port)
		}
		text := strings.Replace(s.caddyfile(), "http://"+s.addr+" {", strings.Join(keys, ", ")+" {", 1)
		if err := s.reload(text); (err == nil) != fine {
			t.Errorf("cookie_domain example.org on %q: %v", sites, err)
		}
	}
}

// A proxy that ends TLS and is not trusted is named once, in the log and on the settings page, with what to add.
func TestAProxyThatIsNotTrustedIsNamedOnce(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	const add = "trusted_proxies static 127.0.0.1"
	if a := b.page("/_auth/admin/settings"); strings.Contains(a.body, add) {
		t.Error("the page names a proxy before there was one")
	}
	for range 3 {
		b.fetch("/x", "X-Forwarded-Proto", "https")
	}
	log := s.logs.waitFor(t, add)
	b.fetch("/x", "X-Forwarded-Proto", "wss")
	if n := strings.Count(log, add); n != 1 {
		t.Errorf("the log names it %d times", n)
	}
	if a := b.page("/_auth/admin/settings"); !strings.Contains(a.body, add) {
		t.Errorf("the page names no proxy: %d", a.StatusCode)
	}
}
