package caddyauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A script of another origin that may not read a 401 reports a failed network.
func TestScriptsOfConfiguredOriginsCanReadRefusals(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tcors https://App.example.test:443 http://localhost:3000\n\trequire group ops\n}")
	b := s.browser()
	ask := func(origin string) response {
		return b.do(b.request("GET", "/api", nil, "Origin", origin, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "cross-site"))
	}
	for _, origin := range []string{"https://app.example.test", "http://localhost:3000"} {
		a := ask(origin)
		if a.StatusCode != 401 || a.Header.Get("Access-Control-Allow-Origin") != origin || a.Header.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(strings.Join(a.Header["Vary"], ","), "Origin") || a.json(t)["login_url"] != "http://"+s.addr+"/_auth/login?rt=%2Fapi" {
			t.Errorf("%s: %d %v\n%s", origin, a.StatusCode, a.Header, a.body)
		}
	}
	for _, origin := range []string{"https://evil.test", "null", "http://app.example.test", "https://app.example.test.evil.test", "https://app.example.test:8443", ""} {
		a := ask(origin)
		if a.StatusCode != 401 || a.Header.Get("Access-Control-Allow-Origin") != "" || !strings.HasPrefix(fmt.Sprint(a.json(t)["login_url"]), "/_auth/") {
			t.Errorf("%q: %d %v", origin, a.StatusCode, a.Header)
		}
	}
	b.signIn(adminName, adminPass)
	if a := ask("https://app.example.test"); a.StatusCode != 403 || a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a refusal by a rule: %d %v", a.StatusCode, a.Header)
	}
	if a := b.do(b.request("GET", "/_auth/api/v1/me", nil, "Origin", "https://app.example.test", "Sec-Fetch-Site", "cross-site")); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("our own API can be read from elsewhere: %v", a.Header)
	}
}

// A client that waits to send its body is refused before it has, and nobody reads on after a refusal.
func TestARefusalWaitsForNoBody(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	for _, expect := range []string{"Expect: 100-continue\r\n", ""} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "PUT /file HTTP/1.1\r\nHost: %s\r\n%sContent-Length: 100000\r\n\r\n", s.addr, expect)
		br := bufio.NewReader(c)
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("%q: %v", expect, err)
		}
		if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 401 || !res.Close {
			t.Errorf("%q: %d, the connection goes on: %v (%v)", expect, res.StatusCode, !res.Close, err)
		}
		if _, err := br.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%q: the connection stays open: %v", expect, err)
		}
		_ = c.Close()
	}
	b := s.browser()
	b.http.Transport = &http.Transport{}
	t.Cleanup(b.http.CloseIdleConnections)
	for _, body := range []string{"", "name=ada"} { // nothing is left of a form
		if a := b.do(b.request("POST", "/", strings.NewReader(body))); a.StatusCode != 401 || a.Close {
			t.Errorf("%q: %d, the connection is closed: %v", body, a.StatusCode, a.Close)
		}
	}
}

// The browser of somebody who is not signed in any more gets a worker that gives way, and no program gets a script.
func TestTheScriptOfAServiceWorkerIsReplacedForStrangersOnly(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tapi /api/*\n\tpublic /open/*\n}")
	worker := []string{"Service-Worker", "script", "Sec-Fetch-Dest", "serviceworker", "Sec-Fetch-Mode", "same-origin", "Accept", "*/*"}
	b := s.browser()
	a := b.do(b.request("GET", "/sw.js", nil, worker...))
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || a.Header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(a.body, `"/_auth" + "/api/v1/session"`) || !strings.Contains(a.Header.Get("Content-Security-Policy"), "connect-src 'self'") ||
		a.Header.Get("Service-Worker-Allowed") != "/" || s.up.count() != 0 {
		t.Errorf("%d %v\n%s", a.StatusCode, a.Header, a.body)
	}
	for name, r := range map[string]*http.Request{
		"an api path":       b.request("GET", "/api/sw.js", nil, worker...),
		"a token of ours":   b.request("GET", "/sw.js", nil, append(worker, "Authorization", "Bearer gatehouse_pat_x")...),
		"another method":    b.request("POST", "/sw.js", nil, worker...),
		"another word":      b.request("GET", "/sw.js", nil, "Service-Worker", "yes"),
		"an ordinary fetch": b.request("GET", "/sw.js", nil, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"),
	} {
		if a := b.do(r); a.StatusCode != 401 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	if a := b.do(b.request("GET", "/open/sw.js", nil, worker...)); a.StatusCode != 200 || s.up.last().URI != "/open/sw.js" {
		t.Errorf("a public script: %d", a.StatusCode)
	}
	b.signIn(adminName, adminPass)
	if a := b.do(b.request("GET", "/sw.js", nil, worker...)); a.StatusCode != 200 || s.up.last().URI != "/sw.js" {
		t.Errorf("somebody signed in: %d", a.StatusCode)
	}
}
