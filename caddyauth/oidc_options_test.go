package caddyauth_test

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// Apps find accounts by the address: one that the provider has not verified is not passed on unless that was asked for.
func TestOnlyVerifiedAddressesOfAProviderReachTheApp(t *testing.T) {
	for name, c := range map[string]struct {
		verified any
		lines    string
		want     string
	}{
		"verified":                {true, "", "ada@example.com"},
		"not verified":            {false, "", ""},
		"not said":                {nil, "", ""},
		"not verified, asked for": {false, "unverified_email", "ada@example.com"},
	} {
		idp := provider.New(t)
		idp.SetClaim("email_verified", c.verified)
		s := startOIDC(t, idp, c.lines, "gatehouse {\n header X-Mail email\n header X-User user\n }")
		b := s.browser()
		if a := b.viaProvider("?rt=%2Fx"); a.StatusCode != 200 {
			t.Fatalf("%s: status %d: %s", name, a.StatusCode, a.body)
		}
		h := s.up.last().Header
		if h.Get("X-Mail") != c.want || h.Get("X-User") != "ada" {
			t.Errorf("%s: the app got %q of %q", name, h.Get("X-Mail"), h.Get("X-User"))
		}
	}
}

// The address of an account with a password is its own: an administrator vouches for it.
func TestAddressesOfAccountsWithAPasswordReachTheApp(t *testing.T) {
	setenv(t, "ADMIN_EMAIL", "root@example.com")
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	if !b.reaches("/") || s.up.last().Header.Get("Remote-Email") != "root@example.com" {
		t.Errorf("the app got %v", s.up.last().Header)
	}
}

// withRevocation lets the provider offer a revocation endpoint.
func withRevocation(idp *provider.Provider) {
	idp.SetFaults(func(l *provider.Faults) {
		l.Metadata = func(m map[string]any) { m["revocation_endpoint"] = m["issuer"].(string) + "/revoke" }
	})
}

// RFC 7009: the refresh token ends with the session, whoever ends it, and not when another session takes its place.
func TestTheTokenOfAnEndedSessionIsRevoked(t *testing.T) {
	idp := provider.New(t)
	withRevocation(idp)
	s := startOIDC(t, idp, "", "gatehouse")
	admin := s.browser()
	admin.signIn(adminName, adminPass)
	revoked := 0
	wantRevoked := func(what string) {
		t.Helper()
		revoked++
		eventually(t, what+" to revoke the token", func() bool { return len(idp.Revoked()) >= revoked })
	}
	b := s.browser()
	b.viaProvider("")
	b.viaProvider("") // takes the place of the first
	if n := len(idp.Revoked()); n != 0 {
		t.Fatalf("a session that goes on in another lost its token: %d", n)
	}
	b.post("/_auth/logout")
	wantRevoked("signing out")
	b.viaProvider("")
	me := b.fetch("/_auth/api/v1/me").json(t)
	id, _ := me["id"].(string)
	if id == "" {
		t.Fatalf("nobody is signed in: %v", me)
	}
	if a := admin.api("POST", "users/"+id+"/end-sessions", map[string]any{}); a.StatusCode >= 300 {
		t.Fatalf("ending the sessions: %d %s", a.StatusCode, a.body)
	}
	wantRevoked("an administrator")
	b.viaProvider("")
	if a := admin.api("PATCH", "users/"+id, map[string]any{"active": false}); a.StatusCode >= 300 {
		t.Fatalf("turning the account off: %d %s", a.StatusCode, a.body)
	}
	wantRevoked("turning the account off")
	if slices.Contains(idp.Revoked(), "") {
		t.Errorf("revoked %q", idp.Revoked())
	}
}

// A provider that hangs delays no sign-out.
func TestRevocationDelaysNoSignOut(t *testing.T) {
	idp := provider.New(t)
	withRevocation(idp)
	s := startOIDC(t, idp, "", "gatehouse")
	b := s.browser()
	b.viaProvider("")
	idp.Down(true)
	began := time.Now()
	if a := b.post("/_auth/logout"); a.StatusCode != 303 || time.Since(began) > 3*time.Second || b.reaches("/") {
		t.Errorf("status %d after %s", a.StatusCode, time.Since(began))
	}
}

