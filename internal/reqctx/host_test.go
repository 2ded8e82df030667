package reqctx_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Whatever a host is taken from, it is read in one way: what browsers can name, in the spelling of browsers.
func TestHostsHaveOneReading(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"app.test": "app.test", "APP.Test:443": "app.test:443", "app.test.": "app.test.", "my_app.test": "my_app.test", "a-.test": "a-.test",
		"localhost:8080": "localhost:8080", "127.0.0.1": "127.0.0.1", "xn--bcher-kva.test": "xn--bcher-kva.test",
		"[2001:DB8:0::1]": "[2001:db8::1]", "[::1]:80": "[::1]:80", strings.Repeat("a", 63) + ".test": strings.Repeat("a", 63) + ".test",

		"": "", ".": "", "..": "", ".app.test": "", "app..test": "", "app.test..": "", "app.test:": "", "app.test:0": "", "app.test:0443": "",
		"app.test:65536": "", "app.test:+1": "", "app.test:80:80": "", ":80": "", "a b": "", "app.test ": "", "\tapp.test": "", "app.test\n": "", "u@app.test": "",
		"app.test/x": "", `app.test\x`: "", "app.test?": "", "app.test#": "", "app%2etest": "", "b\u00fccher.test": "", "\uff41pp.test": "", "app.test\u200b": "", "app,test": "",
		"*.test": "", "app.test;x": "", "'none'": "", `"app.test"`: "", "::1": "", "2001:db8::1": "", "[::1": "", "::1]": "", "[[::1]]": "", "[::1]]:80": "",
		"[fe80::1%25eth0]": "", "[fe80::1%eth0]": "", "[::ffff:127.0.0.1]": "", "[127.0.0.1]": "", "[]": "", "[::1]x": "", "app.test\x00": "",
		strings.Repeat("a", 64) + ".test": "", strings.Repeat("a", 64): "", strings.Repeat("a.", 128): "",
	} {
		h, ok := reqctx.ParseHost(raw)
		if ok != (want != "") || ok && h.String() != want {
			t.Errorf("ParseHost(%q) = %q, %v; want %q", raw, h, ok, want)
		}
		if !ok {
			continue
		}
		if again, ok := reqctx.ParseHost(h.String()); !ok || again != h {
			t.Errorf("%q is read as %q, and that as %q", raw, h, again)
		}
	}
}

// An origin is a scheme and a host. What would be more than that where an origin is written is none.
func TestOriginsAreSchemeAndHostOnly(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://a.test": "https://a.test", "HTTPS://A.test:443": "https://a.test", "http://a.test:80": "http://a.test", "https://a.test:80": "https://a.test:80",
		"http://[::1]:8080": "http://[::1]:8080",
		"null":              "", "": "", "a.test": "", "ftp://a.test": "", "https://": "", "https://a.test/": "", "https://u@a.test": "", "https://a.test;b": "",
		"https://*.test": "", "https://a.test,b.test": "", "https://a.test https://b.test": "", "https://'self'": "", "javascript://a.test": "", "blob:https://a.test": "",
	} {
		got, ok := reqctx.ParseOrigin(raw)
		if ok != (want != "") || ok && got != want {
			t.Errorf("ParseOrigin(%q) = %q, %v; want %q", raw, got, ok, want)
		}
	}
	if o, ok := reqctx.OriginOf(&url.URL{Scheme: "https", Host: "a.test;script-src *", Path: "/x"}); ok {
		t.Errorf("an address with a policy in its host has the origin %q", o)
	}
}

// An option that names a host means that host: on every port where it names none, else on that one.
func TestAHostServesItsPorts(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"a.test a.test https": true, "a.test a.test:81 http": true, "a.test:443 a.test https": true, "a.test:443 a.test http": false, "a.test:80 a.test http": true,
		"a.test:8443 a.test:8443 http": true, "a.test b.test http": false, "a.test a.test. http": false, "a.test xa.test http": false,
	} {
		f := strings.Fields(line)
		h, _ := reqctx.ParseHost(f[0])
		asked, _ := reqctx.ParseHost(f[1])
		if got := h.Matches(asked, f[2] == "https"); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
	if (reqctx.Host{}).Matches(reqctx.Host{}, true) {
		t.Error("no host serves no host")
	}
}
