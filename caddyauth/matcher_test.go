package caddyauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Rewrites come before the gate in Caddy's order. Who has to sign in comes back to what the browser asked for.
func TestTheReturnAddressIsTheRequestedOneDespiteRewrites(t *testing.T) {
	for directive, target := range map[string]string{
		"try_files {path} /index.html":         "/reports/2026?x=1",
		"rewrite * /rewritten{path}?{query}&y": "/reports/a%20b?x=1",
		"uri strip_prefix /app":                "/app/x?y",
		"uri replace /old /new":                "/old",
	} {
		s := startAdmin(t, directive+"\ngatehouse")
		b := s.browser()
		want := "/_auth/login?rt=" + strings.NewReplacer("/", "%2F", "?", "%3F", "=", "%3D", "%20", "%2520").Replace(target)
		if a := b.page(target); a.StatusCode != 302 || a.Header.Get("Location") != want {
			t.Errorf("%s: %d %s, want %s", directive, a.StatusCode, a.Header.Get("Location"), want)
		}
		if a := b.fetch(target); a.StatusCode != 401 || a.json(t)["login_url"] != want {
			t.Errorf("%s: %d %v, want %s", directive, a.StatusCode, a.json(t)["login_url"], want)
		}
	}
}

// A matcher reads a path as Caddy does, the app gets it as it came. Where the two may differ the gate is closed.
func TestNoPathBypassesAMatcher(t *testing.T) {
	odd := []string{
		"/private/secret/../../x", "/private/secret/%2e%2e/%2e%2e/x", "/private/..%2fx", "/private/..", "/private/.", "/private/..;/x", "/x%5cprivate", "/x/%252e%252e/private",
		"/private%3fx", "/private%23x", "/private%20", "/private%09", "/private./x", "/private%00", "/private;x", "/x%2fy", "/a//b", "//private/x", "/private.", "/%20private",
		"/private%C2%A0/x", "/private%EF%BC%8Fx", "/%c0%ae%c0%ae/private", "/x/../private/y", "/private#x",
	}
	for site, targets := range map[string][]string{
		"@x path /private /private/*\ngatehouse @x":                          append([]string{"/private", "/private/x", "/PRIVATE/x", "/%70rivate", "/%50rivate/x", "/%EF%BD%90rivate/x"}, odd...),
		"@x not path /open/*\ngatehouse @x":                                  {"/x", "/g/%2e%2e/open/x", "/open/../x", "/open/%2e%2e/x", "/open/..%2Fx", "/open/%c0%ae%c0%ae/x", "/open/..;/x", "/open/x%3f", "/open/x."},
		"@x path_regexp ^/private\ngatehouse @x":                             append([]string{"/private", "/Private/x", "/PRIVATE", "/%70rivate", "/%EF%BD%90rivate"}, odd...),
		"@x expression `{uri}.startsWith('/private')`\ngatehouse @x":         append([]string{"/private?x", "/Private", "/%70rivate", "/%50RIVATE/x"}, odd...),
		"@x expression `path('/private*')`\ngatehouse @x":                    append([]string{"/private", "/PRIVATE"}, odd...),
		"@x not path_regexp ^/open/\ngatehouse @x":                           {"/x", "/Open/x", "/open", "/open/..;/x"},
		"uri strip_prefix /private\ngatehouse /private/*":                    {"/private/x", "/private/y/z", "/private/private/x"},
		"rewrite /alias /private/x\ngatehouse /private/*":                    {"/alias", "/private/x"},
		"try_files /index.html\nrewrite * /index.html\ngatehouse /private/*": {"/private/x", "/Private/x", "/private/"},
		"uri strip_prefix /app\ngatehouse /":                                 {"/app", "/app/", "/"},
		"method /x POST\n@x method POST\ngatehouse @x":                       {"/x"},
		"@x {\n\tmethod GET\n\tpath /x\n}\nmethod /x POST\ngatehouse @x":     {"/x", "/X"},
	} {
		s := startAdmin(t, site)
		for _, target := range targets {
			if a := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.addr + "\nConnection: close\n\n"); !strings.HasPrefix(a, "401") || s.up.count() > 0 {
				t.Fatalf("%s: %s is answered %.40q, the app was asked for %q", site, target, a, s.up.last().URI)
			}
		}
	}
}

