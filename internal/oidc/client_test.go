package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// An issuer, or an endpoint in its metadata, must not point into the operator's network (SSRF): the address that is
// dialed is checked, so that a name which resolves to another address a moment later (DNS rebinding) does not help.
func TestOnlyPublicAddressesAreDialed(t *testing.T) {
	t.Parallel()
	for address, fine := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true,
		"127.0.0.1:443": false, "127.8.8.8:443": false, "0.0.0.0:443": false, "10.0.0.1:443": false, "172.16.0.1:443": false,
		"192.168.1.1:443": false, "169.254.169.254:80": false, "100.64.0.1:443": false, "224.0.0.1:443": false,
		"255.255.255.255:443": false,
		"192.0.0.1:443":       false, "198.18.0.1:443": false, "240.0.0.1:443": false, "0.1.2.3:443": false,
		"[::1]:443": false, "[::]:443": false, "[fe80::1%eth0]:443": false, "[fc00::1]:443": false, "[fd12::1]:443": false,
		"[ff02::1]:443":          false,
		"[::ffff:127.0.0.1]:443": false, "[::ffff:10.0.0.1]:443": false, "[64:ff9b::7f00:1]:443": false,
		"[2002:7f00:1::]:443": false,
		"localhost:443":       false, "": false,
	} {
		if err := publicOnly(context.Background(), "tcp", address, nil); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAProviderOnThisMachineNeedsInsecureHTTP(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	pool := NewPool(PoolOptions{Roots: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	t.Cleanup(pool.Close)
	for insecure, want := range map[bool]string{false: "insecure_http", true: "status 404"} {
		r := pool.remote(&Config{Issuer: s.URL, Insecure: insecure})
		if _, err := r.metadata(t.Context(), time.Hour); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("insecure %v: %v", insecure, err)
		}
	}
}

func TestAResponseThatIsTooLargeIsAnErrorAndNotTruncated(t *testing.T) {
	t.Parallel()
	for size, fine := range map[int]bool{
		0: true, maxBody - 1: true, maxBody: true, maxBody + 1: false,
		4 * maxBody: false,
	} {
		l := &limitedBody{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", size))), remaining: maxBody}
		b, err := io.ReadAll(l)
		if fine && (err != nil || len(b) != size) || !fine && !errors.Is(err, errTooLarge) {
			t.Errorf("%d bytes: read %d, %v", size, len(b), err)
		}
	}
}

func TestARateLimitIsUsedUpAndRefills(t *testing.T) {
	t.Parallel()
	b, now := newRateLimit(3), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 5 {
		if got := b.allow(now.Add(time.Duration(i) * time.Second)); got != (i < 3) {
			t.Errorf("take %d: %v", i, got)
		}
	}
	if !b.allow(now.Add(time.Minute)) || b.allow(now.Add(time.Minute)) {
		t.Error("a minute later there is not exactly one")
	}
}

func TestTheOldestFlowsOfABrowserAreDropped(t *testing.T) {
	t.Parallel()
	have := map[string]string{"flow-forged": "not ours"}
	for i := range 24 {
		have[fmt.Sprintf("flow-%02d", i)] = fmt.Sprintf("%s.token", strings.Repeat("1", 3)+string(rune('a'+i)))
	}
	drop := FlowCookiesToDrop(have)
	if len(have)-len(drop) != MaxFlows-1 || drop[0] != "flow-forged" || drop[1] != "flow-00" ||
		slices.Contains(drop, "flow-23") {
		t.Errorf("dropped %v", drop)
	}
	if d := FlowCookiesToDrop(map[string]string{"flow-1": "a"}); d != nil {
		t.Errorf("dropped %v of one", d)
	}
}

func TestValidateReportsTheFirstMistake(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{Name: "test", Issuer: "https://id.example.com", ClientID: "id", Secret: "secret"}
	}
	c := good()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"name": func(c *Config) { c.Name = "Test" }, `"local"`: func(c *Config) { c.Name = policy.LocalProvider },
		"issuer: is missing": func(c *Config) { c.Issuer = "" }, "issuer: is http": func(c *Config) { c.Issuer = "http://x" },
		"issuer: is not": func(c *Config) { c.Issuer = "https://u:p@x" },
		"issuer: has":    func(c *Config) { c.Issuer = "ftp://x" },
		"client_id":      func(c *Config) { c.ClientID = "" }, "client_secret": func(c *Config) { c.Secret = "" },
		"auth_method": func(c *Config) { c.Method = "x" }, "client_key": func(c *Config) { c.Method, c.Secret = KeyJWT, "" },
		"sign_alg": func(c *Config) { c.SignAlgs = []string{"HS256"} },
		"scopes":   func(c *Config) { c.Scopes = []string{"email"} },
		"create":   func(c *Config) { c.Create = "x" }, "link": func(c *Config) { c.Link = "x" },
		"admin_group":  func(c *Config) { c.AdminGroups = []string{" "} },
		"allow":        func(c *Config) { c.Allow = []Allow{{Field: "domain", Values: []string{"a@b"}}} },
		"claim groups": func(c *Config) { c.Claims.Groups = ".x" },
	} {
		c := good()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "secret\"") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// URLs from a provider become part of our Content-Security-Policy: their hosts are plain hosts, or the provider is not
// used.
func TestAURLWithMoreThanAHostIsNotUsed(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"id.test;script-src", "id.test,evil", "*", "*.test", "'self'", "id.test'", "", "id test",
		"id.test:", "id.test:x", "[::1", "\u0131d.test", "a..test",
	} {
		for _, scheme := range []string{"https", "http"} {
			address := scheme + "://" + host + "/end"
			if isUsableURL(address, true) {
				t.Errorf("%q is used", address)
			}
			if o := origin(address); o != "" {
				t.Errorf("%q has the origin %q", address, o)
			}
		}
	}
	if !isUsableURL("https://id.test:8443/end?x=1", true) || origin("https://ID.test:443/end") != "https://id.test" {
		t.Error("a plain address is not used")
	}
}
