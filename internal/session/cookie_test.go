package session_test

import (
	"cmp"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
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
		q := &reqctx.Request{Secure: true, Host: host}
		if got := session.CookieFor(q, "example.com").Domain; got != want {
			t.Errorf("%q: domain %q, want %q", host, got, want)
		}
	}
}

// The cookie is not accessible to scripts, plain HTTP and other sites, and is small, whatever its name.
func TestSessionCookieAttributes(t *testing.T) {
	f := setUp(t)
	longest := strings.Repeat("n", session.MaxCookieName)
	for _, c := range []session.Cookie{{Secure: true}, {Secure: true, Domain: "example.com", Base: longest}} {
		token, s := f.start(t, f.user, false)
		lines := f.setCookie(t, c, "app.example.com", "", token, s)
		if len(lines) != 1 {
			t.Fatalf("a first sign-in sets %q", lines)
		}
		line := lines[0]
		for _, want := range []string{c.Name() + "=" + token, "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(line, want) {
				t.Errorf("Set-Cookie %q lacks %q", line, want)
			}
		}
		if strings.Contains(line, "Domain") != (c.Domain != "") || strings.Contains(line, "Max-Age") {
			t.Errorf("Set-Cookie %q: only a shared cookie has a Domain, and one that ends with the browser no Max-Age", line)
		}
		if pair, _, _ := strings.Cut(line, ";"); len(pair) > 80 {
			t.Errorf("the cookie takes %d bytes", len(pair))
		}
	}
	token, s := f.start(t, f.user, true)
	if line := f.setCookie(t, session.Cookie{Secure: true}, "a.test", "", token, s)[0]; !strings.Contains(line, "Max-Age=172800") {
		t.Errorf("a remembered session's cookie %q does not last as long as the session", line)
	}
}

func TestOnlyWellFormedValuesOfTheNameArePresented(t *testing.T) {
	a, b := store.NewToken(), store.NewToken()
	for name, test := range map[string]struct {
		header, want string
		several      bool
	}{
		"one":                      {"gatehouse=" + a, a, false},
		"one with a mark":          {"gatehouse=" + a + "abcd_-12", a, false},
		"among others":             {"x=1; gatehouse=" + a + "; y=2", a, false},
		"the same one twice":       {"gatehouse=" + a + "; gatehouse=" + a, a, false},
		"two different ones":       {"gatehouse=" + a + "; gatehouse=" + b, "", true},
		"a malformed one is noise": {"gatehouse=x; gatehouse=" + a, a, false},
		"another name's":           {"__Host-gatehouse=" + a, "", false},
		"another prefix":           {"my-gatehouse=" + a, "", false},
		"quoted":                   {`gatehouse="` + a + `"`, "", false},
		"too long":                 {"gatehouse=" + a + "A", "", false},
		"a mark too long":          {"gatehouse=" + a + "abcd_-123", "", false},
		"a mark of other letters":  {"gatehouse=" + a + "abcd.-12", "", false},
		"name in another case":     {"Gatehouse=" + a, "", false},
		"empty":                    {"gatehouse=", "", false},
		"none":                     {"x=" + a, "", false},
	} {
		p := session.ReadPresented(session.Cookie{}, http.Header{"Cookie": {test.header}})
		if got, ok := p.Single(); got != test.want || ok == test.several {
			t.Errorf("%s: token %q, %v, want %q", name, got, ok, test.want)
		}
	}
	lines := http.Header{"Cookie": {"gatehouse=" + a, "gatehouse=" + b}}
	if _, ok := session.ReadPresented(session.Cookie{}, lines).Single(); ok {
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
		session.StripCookies(h, "", new([1]string))
		if got := strings.Join(h["Cookie"], "|"); got != want {
			t.Errorf("StripCookies(%q) left %q, want %q", in, got, want)
		}
	}
	h := http.Header{"Cookie": {"gatehouse=x", "a=1"}}
	session.StripCookies(h, "", new([1]string))
	if len(h["Cookie"]) != 1 || h["Cookie"][0] != "a=1" {
		t.Errorf("two lines left %q", h["Cookie"])
	}
}

// What is left of a Cookie line is all others, in their order, byte for byte, wherever ours are among them.
func TestTheOtherCookiesAreLeftAsTheyCame(t *testing.T) {
	parts := []string{"gatehouse=x", " __Host-gatehouse-flow-1=y", "a=1", " b=gatehouse", "", " "}
	var lines func(n int) [][]string
	lines = func(n int) (all [][]string) {
		if n == 0 {
			return [][]string{nil}
		}
		for _, line := range lines(n - 1) {
			for _, p := range parts {
				all = append(all, append(slices.Clone(line), p))
			}
		}
		return all
	}
	for n := range 6 {
		for _, line := range lines(n) {
			left := slices.DeleteFunc(slices.Clone(line), func(p string) bool { return p == parts[0] || p == parts[1] })
			if len(left) == len(line) {
				continue
			}
			want := strings.Trim(strings.TrimLeft(strings.Join(left, ";"), ";"), " \t")
			h := http.Header{"Cookie": {strings.Join(line, ";")}}
			session.StripCookies(h, "", new([1]string))
			if got := h.Get("Cookie"); got != want {
				t.Errorf("%q: left %q, want %q", line, got, want)
			}
		}
	}
}