// What no matcher selects is open, however it is written, as long as it can be read in one way only.
func TestWhatNoMatcherSelectsIsOpen(t *testing.T) {
	for site, targets := range map[string][]string{
		"gatehouse /private/*":                        {"/", "/x", "/X/y", "/.well-known/x", "/caf%C3%A9", "/a%20b", "/%7Ex", "/x?y=/private/z", "/x?%2f..//", "/c++"},
		"@x not path /open/*\ngatehouse @x":           {"/open/x", "/OPEN/x", "/open/%7Ex"},
		"uri strip_prefix /app\ngatehouse /private/*": {"/app/x", "/app/open"},
	} {
		s := startAdmin(t, site)
		for _, target := range targets {
			if a := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.addr + "\nConnection: close\n\n"); !strings.HasPrefix(a, "200") {
				t.Errorf("%s: %s is answered %.40q", site, target, a)
			}
		}
	}
}

// Names of files are looked for as they are written: what is there is open where everything else is closed.
func TestFilesThatAMatcherLeavesOpenMayHaveCapitals(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"Logo-BxK.png", "a b.png", "Ümlaut+(1).png"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("a file"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, matcher := range []string{"not file", "{\n\tnot {\n\t\tfile\n\t\tmethod GET\n\t}\n}"} {
		s := startAdmin(t, "root * "+dir+"\n@file file\n@app "+matcher+"\ngatehouse @app\nroute @file {\n\tfile_server\n}")
		for target, want := range map[string]string{
			"/Logo-BxK.png": "200", "/a%20b.png": "200", "/%C3%9Cmlaut+(1).png": "200", "/%4Cogo-BxK.png": "200",
			"/logo-bxk.png": "401", "/Admin": "401", "/Logo-BxK.png/..;/admin": "401", "/Logo-BxK.png%20": "401", "/a%20b.png/../x": "401",
		} {
			if a := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.addr + "\nConnection: close\n\n"); !strings.HasPrefix(a, want) {
				t.Errorf("%s: %s is answered %.40q, want %s", matcher, target, a, want)
			}
		}
	}
}

// A request target that is no path is guarded by every gate, whatever its matcher, and public by no rule.
func TestTargetsWithoutAPathAreAlwaysGuarded(t *testing.T) {
	const requests = "POST http://HOST?x=1 HTTP/1.1|GET http://HOST HTTP/1.1|GET http://HOST?/public/x HTTP/1.1|GET * HTTP/1.1|POST * HTTP/1.1|CONNECT HOST HTTP/1.1|" +
		"GET x:public HTTP/1.1|GET http:private HTTP/1.1|PUT http://HOST#x HTTP/1.1|GET http://HOST HTTP/1.0|FROB http://other.example?x HTTP/1.1|OPTIONS http://HOST HTTP/1.1|" +
		"GET http://HOST/public/x HTTP/1.1|OPTIONS http://HOST/public/x HTTP/1.1|GET http://HOST/open?y HTTP/1.0|GET http:/open HTTP/1.1|PUT http://HOST/ HTTP/1.1"
	for _, site := range []string{
		"gatehouse", "gatehouse /*", "@x path / /*\ngatehouse @x", "@x expression `path('/*')`\ngatehouse @x", "@x path_regexp ^/\ngatehouse @x", "gatehouse /private/*",
		"gatehouse {\n\tpublic /\n\tpublic /* /public/*\n\tallow_preflight\n}", "gatehouse /x {\n\toptional /*\n}", "gatehouse /nothing\ngatehouse /* {\n\trequire role admin\n}",
		"uri strip_prefix /x\ngatehouse /*", "@x not path /public/*\ngatehouse @x",
	} {
		s := startAdmin(t, site)
		for _, line := range strings.Split(strings.ReplaceAll(requests, "HOST", s.addr), "|") {
			a := s.raw(line + "\nHost: " + s.addr + "\nOrigin: http://x.example\nAccess-Control-Request-Method: GET\nContent-Length: 0\nConnection: close\n\n")
			if s.up.count() > 0 {
				t.Fatalf("%s: %q reached the app as %q, answered %.40q", site, line, s.up.last().URI, a)
			}
		}
	}
}

