package caddyauth_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestAmbiguousRequestTargetsAreProtected(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public/*\n}")
	for _, target := range []string{
		"/public/../private", "/public/..;/private", "/public/%2e%2e/private", "/public//x", "//public/x", "/PUBLIC/x", `/public/\..\x`,
		"/public%2fx", "/public/%252e%252e%252fx", "/public/x#y", "/private?/public/x", "/private#/public/", "/private;/public/x", "/%70ublic/x",
		"http://" + s.addr + "/private", "/public", "/_authx", "/_auth%2flogin",
	} {
		before := s.up.count()
		a := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.addr + "\nConnection: close\n\n")
		if s.up.count() != before {
			t.Errorf("%q reached the app as %q", target, s.up.last().URI)
		}
		if !strings.HasPrefix(a, "401") && !strings.HasPrefix(a, "400") && !strings.HasPrefix(a, "404") {
			t.Errorf("%q was answered %q", target, a)
		}
	}
	if a := s.raw("GET /public/x HTTP/1.1\nHost: " + s.addr + "\nConnection: close\n\n"); !strings.HasPrefix(a, "200") {
		t.Errorf("a public path was answered %q", a)
	}
}

// What the sign-in page returns to comes from path and query alone.
func TestTheReturnAddressOfOddTargetsIsLocal(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	for _, target := range []string{"http://evil.example/", "//evil.example/", `/\evil.example`, "/%09/evil.example", "/..//evil.example/"} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\nConnection: close\r\n\r\n", target, s.addr)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		_ = c.Close()
		if err != nil {
			t.Fatalf("%q: %v", target, err)
		}
		l := res.Header.Get("Location")
		if res.StatusCode == 302 && (!strings.HasPrefix(l, "/_auth/login") || strings.Contains(l, "evil.example") && !strings.HasPrefix(l, "/_auth/login?rt=%2Fa")) && l != "/_auth/login?rt=%2F" {
			t.Errorf("%q leads to %q", target, l)
		}
	}
}

// Forwarded scheme, host and address count only from a proxy in trusted_proxies.
func TestForwardedHeadersCountOnlyFromTrustedProxies(t *testing.T) {
	claim := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-For", "198.51.100.7", "X-Real-Ip", "198.51.100.7", "Forwarded", "proto=https;host=evil.example"}
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	r := b.request("POST", "/_auth/login", strings.NewReader("username=admin&password="+url.QueryEscape(adminPass)),
		append(claim, "Content-Type", "application/x-www-form-urlencoded")...)
	a := b.do(r)
	if a.StatusCode != 303 || strings.Contains(strings.Join(a.Header["Set-Cookie"], " "), "__Host-") || strings.Contains(strings.Join(a.Header["Set-Cookie"], " "), "evil") {
		t.Errorf("%d %q", a.StatusCode, a.Header["Set-Cookie"])
	}
	items, _ := b.api("GET", "me/sessions", nil).json(t)["items"].([]any)
	if ip := items[0].(map[string]any)["ip"]; ip != "127.0.0.1" {
		t.Errorf("the session was made from %v", ip)
	}
	trusting := strings.Replace(s.caddyfile(), "\tgatehouse {\n\t\tstore", "\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n\tgatehouse {\n\t\tstore", 1)
	if err := loadCaddyfile(trusting); err != nil {
		t.Fatal(err)
	}
	s.waitForOldSocket()
	c := s.browser()
	claim[3] = s.addr // the proxy asks for the right site
	a = c.do(c.request("POST", "/_auth/login", strings.NewReader("username=admin&password="+url.QueryEscape(adminPass)),
		append(claim, "Content-Type", "application/x-www-form-urlencoded")...))
	set := strings.Join(a.Header["Set-Cookie"], " ")
	if a.StatusCode != 303 || !strings.Contains(set, "__Host-gatehouse=") || !strings.Contains(set, "Secure") {
		t.Errorf("behind a trusted proxy: %d %q", a.StatusCode, set)
	}
}
