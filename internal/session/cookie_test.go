package session_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestCookieNameFollowsSchemeAndDomain(t *testing.T) {
	for want, c := range map[string]session.Cookie{
		"__Host-gatehouse":   {Secure: true},
		"__Secure-gatehouse": {Secure: true, Domain: "example.com"},
		"gatehouse":          {},
	} {
		if got := c.Name(); got != want {
			t.Errorf("%+v: name %q, want %q", c, got, want)
		}
	}
}

func TestAConfiguredDomainCountsOnItsOwnHostsOnly(t *testing.T) {
	for host, want := range map[string]string{
		"example.com": "example.com", "app.example.com": "example.com", "app.example.com:8443": "example.com",
		"badexample.com": "", "example.com.evil.test": "", "localhost:8080": "", "": "",
	} {
		if got := session.CookieFor(true, host, "example.com").Domain; got != want {
			t.Errorf("%q: domain %q, want %q", host, got, want)
		}
	}
}

// The cookie is not accessible to scripts, plain HTTP and other sites, and is small.
func TestSessionCookieAttributes(t *testing.T) {
	now := time.Now()
	w := httptest.NewRecorder()
	session.Cookie{Secure: true}.Set(w, store.NewToken(), store.Session{ExpiresAt: now.Add(time.Hour)}, now)
	line := w.Header().Get("Set-Cookie")
	for _, want := range []string{"__Host-gatehouse=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(line, want) {
			t.Errorf("Set-Cookie %q lacks %q", line, want)
		}
	}
	if strings.Contains(line, "Domain") || strings.Contains(line, "Max-Age") {
		t.Errorf("Set-Cookie %q: a host-only cookie that ends with the browser has neither Domain nor Max-Age", line)
	}
	if pair, _, _ := strings.Cut(line, ";"); len(pair) > 80 {
		t.Errorf("the cookie takes %d bytes", len(pair))
	}
	w = httptest.NewRecorder()
	session.Cookie{Secure: true}.Set(w, store.NewToken(), store.Session{ExpiresAt: now.Add(time.Hour), Remember: true},
		now)
	if line := w.Header().Get("Set-Cookie"); !strings.Contains(line, "Max-Age=3600") {
		t.Errorf("a remembered session's cookie %q does not last as long as the session", line)
	}
}

func TestOnlyOneWellFormedTokenCounts(t *testing.T) {
	a, b := store.NewToken(), store.NewToken()
	c := session.Cookie{}
	for name, test := range map[string]struct{ header, want string }{
		"one":                      {"gatehouse=" + a, a},
		"among others":             {"x=1; gatehouse=" + a + "; y=2", a},
		"the same one twice":       {"gatehouse=" + a + "; gatehouse=" + a, a},
		"two different ones":       {"gatehouse=" + a + "; gatehouse=" + b, ""},
		"a malformed one is noise": {"gatehouse=x; gatehouse=" + a, a},
		"another name's":           {"__Host-gatehouse=" + a, ""},
		"quoted":                   {`gatehouse="` + a + `"`, ""},
		"too long":                 {"gatehouse=" + a + "A", ""},
		"name in another case":     {"Gatehouse=" + a, ""},
		"empty":                    {"gatehouse=", ""},
		"none":                     {"x=" + a, ""},
	} {
		if got := c.Token(http.Header{"Cookie": {test.header}}); got != test.want {
			t.Errorf("%s: token %q, want %q", name, got, test.want)
		}
	}
	if got := c.Token(http.Header{"Cookie": {"gatehouse=" + a, "gatehouse=" + b}}); got != "" {
		t.Error("two different tokens in two header lines count as one")
	}
}

func TestTheUpstreamSeesEveryCookieButOurs(t *testing.T) {
	for in, want := range map[string]string{
		"gatehouse=x": "", "__Host-gatehouse=x; a=1": "a=1", "a=1;gatehouse=x;b=2": "a=1;b=2",
		"a=1; __Secure-gatehouse=x; b=\"q;": "a=1; b=\"q;", "gatehouse-device=x; gatehouseX=2": "gatehouseX=2",
		"__Host-gatehouse-flow-1=x; a=b=c": "a=b=c", " gatehouse =x; z": "z", "a=gatehouse": "a=gatehouse",
	} {
		h := http.Header{"Cookie": {in}}
		session.StripCookies(h, new([1]string))
		if got := strings.Join(h["Cookie"], "|"); got != want {
			t.Errorf("StripCookies(%q) left %q, want %q", in, got, want)
		}
	}
	h := http.Header{"Cookie": {"gatehouse=x", "a=1"}}
	session.StripCookies(h, new([1]string))
	if len(h["Cookie"]) != 1 || h["Cookie"][0] != "a=1" {
		t.Errorf("two lines left %q", h["Cookie"])
	}
}

// FuzzCookie checks that arbitrary Cookie headers give no token or a well-formed one that they contain, and that none
// of Gatehouse's cookies reaches the upstream.
func FuzzCookie(f *testing.F) {
	token := store.NewToken()
	seeds := []string{
		"", "gatehouse=" + token, "a=b; gatehouse=" + token + "; __Host-gatehouse=\x00", ";;;=;",
		"gatehouse", "gatehouse==" + token,
	}
	if len(seeds) < 5 {
		f.Fatal("the corpus is empty")
	}
	for _, s := range seeds {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, line string, secure bool) {
		c := session.Cookie{Secure: secure}
		h := http.Header{"Cookie": {line}}
		got := c.Token(h)
		if got != "" && (!store.ValidToken(got) || !strings.Contains(line, c.Name()+"="+got)) {
			t.Fatalf("token %q out of %q", got, line)
		}
		session.StripCookies(h, new([1]string))
		for _, ck := range (&http.Request{Header: h}).Cookies() {
			if ck.Name == "gatehouse" || ck.Name == "__Host-gatehouse" || ck.Name == "__Secure-gatehouse" {
				t.Fatalf("%q left %q for the upstream", line, h["Cookie"])
			}
		}
		if c.Token(h) != "" {
			t.Fatalf("%q left a token for the upstream", line)
		}
	})
}
