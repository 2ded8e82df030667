package caddyauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

// A program that is sent to the sign-in page takes it for its data; a browser that is not shows data to a person.
func TestOnlyPageLoadsAreSentToTheSignIn(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	for name, c := range map[string]struct {
		method string
		want   string // "redirect", "page", "frame" or "problem"
		header []string
	}{
		"a page over HTTPS":               {"GET", "redirect", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", browserAccept}},
		"a page, destination not said":    {"GET", "redirect", []string{"Sec-Fetch-Mode", "navigate"}},
		"a page over plain HTTP":          {"GET", "redirect", []string{"Accept", browserAccept, "Upgrade-Insecure-Requests", "1"}},
		"a page with a Basic password":    {"GET", "redirect", []string{"Accept", browserAccept, "Upgrade-Insecure-Requests", "1", "Authorization", "Basic YTpi"}},
		"and one that is not said to be":  {"GET", "problem", []string{"Accept", browserAccept, "Authorization", "Basic YTpi"}},
		"with Fetch Metadata it is":       {"GET", "redirect", []string{"Sec-Fetch-Mode", "navigate", "Authorization", "Basic YTpi"}},
		"a form over plain HTTP":          {"POST", "page", []string{"Accept", browserAccept, "Content-Type", "application/x-www-form-urlencoded"}},
		"a form over HTTPS":               {"POST", "page", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		"pip":                             {"GET", "problem", []string{"Accept", "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"}},
		"pip with a password":             {"GET", "problem", []string{"Accept", "text/html", "Authorization", "Basic YTpi"}},
		"Java":                            {"GET", "problem", []string{"Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}},
		"an odd weight":                   {"GET", "problem", []string{"Accept", "text/html;q=2"}},
		"jQuery's load":                   {"GET", "problem", []string{"Accept", "text/html, */*; q=0.01", "X-Requested-With", "XMLHttpRequest"}},
		"jQuery, a form":                  {"POST", "problem", []string{"Accept", "text/html, */*; q=0.01", "X-Requested-With", "XMLHttpRequest"}},
		"htmx":                            {"GET", "problem", []string{"Accept", "text/html", "Hx-Request", "true"}},
		"a Turbo frame":                   {"GET", "problem", []string{"Accept", "text/html, application/xhtml+xml", "Turbo-Frame", "list"}},
		"Unpoly":                          {"GET", "problem", []string{"Accept", "text/html, */*", "X-Up-Version", "3.8"}},
		"a download":                      {"GET", "problem", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "empty", "Accept", browserAccept}},
		"a destination given twice":       {"GET", "problem", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Dest", "empty"}},
		"an unknown destination":          {"GET", "problem", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "fencedframe"}},
		"a frame":                         {"GET", "frame", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Accept", browserAccept}},
		"an old frame":                    {"GET", "frame", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "frame"}},
		"an embedded page":                {"GET", "frame", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "embed"}},
		"a form in a frame":               {"POST", "frame", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "object"}},
		"a token of ours, in a browser":   {"GET", "problem", []string{"Sec-Fetch-Mode", "navigate", "Authorization", "Bearer gatehouse_pat_x"}},
		"a token of ours as Basic":        {"GET", "problem", []string{"Sec-Fetch-Mode", "navigate", "Authorization", "Basic eDpnYXRlaG91c2Vfc3ZjX3g="}},
		"a token in a header of its own":  {"GET", "problem", []string{"Sec-Fetch-Mode", "navigate", "Gatehouse-Token", "x"}},
		"a page for another upgrade":      {"GET", "problem", []string{"Accept", "text/html", "Connection", "Upgrade", "Upgrade", "SPDY/3.1"}},
		"nothing that it likes":           {"GET", "problem", []string{"Accept", "text/html;q=0"}},
		"everything, and HTML among that": {"GET", "redirect", []string{"Accept", "text/html, */*"}},
	} {
		b := s.browser()
		a := b.do(b.request(c.method, "/report.csv", nil, c.header...))
		got, ct := "other", a.Header.Get("Content-Type")
		switch {
		case a.StatusCode == 302 && a.Header.Get("Location") == "/_auth/login?rt=%2Freport.csv":
			got = "redirect"
		case a.StatusCode == 401 && ct == "application/problem+json":
			got = "problem"
		case a.StatusCode == 401 && strings.Contains(a.body, "Nothing was saved"):
			got = "page"
		case a.StatusCode == 401 && strings.Contains(a.body, `target="_top"`):
			got = "frame"
		}
		if got != c.want {
			t.Errorf("%s: %s (%d, %s), want %s", name, got, a.StatusCode, ct, c.want)
		}
	}
}

// A grey box tells nobody anything. What may be framed has nothing in it that a click can do.
func TestAFrameGetsAPageThatTheSiteItselfMayFrame(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\trequire group ops\n}")
	frame := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "same-origin", "Referer", "http://" + s.addr + "/board?x=1"}
	b := s.browser()
	check := func(a response, status int, link string) {
		t.Helper()
		csp := a.Header.Get("Content-Security-Policy")
		if a.StatusCode != status || a.Header.Get("X-Frame-Options") != "" || !strings.Contains(csp, "frame-ancestors 'self'") || strings.Contains(a.body, "<form") ||
			strings.Contains(a.body, "<script") || !strings.Contains(a.body, `href="`+link+`" target="_top"`) {
			t.Errorf("%d, %q, %q:\n%s", a.StatusCode, csp, a.Header.Get("X-Frame-Options"), a.body)
		}
	}
	check(b.do(b.request("GET", "/panel", nil, frame...)), 401, "/_auth/login?rt=%2Fboard%3Fx%3D1")
	b.signIn(adminName, adminPass)
	check(b.do(b.request("GET", "/panel", nil, frame...)), 403, "http://"+s.addr+"/panel")
	for _, path := range []string{"/_auth/login", "/_auth/account"} {
		if a := b.do(b.request("GET", path, nil, frame...)); a.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s may be framed: %v", path, a.Header)
		}
	}
}