// An address of an API is never redirected, in whatever way it is written.
func TestAPIPathsAreNeverRedirected(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tapi /api/*\n}")
	for _, target := range []string{"/api/a", "/api/a%2Fb", "/api//b", "/api/a;b", "/api/", "/x/../api/b", "/api/%2e%2e/b"} {
		a := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.addr + "\nAccept: text/html\nSec-Fetch-Mode: navigate\nConnection: close\n\n")
		if !strings.HasPrefix(a, "401") || !strings.Contains(a, `"login_url"`) {
			t.Errorf("%s: %.60q", target, a)
		}
	}
}

// The access log has the identity, also of denied requests and on our own pages.
func TestTheAccessLogNamesWhoIsSignedIn(t *testing.T) {
	s := startAdmin(t, "log\ngatehouse {\n\trequire user nobody\n}")
	b := s.browser()
	b.page("/anonymous")
	b.signIn(adminName, adminPass)
	b.page("/refused")
	b.page("/_auth/account")
	b.fetch("/_auth/api/v1/session")
	b.page("/_auth/nonsense")
	b.page("/_auth/login/help")
	forged := b.form("/_auth/account/profile?forged", "name", "x")
	forged.Header.Set("Sec-Fetch-Site", "cross-site")
	if a := b.do(forged); a.StatusCode != 403 {
		t.Errorf("a forged post is answered %d", a.StatusCode)
	}
	b.post("/_auth/logout")
	b.page("/_auth/login")
	for uri, want := range map[string]string{
		"/anonymous": "", "/refused": adminName, "/_auth/account": adminName, "/_auth/api/v1/session": adminName, "/_auth/logout": adminName,
		"/_auth/nonsense": adminName, "/_auth/login/help": adminName, "/_auth/account/profile?forged": adminName, "/_auth/login": "",
	} {
		line := ""
		eventually(t, "the access log", func() bool {
			for _, l := range strings.Split(s.logs.String(), "\n") {
				if strings.Contains(l, "http.log.access") && strings.Contains(l, `"uri":"`+uri+`"`) {
					line = l
				}
			}
			return line != ""
		})
		if !strings.Contains(line, `"user_id":"`+want+`"`) {
			t.Errorf("%s, want user_id %q: %s", uri, want, line)
		}
	}
}

// Caddy's own file server looks at no context: a download ends with its session all the same, over every version of
// HTTP.
func TestADownloadThatCaddyServesEndsWithItsSession(t *testing.T) {
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "big"))
	if err == nil {
		err = file.Truncate(4 << 30) // sparse
	}
	if err != nil || file.Close() != nil {
		t.Fatal(err)
	}
	s := startTLS(t, streamUpstream(t).Listener.Addr().String(), fmt.Sprintf("handle_path /files/* {\n\troot * %s\n\tfile_server\n}", dir))
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprintf("HTTP/%d", version), func(t *testing.T) {
			c := over(t, version)
			c.Timeout = 0
			cookie := s.signInOver(c)
			ask := func(method, path string) *http.Response {
				r, err := http.NewRequest(method, "https://"+s.addr+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.AddCookie(cookie)
				res, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				return res
			}
			res := ask("GET", "/files/big")
			defer res.Body.Close()
			if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil || res.StatusCode != 200 {
				t.Fatalf("the download: %d, %v", res.StatusCode, err)
			}
			out := ask("POST", "/_auth/logout")
			_ = out.Body.Close()
			ended := make(chan error, 1)
			go func() {
				var err error
				for err == nil { // slowly, as if from far away
					_, err = io.CopyN(io.Discard, res.Body, 1<<18)
					time.Sleep(time.Millisecond) // waits: the pace of a slow reader
				}
				ended <- err
			}()
			select {
			case err := <-ended:
				if errors.Is(err, io.EOF) && res.ContentLength < 0 {
					t.Error("what was cut looks whole")
				}
			case <-time.After(15 * time.Second):
				t.Error("the download goes on")
			}
			next := ask("GET", "/files/big")
			_ = next.Body.Close()
			if next.StatusCode != 401 {
				t.Errorf("afterwards: %d", next.StatusCode)
			}
		})
	}
}

// An upload ends with its session, too: the app gets an error.
func TestAnUploadEndsWithItsSession(t *testing.T) {
	started, got := make(chan struct{}), make(chan error, 1)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil {
			t.Error(err)
		}
		close(started)
		_, err := io.Copy(io.Discard, r.Body)
		got <- err
	}))
	t.Cleanup(func() { app.CloseClientConnections(); app.Close() })
	s := startAdmin(t, "gatehouse\nreverse_proxy /upload "+app.Listener.Addr().String())
	b := s.browser()
	b.signIn(adminName, adminPass)
	body, upload := io.Pipe()
	t.Cleanup(func() { _ = upload.Close() })
	go func() {
		for { // a little at a time, without end
			if _, err := io.WriteString(upload, "hello"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // waits: the pace of a slow writer
		}
	}()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if a, err := b.try(b.request("POST", "/upload", body)); err == nil && a.StatusCode != http.StatusUnauthorized {
			t.Errorf("answered %d", a.StatusCode)
		}
	}()
	<-started
	other := s.browser()
	other.setCookie(b.cookie())
	other.post("/_auth/logout")
	select {
	case err := <-got:
		if err == nil {
			t.Error("the app took half an upload for a whole one")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the upload goes on without its session")
	}
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		t.Fatal("the client goes on without its session")
	}
}