// Credentials get one line break at the end dropped; anything else around them is refused by the option's name.
func TestCredentialsAreCleanOrRefusedByName(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse")
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for around, good := range map[string]bool{
		"": true, "\n": true, "\r\n": true, "\r": true, " ": false, "\t": false, " \n": false, "\n\n": false, "\u00a0": false,
	} {
		load := func(option, lines string) {
			t.Helper()
			s.global = "oidc test {\n insecure_http\n" + lines + "\n}"
			err := s.load()
			if good != (err == nil) || err != nil && (!strings.Contains(err.Error(), "oidc test "+option) ||
				strings.Contains(err.Error(), idp.Client.Secret)) {
				t.Errorf("%s with %q at the end: %v", option, around, err)
			}
		}
		setenv(t, "TEST_VALUE", idp.Client.Secret+around)
		load("client_secret", "issuer "+idp.Issuer+"\nclient_id gate\nclient_secret {env.TEST_VALUE}")
		load("client_secret_file", "issuer "+idp.Issuer+"\nclient_id gate\nclient_secret_file "+file(idp.Client.Secret+around))
		setenv(t, "TEST_VALUE", idp.Client.ID+around)
		load("client_id", "issuer "+idp.Issuer+"\nclient_id {env.TEST_VALUE}\nclient_secret s")
		setenv(t, "TEST_VALUE", idp.Issuer+around)
		load("issuer", "issuer {env.TEST_VALUE}\nclient_id gate\nclient_secret s")
	}
	for _, content := range []string{" secret", "\ufeffsecret", "se\ncret", "se\x00cret"} {
		s.global = "oidc test {\n insecure_http\nissuer " + idp.Issuer + "\nclient_id gate\nclient_secret_file " + file(content) + "\n}"
		if err := s.load(); err == nil || !strings.Contains(err.Error(), "oidc test client_secret_file") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// A preset is an issuer, a label and an icon.
func TestPresetsBringIssuerLabelAndIcon(t *testing.T) {
	idp := provider.New(t)
	setenv(t, "TEST_TENANT", "6b1f7c7e-0000-0000-0000-000000000000")
	s := startAdmin(t, "gatehouse", withGlobal(`oidc gl {
		preset gitlab `+idp.Issuer+`/
		client_id gate
		client_secret `+"\""+idp.Client.Secret+"\""+`
		insecure_http
	}
	oidc ms {
		preset microsoft {env.TEST_TENANT}
		client_id gate
		client_secret s
	}
	oidc go {
		preset google
		client_id gate
		client_secret s
		label "Our Google"
	}`))
	b := s.browser()
	page := b.page("/_auth/login").body
	for _, label := range []string{"GitLab", "Microsoft", "Our Google"} {
		if !strings.Contains(page, "Continue with "+label) {
			t.Errorf("no button for %s", label)
		}
	}
	for _, name := range []string{"gl", "ms", "go"} {
		if a := b.fetch("/_auth/oidc/" + name + "/icon"); a.StatusCode != 200 || a.Header.Get("Content-Type") != "image/svg+xml" {
			t.Errorf("icon of %s: %d %s", name, a.StatusCode, a.Header.Get("Content-Type"))
		}
	}
	if a := b.follow(b.page("/_auth/oidc/gl/start?rt=%2Fx")); a.StatusCode != 200 || a.Header.Get("X-Upstream") != "yes" {
		t.Errorf("signing in: %d %s", a.StatusCode, a.body)
	}
}

// Parameters of the request take what stands in the environment, as addresses do.
func TestParametersOfAProviderTakePlaceholders(t *testing.T) {
	setenv(t, "TEST_TENANT", "tenant of the test")
	idp := provider.New(t)
	s := startOIDC(t, idp, `auth_params "domain_hint={env.TEST_TENANT}" prompt=select_account`, "gatehouse")
	a := s.browser().page("/_auth/oidc/test/start")
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil || to.Query().Get("domain_hint") != "tenant of the test" || to.Query().Get("prompt") != "select_account" {
		t.Errorf("%d to %q, %v", a.StatusCode, a.Header.Get("Location"), err)
	}
}

// Whoever names another claim than sub is told what that claim has to be; strict makes it an error.
func TestAnIdentityKeyThatMayNotBeStableIsWarnedAbout(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "identity_key employee", "gatehouse")
	s.logs.waitFor(t, "oidc test: identity_key employee: make sure that the provider never gives two people the same value")
	s = startOIDC(t, idp, "identity_key oid", "gatehouse")
	if strings.Contains(s.logs.String(), "identity_key oid") {
		t.Error("a claim that is made for it is warned about")
	}
}
