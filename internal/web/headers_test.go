package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/redirects"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// address fills the wildcards of a pattern.
func address(pattern string) string {
	pattern = strings.ReplaceAll(pattern, "{$}", "")
	pattern = strings.ReplaceAll(pattern, "{id}", "00000000000000000000000000")
	pattern = strings.ReplaceAll(pattern, "{token}", strings.Repeat("A", 43))
	return strings.ReplaceAll(pattern, "{name}", "nope.css")
}

var pagePolicy = regexp.MustCompile(`^default-src 'none'; script-src 'nonce-([A-Z2-7]{26})'; style-src 'self'; img-src 'self'; connect-src 'self'; ` +
	`form-action 'self'( https://other\.example\.test)?( https?:)?; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'$`)

// leadsToTheApp matches pages with a form after which the browser is in the app, which may redirect it anywhere.
var leadsToTheApp = regexp.MustCompile(`<form[^>]* action="` + prefix + `/(?:login|reauth|welcome)"`)

// checkHeaders checks a response against the table of headers.
func checkHeaders(t *testing.T, name string, a answer, secure bool) {
	t.Helper()
	for k, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "X-Robots-Tag": "noindex, nofollow",
		"Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-write=(self), camera=(), microphone=(), geolocation=(), payment=(), usb=()",
	} {
		if got := a.Header[k]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s is %q, want %q", name, k, got, want)
		}
	}
	coop := a.Header.Get("Cross-Origin-Opener-Policy")
	if (coop == "same-origin") != secure || (!secure && coop != "") {
		t.Errorf("%s: Cross-Origin-Opener-Policy %q over HTTPS %v", name, coop, secure)
	}
	vary := strings.Join(a.Header["Vary"], ", ")
	for _, part := range []string{"Cookie", "Accept", "Sec-Fetch-Mode"} {
		if !strings.Contains(vary, part) {
			t.Errorf("%s: Vary %q lacks %s", name, vary, part)
		}
	}
	csp := a.Header.Get("Content-Security-Policy")
	if strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		m := pagePolicy.FindStringSubmatch(csp)
		if m == nil {
			t.Errorf("%s: Content-Security-Policy %q", name, csp)
		} else if leads := strings.Contains(csp, " https:;") || strings.Contains(csp, " http:;"); a.body != "" && leads != leadsToTheApp.MatchString(a.body) {
			t.Errorf("%s: its form may lead to any origin: %t", name, leads)
		} else if a.body != "" && strings.Count(a.body, `nonce="`+m[1]+`"`) != 1 {
			t.Errorf("%s: the page does not use its nonce once", name)
		}
	} else if csp != "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" {
		t.Errorf("%s: Content-Security-Policy %q", name, csp)
	}
	if site := a.Header.Get("Clear-Site-Data"); site != "" && (site != `"cache"` || !secure) { // cookies and storage are the app's
		t.Errorf("%s: Clear-Site-Data %s over HTTPS %v", name, site, secure)
	}
	if strings.Contains(vary, "Origin") || a.Header.Get("Server") != "" {
		t.Errorf("%s: a header that should not be there: %v", name, a.Header)
	}
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		w := newWorld(t)
		w.insecure = !secure
		for _, signedIn := range []bool{false, true} {
			b := w.browser()
			for _, rt := range w.addresses() {
				for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
					if signedIn && b.token() == "" {
						b.signIn("ada", adaPass)
					}
					a := b.do(method, address(rt.Pattern))
					name := method + " " + rt.Pattern + ": " + a.Status
					checkHeaders(t, name, a, secure)
					if a.StatusCode >= 500 {
						t.Errorf("%s: a malformed or empty request is no fault of ours", name)
					}
					if method == "HEAD" && a.body != "" {
						t.Errorf("%s: HEAD has a body", name)
					}
					if a.StatusCode == 405 && a.Header.Get("Allow") == "" {
						t.Errorf("%s: 405 without Allow", name)
					}
				}
			}
		}
	}
}

func TestErrorsCarryTheHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	crossSite := request("POST", "/login", "application/x-www-form-urlencoded", "username=ada")
	crossSite.Header.Set("Sec-Fetch-Site", "cross-site")
	answers := map[string]answer{
		"404":           b.get("/nothing").want(t, 404, "Error: Not found", "ref-0123456789"),
		"404 API":       b.get("/api/v1/nothing"),
		"405":           b.do("DELETE", "/login").want(t, 405),
		"403":           b.send(crossSite).want(t, 403, "another site"),
		"401":           b.post("/login", "username", "ada", "password", "wrong").want(t, 401),
		"413":           b.post("/login", "username", strings.Repeat("x", 70<<10)).want(t, 413),
		"415":           b.json("POST", "/login", `{"username":"ada"}`).want(t, 415),
		"422":           b.post("/login").want(t, 422),
		"400":           b.send(request("POST", "/login", "application/x-www-form-urlencoded", "a;b=%zz")).want(t, 400),
		"401 own POST":  b.post("/account/profile", "name", "x").want(t, 401, "Nothing was saved"),
		"dead link":     b.get("/link/"+strings.Repeat("A", 43)).want(t, 404),
		"no link":       b.get("/welcome").want(t, 400),
		"trailing":      b.get("/login/").want(t, 308),
		"off-site form": b.get("/login?rt=https://other.example.test/x").want(t, 200),
	}
	for range 8 {
		answers["429"] = b.post("/login", "username", "ada", "password", "wrong")
	}
	answers["429"].want(t, 429)
	answers["404 API"].wantProblem(t, 404, "not-found")
	for name, a := range answers {
		checkHeaders(t, name, a, true)
	}
}

// faulty is a real store some of whose results are errors.
type faulty struct {
	store.Store
	err error
}

func (f *faulty) ActiveAdmins(ctx context.Context, n int) ([]store.User, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.ActiveAdmins(ctx, n)
}

// An error that nobody expected is a 500 that tells a reference and nothing else.
func TestUnknownErrorsTellNothing(t *testing.T) {
	t.Parallel()
	secret := "postgres://gate:hunter2@db/gate"
	w := newWorld(t, func(c *config) { c.Store = &faulty{c.Store, errors.New("dial " + secret)} })
	for _, a := range []answer{w.browser().get("/login"), w.browser().post("/login", "username", "ada", "password", adaPass)} {
		a.want(t, 500, "Something went wrong", "ref-0123456789")
		checkHeaders(t, "500", a, true)
		if strings.Contains(a.body, "hunter2") || strings.Contains(a.body, "dial") {
			t.Errorf("the page tells what went wrong inside: %s", a.body)
		}
	}
}

// With the store away, no response says that the password is wrong.
func TestStoreDownIsNoWrongPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	c := w.browser()
	for name, a := range map[string]answer{
		"sign-in page": w.browser().get("/login"), "sign-in": c.post("/login", "username", "ada", "password", adaPass),
		"link": c.get("/link/" + strings.Repeat("A", 43)), "sign-out": b.post("/logout"), "account": w.stranger().get("/account"),
	} {
		if name == "sign-in page" {
			a.want(t, 200) // nothing has to be looked up
			continue
		}
		a.want(t, 503, "cannot be reached", "ref-0123456789")
		if a.Header.Get("Retry-After") == "" || strings.Contains(a.body, "incorrect") {
			t.Errorf("%s: %v: %s", name, a.Header, a.body)
		}
		checkHeaders(t, name, a, true)
	}
	if b.token() == "" {
		t.Error("a sign-out that did not work took the cookie away: nobody could end the session any more")
	}
	c.get("/healthz").want(t, 503, "unavailable")
	w.stranger().get("/api/v1/session").wantProblem(t, 503, "unavailable")
}

// stranger is a browser with a session cookie that nobody knows.
func (w *world) stranger() *browser {
	b := w.browser()
	b.cookies[b.tokenName()] = store.NewToken()
	return b
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.browser().get("/healthz").want(t, 200, "ok\n")
	w.browser().do("HEAD", "/healthz").want(t, 200)
	w.browser().do("POST", "/healthz").want(t, 405)
}