// Most requests have a cookie of ours and nothing odd: removing it allocates nothing.
func TestRemovingACookieOfOursTakesNoCopy(t *testing.T) {
	for _, line := range []string{"gatehouse=x", "a=1; gatehouse=x", "gatehouse=x; a=1; b=2", "a=1; __Host-gatehouse=x; gatehouse-theme=y"} {
		h, backing := make(http.Header, 1), new([1]string)
		lines := []string{line}
		if n := testing.AllocsPerRun(10, func() { h["Cookie"] = lines; session.StripCookies(h, "", backing) }); n > 0 {
			t.Errorf("%q: %v allocations", line, n)
		}
	}
}

// A name of one's own is as private as the default one, which is still nobody's but Gatehouse's.
func TestTheUpstreamSeesNoCookieOfAConfiguredName(t *testing.T) {
	for in, want := range map[string]string{
		"way=x; a=1": "a=1", "__Host-way=x": "", "__Secure-way=x; way-flow-1=y; ways=2": "ways=2",
		"way-id=42; __Host-way-token=app; __Host-way-device=x; way-theme=y; way-themes=z": "way-id=42; __Host-way-token=app; way-themes=z",
		"gatehouse-any=x": "", "way-flow=1; way-link-x=2; way-=3": "way-flow=1; way-link-x=2; way-=3",
		"gatehouse=x; b=3": "b=3", "anyway=1": "anyway=1",
	} {
		h := http.Header{"Cookie": {in}}
		session.StripCookies(h, "way", new([1]string))
		if got := strings.Join(h["Cookie"], "|"); got != want {
			t.Errorf("StripCookies(%q) left %q, want %q", in, got, want)
		}
	}
}

// What is not known as ours would reach the upstream: every name that is given to a cookie in this repository is known.
func TestEveryNameOfOursIsKept(t *testing.T) {
	named := regexp.MustCompile(`(?m)^(?:const )?\s*\w+Cookie(?:Prefix)?\s*= "([a-z-]+)"`)
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			found++
			h := http.Header{"Cookie": {"way-" + m[1] + "x=1"}}
			if !strings.HasSuffix(m[1], "-") {
				h = http.Header{"Cookie": {"__Host-way-" + m[1] + "=1"}}
			}
			if session.StripCookies(h, "way", new([1]string)); len(h) > 0 {
				t.Errorf("%s: the cookie %q reaches the upstream", path, m[1])
			}
		}
		return err
	})
	if err != nil || found < 9 {
		t.Errorf("%d names, %v", found, err)
	}
}

// An app, or a sibling host below cookie_domain, signs nobody in and out.
func TestAnAppSetsNoCookieOfOurs(t *testing.T) {
	for _, base := range []string{"", "way"} {
		name := cmp.Or(base, "gatehouse")
		for _, prefix := range []string{"", "__Host-", "__Secure-", "=", " =", "== "} {
			for _, suffix := range []string{"", "-device", "-trusted", "-ceremony", "-flow-1"} {
				lines := []string{"a=1; Path=/", prefix + name + suffix + "=x; Path=/; Domain=corp.test", "b=" + name + "=x"}
				h := http.Header{"Set-Cookie": lines}
				session.DropSetCookies(h, base)
				if got := h["Set-Cookie"]; len(got) != 2 || got[0] != lines[0] || got[1] != lines[2] {
					t.Errorf("%q leaves %q", lines, got)
				}
			}
		}
	}
	h := http.Header{"Set-Cookie": {"gatehouse=; Max-Age=0"}}
	if session.DropSetCookies(h, "way"); len(h) > 0 {
		t.Errorf("of nothing else there is %q", h)
	}
	h = http.Header{"Set-Cookie": {"way-id=1", "ways=2", "away=3"}}
	if session.DropSetCookies(h, "way"); len(h["Set-Cookie"]) != 3 {
		t.Errorf("of the app's own there are %q", h)
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
		got, _ := session.ReadPresented(c, h).Single()
		if got != "" && (!store.ValidToken(got) || !strings.Contains(line, c.Name()+"="+got)) {
			t.Fatalf("token %q out of %q", got, line)
		}
		session.StripCookies(h, "", new([1]string))
		for _, ck := range (&http.Request{Header: h}).Cookies() {
			if ck.Name == "gatehouse" || ck.Name == "__Host-gatehouse" || ck.Name == "__Secure-gatehouse" {
				t.Fatalf("%q left %q for the upstream", line, h["Cookie"])
			}
		}
		if len(session.ReadPresented(c, h).Others("")) > 0 {
			t.Fatalf("%q left a token for the upstream", line)
		}
	})
}
