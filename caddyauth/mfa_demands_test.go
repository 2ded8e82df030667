package caddyauth_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// Trap 49: a site where only a passkey would meet what is demanded, and where none can work, is named when the
// configuration is loaded, with its place, the reason and what to write. Where it can be met there is no warning.
func TestADemandThatNoPasskeyCanMeetIsWarnedOf(t *testing.T) {
	setenv(t, "ADMIN_PASSWORD", adminPass)
	s := start(t, "gatehouse")
	const (
		ip, https    = "passkeys do not work at an IP address", "https://app.example.com"
		plain, named = "passkeys do not work over plain HTTP", "http://app.example.com"
		none         = ""
		only         = "mfa required {\n\tmethods passkey\n}"
		vouching     = "oidc acme {\n\tissuer https://id.example.com\n\tclient_id x\n\tclient_secret y\n\tmfa acr gold\n}\n"
		strong       = "require mfa passkey"
	)
	for name, c := range map[string]struct{ address, global, rule, want string }{
		"all of it works":                 {https, only, strong, none},
		"an address":                      {"https://192.0.2.7", only, "", ip},
		"an address of version 6":         {"https://[2001:db8::7]", only, "", ip},
		"plain HTTP":                      {named, only, "", plain},
		"a name of one part":              {"https://intranet", only, "", "a domain of at least two labels"},
		"localhost over plain HTTP":       {"http://localhost", only, strong, none},
		"any host":                        {"http://", only, strong, none},
		"any host below a domain":         {"https://*.example.com", only, strong, none},
		"one of two hosts":                {"https://192.0.2.7, https://app.example.com", only, "", "can be used on 192.0.2.7,"},
		"behind a proxy":                  {named, only + "\nPROXY", strong, none},
		"behind one with its own name":    {"http://192.0.2.7", only + "\nPROXY\nforwarded_host", strong, none},
		"an app will do":                  {"http://192.0.2.7", "mfa required", "", none},
		"nobody has to":                   {"http://192.0.2.7", "mfa optional {\n\tmethods passkey\n}", "", none},
		"nobody is asked":                 {"http://192.0.2.7", "mfa off", "", none},
		"administrators have to":          {"http://192.0.2.7", "mfa admins {\n\tmethods passkey\n}", "", "mfa admins"},
		"a group has to":                  {"http://192.0.2.7", "mfa {\n\tgroup staff\n\tmethods passkey\n}", "", "mfa group staff"},
		"a provider will do":              {"http://192.0.2.7", vouching + only, "", none},
		"a path wants a passkey":          {"http://192.0.2.7", "mfa", strong, "write require mfa,"},
		"a path wants one, not of those":  {"http://192.0.2.7", vouching, strong, ip},
		"a path wants one of a provider":  {"http://192.0.2.7", strings.Replace(vouching, "gold", "phr", 1), strong, none},
		"a path wants any, and apps do":   {"http://192.0.2.7", "mfa", "require mfa", none},
		"a path wants any, and none does": {"http://192.0.2.7", "mfa {\n\tmethods passkey\n}", "require fresh 15m mfa", "add totp to mfa methods"},
		"passkeys are turned off":         {https, "mfa {\n\tmethods totp\n}", strong, "add passkey to mfa methods"},
	} {
		s.global = "strict\n" + strings.ReplaceAll(c.global, "\nPROXY", "")
		s.site = "gatehouse\n\tgatehouse /ops/* {\n\t" + c.rule + "\n}"
		text := strings.Replace(s.caddyfile(), "http://"+s.addr+" {", c.address+" {", 1)
		if strings.Contains(c.global, "PROXY") {
			text = strings.Replace(text, "auto_https off", "auto_https off\n\tservers {\n\t\ttrusted_proxies static private_ranges\n"+
				"\t\ttrusted_proxies_strict\n\t}", 1)
		}
		err := validateCaddyfile(t, text)
		if (err == nil) != (c.want == none) || err != nil && (!strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "Caddyfile:") || !strings.Contains(err.Error(), "nobody whom it concerns")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The warning is one line of the log and of the settings page, and names the gate that demands it.
func TestTheWarningOfADemandNamesItsGate(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	s.global, s.site = "mfa", "gatehouse\n\tgatehouse /ops/* {\n\t\trequire mfa passkey\n\t}"
	text := s.caddyfile()
	at := strings.Count(text[:strings.Index(text, "gatehouse /ops/*")], "\n") + 1
	if got := s.places(text); len(got) != 1 || !strings.HasPrefix(got[0], "Caddyfile:") || got[0] != "Caddyfile:"+strconv.Itoa(at) {
		t.Errorf("%v, want line %d", got, at)
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	if a := b.page("/_auth/admin/settings"); !strings.Contains(a.body, "require mfa passkey demands a passkey") {
		t.Error("the settings page does not name it")
	}
}

// validateCaddyfile provisions a configuration as `caddy validate` does.
func validateCaddyfile(t *testing.T, text string) error {
	t.Helper()
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &cfg); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&cfg)
}
