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
