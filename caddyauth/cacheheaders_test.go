package caddyauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cachingUpstream is an app that says of caches what the query tells it to.
func cachingUpstream(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header().Set(name, values[0])
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		case "/down":
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.ServeContent(w, r, "page.html", time.Unix(1e9, 0), strings.NewReader("a page of the app"))
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

// What the app says nothing about is not shown after the session: browsers ask again before they show what they kept.
// What it does say stands, and so does what the site's own lines say before the gate.
func TestResponsesToSignedInPeopleArePrivateWhereTheAppSaysNothing(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-200 * 24 * time.Hour) // a browser would keep it for twenty days
	if err := os.WriteFile(filepath.Join(dir, "file.html"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "file.html"), old, old); err != nil {
		t.Fatal(err)
	}
	const private = "private, no-cache"
	site := fmt.Sprintf(`header /said* Cache-Control "max-age=60"
gatehouse {
	public /public
	optional /open
}
root * %s
file_server /file.html
respond /empty* 204
error /broken* 500
handle_errors {
	respond "an error page"
}
reverse_proxy %s`, dir, cachingUpstream(t).Listener.Addr())
	s := startAdmin(t, site)
	b := s.browser()
	b.signIn(adminName, adminPass)
	for _, c := range []struct {
		path, want string
		status     int
		header     []string
	}{
		{"/page", private, 200, nil},
		{"/page", private, 206, []string{"Range", "bytes=2-5"}},
		{"/page", private, 304, []string{"If-Modified-Since", "Sun, 09 Sep 2001 01:46:40 GMT"}},
		{"/page?Content-Disposition=attachment", private, 200, nil},
		{"/moved", private, 301, nil},
		{"/down", private, 502, nil},
		{"/file.html", private, 200, nil},
		{"/file.html", private, 304, []string{"If-Modified-Since", old.Add(time.Hour).UTC().Format(http.TimeFormat)}},
		{"/file.html", private, 206, []string{"Range", "bytes=0-1"}},
		{"/empty", private, 204, nil},
		{"/broken", private, 500, nil},
		{"/open", private, 200, nil},
		{"/page?Cache-Control=public,max-age%3D3600", "public,max-age=3600", 200, nil},
		{"/page?Cache-Control=no-store", "no-store", 200, nil},
		{"/page?Expires=0", "", 200, nil},
		{"/page?Pragma=no-cache", "no-cache", 200, nil}, // as the proxy reads it
		{"/page?Cache-Control=", private, 200, nil},
		{"/said", "max-age=60", 200, nil},
		{"/public", "", 200, nil},
	} {
		a := b.fetch(c.path, c.header...)
		if got := a.Header.Get("Cache-Control"); got != c.want || a.StatusCode != c.status || len(a.Header["Cache-Control"]) > 1 {
			t.Errorf("%s %v: %d with Cache-Control %q, want %d with %q", c.path, c.header, a.StatusCode, a.Header["Cache-Control"], c.status, c.want)
		}
	}
	if a := s.browser().fetch("/open"); a.StatusCode != 200 || a.Header.Get("Cache-Control") != "" {
		t.Errorf("a stranger on an optional path: %d with Cache-Control %q", a.StatusCode, a.Header.Get("Cache-Control"))
	}
}

// With cache_headers off the gate leaves the app's responses as they are.
func TestCacheHeadersCanBeTurnedOff(t *testing.T) {
	for lines, want := range map[string]string{"cache_headers off": "", "cache_headers on": "private, no-cache"} {
		s := startAdmin(t, "gatehouse\nreverse_proxy "+cachingUpstream(t).Listener.Addr().String(), withGlobal(lines))
		b := s.browser()
		b.signIn(adminName, adminPass)
		if a := b.fetch("/page"); a.StatusCode != 200 || a.Header.Get("Cache-Control") != want {
			t.Errorf("%s: %d with Cache-Control %q, want %q", lines, a.StatusCode, a.Header.Get("Cache-Control"), want)
		}
	}
}

// A browser that comes back with a session that is over deletes what it kept: going back it would show that without
// asking. Strangers and programs are told nothing of the kind.
func TestABrowserDeletesItsCacheAfterItsSession(t *testing.T) {
	s := startTLS(t, cachingUpstream(t).Listener.Addr().String())
	c := over(t, 1)
	s.signInOver(c) // waits for the certificate
	for name, want := range map[string]struct{ cookie, mode, clear string }{
		"a page with a dead session":    {strings.Repeat("A", 43), "navigate", `"cache"`},
		"a page without one":            {"", "navigate", ""},
		"a page with something else":    {"x", "navigate", ""},
		"a request with a dead session": {strings.Repeat("A", 43), "cors", ""},
	} {
		r, err := http.NewRequest("GET", "https://"+s.addr+"/page", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Mode", want.mode)
		if want.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-gatehouse", Value: want.cookie})
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := res.Header.Get("Clear-Site-Data"); got != want.clear {
			t.Errorf("%s: %d with Clear-Site-Data %q, want %q", name, res.StatusCode, got, want.clear)
		}
	}
}