// Somebody who signs in because a script was refused wants to see the page of the script, not its data.
func TestTheLoginURLOfAScriptReturnsToItsPage(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	own := "http://" + s.addr
	for referer, want := range map[string]string{
		own + "/board?x=1":       "/_auth/login?rt=%2Fboard%3Fx%3D1",
		own + "/board?x=1#top":   "/_auth/login?rt=%2Fboard%3Fx%3D1",
		"":                       "/_auth/login?rt=%2Fapi%2Fitems",
		"http://evil.test/x":     "/_auth/login?rt=%2Fapi%2Fitems",
		"https://" + s.addr:      "/_auth/login?rt=%2Fapi%2Fitems",
		own + "/_auth/account":   "/_auth/login?rt=%2Fapi%2Fitems",
		"http://u@" + s.addr:     "/_auth/login?rt=%2Fapi%2Fitems",
		own + ".evil.test/x":     "/_auth/login?rt=%2Fapi%2Fitems",
		"about:client":           "/_auth/login?rt=%2Fapi%2Fitems",
		own + "//evil.test/x%00": "/_auth/login",
	} {
		b := s.browser()
		header := []string{"Sec-Fetch-Mode", "cors", "Referer", referer}
		if referer == "" {
			header = header[:2]
		}
		got, _ := b.do(b.request("GET", "/api/items", nil, header...)).json(t)["login_url"].(string)
		if got != want && (want != "/_auth/login" || !strings.HasPrefix(got, "/_auth/login?back=")) {
			t.Errorf("%q: login_url %q, want %q", referer, got, want)
		}
	}
}

// One comes back to what one asked for, whatever characters are in it.
func TestTheSignInReturnsToWhatTheGateWasAskedFor(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	for _, target := range []string{"/wiki//Main_Page", "/graph?g0.expr=sum(%0A1)", "/api/queues/%2F/orders", `/open?path=C:\Users\ada`, "//evil.test/x"} {
		b := s.browser()
		first := b.do(s.target(t, b, target))
		login := first.Header.Get("Location")
		if first.StatusCode != 302 || !strings.HasPrefix(login, "/_auth/login?back=") {
			t.Errorf("%q: %d to %q", target, first.StatusCode, login)
			continue
		}
		_, back, _ := strings.Cut(login, "back=")
		a := b.post("/_auth/login", "username", adminName, "password", adminPass, "back", back)
		if want := "http://" + s.addr + target; a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("%q: %d to %q", target, a.StatusCode, a.Header.Get("Location"))
		}
		if a := b.do(s.target(t, b, target)); a.StatusCode != 200 || s.up.last().URI != target {
			t.Errorf("the app was asked for %q, not %q: %d", s.up.last().URI, target, a.StatusCode)
		}
	}
}

// target returns a page load whose request line is exactly target.
func (s *caddyServer) target(t *testing.T, b *browser, target string) *http.Request {
	t.Helper()
	r := b.request("GET", "/", nil, "Accept", browserAccept)
	path, query, _ := strings.Cut(target, "?")
	r.URL.Opaque, r.URL.RawQuery = path, query
	if strings.HasPrefix(path, "//") { // net/http would write an address of that host
		r.URL.Opaque = "//" + s.addr + path
	}
	if got := r.URL.RequestURI(); !strings.HasSuffix(got, target) {
		t.Fatal(fmt.Errorf("%q is requested as %q", target, got))
	}
	return r
}
