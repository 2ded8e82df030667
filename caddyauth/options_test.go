package caddyauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// A host without a port means any of its ports, one with a port that alone, and the usual port of the scheme
// counts although browsers leave it out.
func TestAdminHostsKnowTheUsualPorts(t *testing.T) {
	setenv(t, "ADMIN_PASSWORD", adminPass)
	addr := testenv.Address(t)
	err := loadCaddyfile(fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 1s
	log default {
		level ERROR
	}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	gatehouse {
		%s
		admin_host any.test tls.test:443 plain.test:80 odd.test:8443 2001:DB8:0::1 [2001:db8::2]:443 [2001:db8::3]:8443
	}
}
http://:%s {
	bind 127.0.0.1
	gatehouse
}
`, testenv.NewPlace(t).Caddyfile(), addr[strings.LastIndexByte(addr, ':')+1:]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	b := (&caddyServer{t: t, addr: addr}).browser()
	b.signIn(adminName, adminPass)
	token := b.cookie()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for from, want := range map[string]bool{
		"http any.test": true, "https any.test": true, "http any.test:81": true, "https ANY.test:443": true, "https xany.test": false, "https any.test.": false,
		"https tls.test": true, "https tls.test:443": true, "http tls.test": false, "https tls.test:8443": false, "http tls.test:80": false, "http tls.test:443": true,
		"http plain.test": true, "http plain.test:80": true, "https plain.test": false, "https plain.test:80": true, "http plain.test:8080": false,
		"https odd.test:8443": true, "https odd.test": false, "https odd.test:443": false, "https odd.test:18443": false,
		"https [2001:db8::1]": true, "http [2001:db8::1]:81": true, "https [2001:db8:0:0::1]": true, "https [2001:db8::4]": false, "https 2001:db8::1:": false,
		"https [2001:db8::2]": true, "https [2001:db8::2]:443": true, "http [2001:db8::2]": false, "https [2001:db8::2": false,
		"https [2001:db8::3]:8443": true, "https [2001:db8::3]": false, "https [2001:db8::3]]:8443": false,
	} {
		scheme, host, _ := strings.Cut(from, " ")
		cookie := "gatehouse="
		if scheme == "https" {
			cookie = "__Host-gatehouse="
		}
		r, err := http.NewRequest(http.MethodGet, "http://"+addr+"/_auth/admin/users", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-Forwarded-Proto": {scheme}, "X-Forwarded-Host": {"any.test"}, "Accept": {"text/html"}, "Cookie": {cookie + token}}
		r.Host = host
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		status := http.StatusNotFound
		if want {
			status = http.StatusOK
		}
		if res.StatusCode != status {
			t.Errorf("%s: %d, want %d", from, res.StatusCode, status)
		}
	}
}

// A secret that was written out, braces and all, is in no error; a placeholder that fails is named.
func TestErrorsNeverCarryWhatStandsInBraces(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("GATE_EMPTY", "")
	t.Setenv("GATE_SET", "set")
	provider := func(secret string) []*caddyauth.ProviderConfig {
		return []*caddyauth.ProviderConfig{{Name: "a", Issuer: "https://id.example.com", ClientID: "1", ClientSecret: secret}}
	}
	for _, secret := range []string{
		"hunter2", "correct horse", "env", "env.", "env.hunter2 horse", "env.hunter2{x", "env.hunter2:horse", "file.hunter2 horse", "file.", "system.Hunter2!",
		"http.hunter2", "time", "", "hunter2\\}horse", "\nhunter2", "env.GATE_EMPTY\nhunter2",
	} {
		for option, app := range map[string]*caddyauth.App{
			"admin password":            {Admin: &caddyauth.AdminConfig{Password: text("x{" + secret + "}y")}},
			"admin password_hash":       {Admin: &caddyauth.AdminConfig{PasswordHash: text("{" + secret + "}")}},
			"oidc a client_secret":      {OIDC: provider("{" + secret + "}{env.GATE_SET}")},
			"store postgres":            {Store: &caddyauth.StoreConfig{Engine: "postgres", DSN: "postgres://u:se{" + secret + "}et@db/x"}},
			"store sqlite":              {Store: &caddyauth.StoreConfig{Path: "/data/{" + secret + "}"}},
			"brand logo":                {Brand: &caddyauth.BrandConfig{Logo: "{" + secret + "}"}},
			"oidc a client_key":         {OIDC: []*caddyauth.ProviderConfig{{Name: "a", Issuer: "https://id.example.com", ClientID: "1", ClientKey: "{" + secret + "}"}}},
			"oidc a issuer":             {OIDC: []*caddyauth.ProviderConfig{{Name: "a", Issuer: "{" + secret + "}", ClientID: "1"}}},
			"admin password_file":       {Admin: &caddyauth.AdminConfig{PasswordFile: text("{env.GATE_SET}{" + secret + "}")}},
			"oidc a client_secret_file": {OIDC: []*caddyauth.ProviderConfig{{Name: "a", Issuer: "https://id.example.com", ClientID: "1", ClientSecretFile: "{" + secret + "}"}}},
		} {
			err := app.Resolve()
			if err == nil || !strings.Contains(err.Error(), option) {
				t.Errorf("%s with {%s}: the error does not name the option: %v", option, secret, err)
				continue
			}
			for _, part := range []string{"hunter2", "Hunter2", "horse", "GATE_EMPTY"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("%s with {%s}: the error shows it: %v", option, secret, err)
				}
			}
		}
	}
	for _, name := range []string{"env.GATE_EMPTY", "env.GATE_NOT_SET", "file./gate/is/not-there", "system.nothing"} {
		app := &caddyauth.App{Admin: &caddyauth.AdminConfig{Password: text("{env.GATE_SET}{" + name + "}")}}
		if err := app.Resolve(); err == nil || !strings.Contains(err.Error(), "{"+name+"}") {
			t.Errorf("%s: the error does not name the placeholder: %v", name, err)
		}
	}
	app := &caddyauth.App{Admin: &caddyauth.AdminConfig{Password: text(`correct \{horse} {env.GATE_SET}`)}}
	if err := app.Resolve(); err != nil {
		t.Errorf("a brace that is part of the password: %v", err)
	}
}

func text(s string) *string { return &s }