// An address has one spelling. Others are not found, and never redirected by their own text.
func TestOtherSpellingsOfAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, target := range []string{
		"/_auth//login", "/_auth/./login", "/_auth/../_auth/login", "/_auth/%2e/login", "/_auth/%2Flogin", "/_auth/login//", "/_auth//evil.example/", "/_auth/%5c/x",
		"/_auth/%0d%0aSet-Cookie:a=b/", "/_auth\\login", "/_AUTH/login", "/_auth/LOGIN", "/_authx", "/login",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		u, err := url.Parse(origin + target) // as it is, without resolving dot segments
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.Host = u, host
		rec := httptest.NewRecorder()
		w.Router.ServeHTTP(rec, reqctx.With(r, &reqctx.Request{Secure: true, Host: host, Prefix: prefix}))
		loc := rec.Header().Get("Location")
		if rec.Code != http.StatusNotFound && rec.Code != http.StatusPermanentRedirect {
			t.Errorf("%s: status %d", target, rec.Code)
		}
		if loc != "" {
			redirects.CheckLocation(t, loc)
			if !strings.HasPrefix(loc, "/_auth/") || strings.ContainsAny(loc, "\r\n") {
				t.Errorf("%s: Location %q", target, loc)
			}
		}
	}
}

// Every cookie of ours has the attributes that keep it from scripts, other hosts and plain HTTP.
func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		w := newWorld(t)
		w.insecure = !secure
		b := w.browser()
		seen := map[string]bool{}
		for _, a := range []answer{
			b.get("/login"), b.post("/login", "username", "ada", "password", adaPass, "remember", "1"), b.get("/account"),
			b.post("/account/profile", "name", "Ada"), b.get("/account/profile"), b.post("/account/appearance", "theme", "dark"),
			b.post("/reauth", "password", adaPass), b.post("/account/password", "current_password", adaPass, "new_password", "another fine passphrase", "end_others", "1"),
			b.post("/logout"), w.invited("grace").get,
		} {
			for _, c := range a.Cookies() {
				seen[c.Name] = true
				wantName := "gatehouse"
				if secure {
					wantName = "__Host-gatehouse"
				}
				if c.Name != wantName && !strings.HasPrefix(c.Name, wantName+"-") {
					t.Errorf("cookie %s over HTTPS %v", c.Name, secure)
				}
				if !c.HttpOnly || c.Secure != secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" && c.MaxAge >= 0 || len(c.Value)+len(c.Name) > 4000 {
					t.Errorf("cookie %s: %s", c.Name, c.Raw)
				}
			}
		}
		if len(seen) < 6 {
			t.Errorf("only these cookies were seen: %v", seen)
		}
	}
}

// invitation is an invited user and the response to the first request for the link.
type invitation struct {
	token string
	b     *browser
	get   answer
}

// Every response is one of ours, also where an address is nearly one that there is: http.ServeMux would redirect
// to a path without the mount prefix, which is the app's, and without any header of ours.
func TestNoAnswerComesFromTheMultiplexer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) {
		for _, pattern := range []string{"/admin", "/admin/", "/api/v1", "/api/v1/"} {
			c.more = append(c.more, web.Route{Pattern: pattern, Access: web.Admin})
		}
	})
	ends := []string{"", "/", "//", "/.", "/..", "/../x", "/./", "/%2e", "/%2e%2e/", "%2F", "/%2F", "//x", "/x", "/x/", "?x=1", "/?x=1"}
	for _, b := range []*browser{w.browser(), w.browser().signIn("root", rootPass)} {
		for _, rt := range append(w.addresses(), Address{Pattern: "/api"}, Address{Pattern: ""}) {
			for _, end := range ends {
				at := strings.TrimSuffix(address(rt.Pattern), "/") + end
				for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "CONNECT"} {
					if strings.HasPrefix(at, "/logout") && method == "POST" {
						continue
					}
					u, err := url.Parse(origin + prefix + at)
					if err != nil {
						t.Fatal(err)
					}
					r := httptest.NewRequest(method, origin+"/", nil)
					r.URL, r.Host, r.RequestURI = u, host, u.RequestURI()
					a := b.send(r)
					name := method + " " + at + ": " + a.Status
					checkHeaders(t, name, a, true)
					loc := a.location()
					if a.StatusCode == 301 || a.StatusCode == 307 || (loc != "" && !strings.HasPrefix(loc, prefix+"/") && loc != "/") {
						t.Errorf("%s to %q", name, loc)
					}
				}
			}
		}
	}
}
