package portal_test

import (
	"bufio"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"

	"golang.org/x/net/idna"

	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// corpusLine is a value of testdata/return-to.tsv.
type corpusLine struct {
	allow bool
	raw   string
}

func corpus(t testing.TB) []corpusLine {
	t.Helper()
	f, err := os.Open("testdata/return-to.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []corpusLine
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		line := sc.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verdict, escaped, ok := strings.Cut(line, "\t")
		raw, err := url.PathUnescape(escaped)
		if !ok || err != nil || (verdict != "REJECT" && verdict != "ALLOW") {
			t.Fatalf("malformed line %q", line)
		}
		lines = append(lines, corpusLine{verdict == "ALLOW", raw})
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func guard(t testing.TB, hosts ...string) *portal.Guard {
	t.Helper()
	g, err := portal.NewGuard(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func onSite(secure bool) *reqctx.Request {
	return &reqctx.Request{Secure: secure, Host: host, Prefix: prefix}
}

// P-REDIR: every value of the corpus gets exactly its verdict, at the sign-in and at the end of it.
func TestReturnToCorpus(t *testing.T) {
	t.Parallel()
	lines := corpus(t)
	allowed, rejected := 0, 0
	g, q := guard(t), onSite(true)
	for _, l := range lines {
		target, external, ok := g.Check(q, l.raw)
		if ok != l.allow || external {
			t.Errorf("Check(%q) = %q, %v, %v; want %v", l.raw, target, external, ok, l.allow)
		}
		if !l.allow {
			rejected++
			continue
		}
		allowed++
		got, err := whatwg(origin+"/login", target)
		want, err2 := whatwg(origin+"/login", l.raw)
		if err != nil || err2 != nil || got != want {
			t.Errorf("%q leads to %+v (%v), want %+v (%v)", l.raw, got, err, want, err2)
		}
		checkLocation(t, target)
	}
	if allowed < 20 || rejected < 130 {
		t.Fatalf("the corpus has %d allowed and %d rejected values: part of it is missing", allowed, rejected)
	}
}

func TestReturnToCorpusThroughTheForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, l := range corpus(t) {
		b := w.browser()
		page := b.get("/login?"+url.Values{"rt": {l.raw}}.Encode()).want(t, 200)
		if got := strings.Contains(page.body, `name="rt"`); got != l.allow {
			t.Errorf("%q: carried by the page: %v", l.raw, got)
		}
		a := b.post("/login", "username", "ada", "password", adaPass, "rt", l.raw)
		if a.StatusCode != 303 || len(a.Header["Location"]) != 1 {
			t.Fatalf("%q: status %d, Location %q", l.raw, a.StatusCode, a.Header["Location"])
		}
		if !l.allow && a.location() != "/" {
			t.Errorf("%q: Location %q, want the default page", l.raw, a.location())
		}
		checkLocation(t, a.location())
		for name := range a.Header {
			switch name {
			case "Location", "Set-Cookie", "Content-Length", "Cache-Control", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options",
				"Referrer-Policy", "Permissions-Policy", "Cross-Origin-Resource-Policy", "X-Robots-Tag", "Cross-Origin-Opener-Policy", "Vary":
			default:
				t.Errorf("%q: unexpected header %s", l.raw, name)
			}
		}
	}
}

// checkLocation holds a Location against the rules of the corpus: no reader, however lenient, is led off the site.
func checkLocation(t testing.TB, location string) {
	t.Helper()
	for _, c := range []byte(location) {
		if c < 0x21 || c == 0x7f || c == '\\' {
			t.Fatalf("Location %q holds byte %#x", location, c)
		}
	}
	if strings.HasPrefix(location, "//") || !strings.HasPrefix(location, "/") {
		t.Fatalf("Location %q is no path", location)
	}
	base, err := url.Parse(origin + "/login")
	if err != nil {
		t.Fatal(err)
	}
	once := lenient(location)
	readings := map[string]string{"as it is": location, "decoded": once, "decoded twice": lenient(once), "cleaned": path.Clean(location)}
	for how, l := range readings {
		if at, err := whatwg(origin+"/login", l); err != nil || at.origin != origin {
			t.Fatalf("Location %q, %s, leads a browser to %+v (%v)", location, how, at, err)
		}
		u, err := base.Parse(l)
		if err != nil && how == "as it is" {
			t.Fatalf("Location %q: %v", location, err)
		}
		if err == nil && (u.Scheme != "https" || u.Host != host || u.User != nil) {
			t.Fatalf("Location %q, %s, leads net/url to %s", location, how, u)
		}
	}
}

func lenient(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if d, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(d)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// place is where an address leads a browser.
type place struct{ origin, path, query, fragment string }

// whatwg resolves an address as browsers do (URL standard, "basic URL parser"), as far as https pages are concerned:
// what they strip, what they take for slashes, and how dot segments collapse. It is written from the standard and
// shares nothing with the code under test.
func whatwg(base, in string) (place, error) {
	in = strings.TrimFunc(in, func(r rune) bool { return r <= ' ' })
	in = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(in)
	in, fragment, _ := strings.Cut(in, "#")
	scheme := ""
	if i := strings.IndexByte(in, ':'); i > 0 && isScheme(in[:i]) {
		scheme, in = strings.ToLower(in[:i]), in[i+1:]
	}
	special := scheme == "https" || scheme == "http" || scheme == "ws" || scheme == "wss" || scheme == "ftp" || scheme == "file"
	if scheme != "" && !special {
		return place{origin: scheme + ":"}, nil
	}
	in, query, _ := strings.Cut(in, "?")
	in = strings.ReplaceAll(in, `\`, "/")
	slashes := len(in) - len(strings.TrimLeft(in, "/"))
	if scheme == "https" && slashes < 2 {
		scheme = "" // the base's own scheme without slashes is a relative address
	}
	if scheme == "" && slashes < 2 {
		b, err := url.Parse(base)
		if err != nil {
			return place{}, err
		}
		if slashes == 0 {
			in = b.Path[:strings.LastIndexByte(b.Path, '/')+1] + in
		}
		return place{b.Scheme + "://" + b.Host, collapse(in), query, fragment}, nil
	}
	if scheme == "" {
		scheme = "https"
	}
	in = strings.TrimLeft(in, "/")
	authority, rest := in, ""
	if i := strings.IndexByte(in, '/'); i >= 0 {
		authority, rest = in[:i], in[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	hostname, err := idna.Lookup.ToASCII(lenient(authority))
	if err != nil {
		hostname = strings.ToLower(authority)
	}
	return place{scheme + "://" + strings.TrimSuffix(hostname, ":443"), collapse(rest), query, fragment}, nil
}

func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return true
}

// collapse removes dot segments, also escaped ones.
func collapse(p string) string {
	var out []string
	segs := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, seg := range segs {
		last := i == len(segs)-1
		switch strings.ReplaceAll(strings.ToLower(seg), "%2e", ".") {
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		case ".":
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, seg)
		}
	}
	return "/" + strings.Join(out, "/")
}

// The resolver of the tests is itself held against known answers, or the oracle would prove nothing.
func TestTheOracleReadsAddressesAsBrowsersDo(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"//evil.example/": "https://evil.example", `/\evil.example`: "https://evil.example", "/\t/evil.example": "https://evil.example",
		"https:evil.example": origin, "https:/evil.example": origin, "https:///evil.example": "https://evil.example",
		"http:evil.example": "http://evil.example", "javascript:alert(1)": "javascript:", " //evil.example": "https://evil.example",
		"https://a@evil.example/": "https://evil.example", "/ok": origin, "?x": origin, "https://APP.EXAMPLE.TEST:443/": origin,
	} {
		got, err := whatwg(origin+"/login", in)
		if err != nil || got.origin != want {
			t.Errorf("%q leads to %q (%v), want %q", in, got.origin, err, want)
		}
	}
	if got := collapse("/a/%2e%2E/b/./c"); got != "/b/c" {
		t.Errorf("collapse: %q", got)
	}
}

// P-REDIR: what is not in the corpus, because it depends on where our pages are.
func TestReturnToNeverLeadsToOurOwnPages(t *testing.T) {
	t.Parallel()
	g, q := guard(t), onSite(true)
	for _, raw := range []string{
		"/_auth", "/_auth/", "/_auth/login", "/_auth/logout", "/_auth/oidc/x/callback", "/_AUTH/logout", "/%5fauth/logout", "/%255Fauth/logout",
		"/_%61uth/login", "/_auth;x/login", "/_auth?x", "/_auth#x", "/_auth%2flogin", "/_auth%3flogin", origin + "/_auth/logout", "/_auth/account",
		"/%EF%BC%BFauth/logout", "/_%EF%BD%81uth/logout",
	} {
		if target, _, ok := g.Check(q, raw); ok {
			t.Errorf("Check(%q) = %q", raw, target)
		}
	}
	for _, raw := range []string{"/_authors", "/_auth-x/y", "/x/_auth/login", "/x?next=/_auth/login"} {
		if _, _, ok := g.Check(q, raw); !ok {
			t.Errorf("Check(%q) is refused, but it is the app's", raw)
		}
	}
}

func TestReturnToIsBounded(t *testing.T) {
	t.Parallel()
	g, q := guard(t), onSite(true)
	if _, _, ok := g.Check(q, "/"+strings.Repeat("a", 8<<10)); ok {
		t.Error("more than 8 KiB is accepted")
	}
	if _, _, ok := g.Check(q, "/"+strings.Repeat("a", 8<<10-1)); !ok {
		t.Error("8 KiB is refused")
	}
}

func TestReturnToMoreSpellings(t *testing.T) {
	t.Parallel()
	g, q := guard(t), onSite(true)
	reject := []string{
		"/a/../b", "/a/..", "/./a", "/a/.", "/..;/admin", "/a/.;x/b", "/%2e%2e;/x", "/%252e%252e/x", "/%25252e%25252e/x",
		"/a//b", "/a%2f%2fb", "/%2f/b", "/%EF%BC%8F/evil", "/%EF%BC%BC%EF%BC%BCevil", "/%EF%BC%8E%EF%BC%8E/x", "/%E2%80%A9x", "/%C2%80x",
		"/x?a=%00", "/x?a=%0d%0aSet-Cookie:b", "/x?a=%250aX", "/x#%0a", "/x?a=\"", "/x?<script>", "/x#<b>", "/100%", "/%zz",
		"/%3Cscript%3E", "/%22onload=", "/x?a=%E5%98%8D%E5%98%8Ab", "/%2525252f%2525252f", "/\u00e9", "/\x80", "https://app.example.test:/",
		"https://app.example.test//evil.example", "https://app.example.test/..//evil", "HTTPS://app.example.test\\@evil.example/",
		"https://[::1]/", "https://app.example.test:443:443/", "ftp://app.example.test/", "https:/app.example.test/",
	}
	for _, raw := range reject {
		if target, _, ok := g.Check(q, raw); ok {
			t.Errorf("Check(%q) = %q", raw, target)
		}
	}
	for raw, want := range map[string]string{
		"/x?q=%3Cb%3E": "/x?q=%3Cb%3E", "/x?_g=(a:!(b),c:'d')": "/x?_g=(a:!(b),c:'d')", "/x?j={%22a%22:[1]}": "/x?j={%22a%22:[1]}",
		"/caf%C3%A9": "/caf%C3%A9", "/%E4%B8%8A%E6%B5%B7": "/%E4%B8%8A%E6%B5%B7", "/100%25": "/100%25", "/a.b/..c": "/a.b/..c",
		"https://app.example.test:443/x": "/x", "https://app.example.test?x=1": "/?x=1", "https://app.example.test#f": "/#f",
	} {
		if target, external, ok := g.Check(q, raw); !ok || external || target != want {
			t.Errorf("Check(%q) = %q, %v, %v; want %q", raw, target, external, ok, want)
		}
	}
}

// P-REDIR: each trusted host is that host and no other.
func TestTrustedHostsAreExact(t *testing.T) {
	t.Parallel()
	g := guard(t, "Other.Example.Test", "deep.example.test:8443", "std.example.test:443")
	for raw, want := range map[string]string{
		"https://other.example.test":                  "https://other.example.test/",
		"https://OTHER.example.test:443/x?y=1#z":      "https://other.example.test/x?y=1#z",
		"https://deep.example.test:8443/a":            "https://deep.example.test:8443/a",
		"https://std.example.test/":                   "https://std.example.test/",
		"https://other.example.test:444/":             "",
		"https://other.example.test./":                "",
		"https://xother.example.test/":                "",
		"https://other.example.test.evil.example/":    "",
		"https://a.other.example.test/":               "",
		"https://u@other.example.test/":               "",
		"https://other.example.test@evil.example/":    "",
		"https://other.example.test\\.evil.example":   "",
		"https://other.example.test//evil.example/":   "",
		"https://deep.example.test/":                  "",
		"http://other.example.test/":                  "",
		"//other.example.test/":                       "",
		"javascript://other.example.test/%0aalert(1)": "",
	} {
		target, external, ok := g.Check(onSite(true), raw)
		if ok != (want != "") || target != want || external != ok {
			t.Errorf("Check(%q) = %q, %v, %v; want %q", raw, target, external, ok, want)
		}
	}
	if target, external, ok := g.Check(onSite(false), "http://other.example.test/x"); !ok || !external || target != "http://other.example.test/x" {
		t.Errorf("an http site may return to a trusted http host; got %q, %v, %v", target, external, ok)
	}
	if _, _, ok := g.Check(onSite(false), "https://app.example.test/x"); ok {
		t.Error("https is another origin than http")
	}
	for _, bad := range []string{"", "https://x.test", "x.test/", "x.test:", "u@x.test", "*.x.test", "x test", "x.test.", "x.test:8443/", "x.test?y"} {
		if _, err := portal.NewGuard([]string{bad}); err == nil {
			t.Errorf("trust_return %q is accepted", bad)
		}
	}
}

// P-REDIR: two values are none. Which of them was checked must not be a question.
func TestReturnToGivenTwiceIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, q := range []string{"rt=/good&rt=//evil.example", "rt=//evil.example&rt=/good", "rt=/a&rt=/b"} {
		a := w.browser().get("/login?"+q).want(t, 200)
		if strings.Contains(a.body, `name="rt"`) {
			t.Errorf("%s: a return-to is carried", q)
		}
	}
	w.browser().post("/login?rt=/query", "username", "ada", "password", adaPass, "rt", "/body").wantRedirect(t, "/")
	w.browser().post("/login", "username", "ada", "password", adaPass, "rt", "/a", "rt", "/b").want(t, 400)
}

func FuzzReturnTo(f *testing.F) {
	lines := corpus(f)
	if len(lines) < 150 {
		f.Fatalf("only %d seeds", len(lines))
	}
	for _, l := range lines {
		f.Add(l.raw)
	}
	g, q := guard(f, "other.example.test"), onSite(true)
	f.Fuzz(func(t *testing.T, raw string) {
		target, external, ok := g.Check(q, raw)
		switch {
		case !ok:
			if target != "" {
				t.Fatalf("refused, but with target %q", target)
			}
		case external:
			if at, err := whatwg(origin+"/login", target); err != nil || at.origin != "https://other.example.test" {
				t.Fatalf("%q leads to %+v (%v)", target, at, err)
			}
		default:
			checkLocation(t, target)
		}
		if own, ok := g.CheckOwn(q, raw); ok {
			checkLocation(t, own)
			if at, err := whatwg(origin+"/login", own); err != nil || !strings.HasPrefix(at.path, prefix+"/a") {
				t.Fatalf("CheckOwn(%q) leads to %+v (%v)", raw, at, err)
			}
		}
	})
}
