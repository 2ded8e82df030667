package caddyauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// upgrading is an app that upgrades to whatever is asked for, and sends back what it gets.
func upgrading(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, "no upgrade")
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		_ = rw.Flush()
		_, _ = io.Copy(c, rw)
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	return srv
}

// upgrade asks for an upgrade and returns the response and the connection.
func (s *caddyServer) upgrade(path, name, cookie string) (*http.Response, *bufio.Reader, net.Conn) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nCookie: gatehouse=%s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: 0\r\n\r\n", path, s.addr, cookie, name)
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		s.t.Fatalf("%s to %s: %v", path, name, err)
	}
	return res, br, c
}

// To go on without the upgrade would be another request, which the client does not expect.
func TestAnUpgradeThatIsNotConfiguredIsRefusedInWords(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public/*\n}\nreverse_proxy "+strings.TrimPrefix(upgrading(t).URL, "http://"))
	b := s.browser()
	b.signIn(adminName, adminPass)
	for _, name := range []string{"SPDY/3.1", "tcp", "tailscale-control-protocol", "websocket, tcp", "x"} {
		for _, path := range []string{"/exec", "/public/exec"} {
			res, _, _ := s.upgrade(path, name, b.cookie())
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != 403 || res.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(body), "upgrade-refused") ||
				!strings.Contains(string(body), name) {
				t.Errorf("%s at %s: %d %s", name, path, res.StatusCode, body)
			}
		}
		if res, _, _ := s.upgrade("/exec", name, ""); res.StatusCode != 401 {
			t.Errorf("%s of a stranger: %d", name, res.StatusCode)
		}
	}
	s.logs.waitFor(t, `"upgrade":"SPDY/3.1"`)
	for _, name := range []string{"websocket, h2c", "h2c, WebSocket", "TLS/1.0, websocket, websocket"} {
		if res, _, _ := s.upgrade("/exec", name, b.cookie()); res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%s: %d to %q", name, res.StatusCode, res.Header.Get("Upgrade"))
		}
	}
	for _, name := range []string{"h2c", "HTTP/2.0", "TLS/1.0, h2c"} { // offered with any request
		res, _, _ := s.upgrade("/exec", name, b.cookie())
		if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != "no upgrade" {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

// What a client thinks up fills no log, and stands in no line that a person would copy.
func TestTheNameOfARefusedUpgradeIsOfNoUseToAStranger(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public/*\n}")
	for _, name := range []string{"tcp; run caddy stop", strings.Repeat("a1", 4000)} {
		for range 20 {
			res, _, _ := s.upgrade("/public/x", name, "")
			if body, _ := io.ReadAll(res.Body); res.StatusCode != 403 || len(body) > 1000 {
				t.Fatalf("%d, %d bytes", res.StatusCode, len(body))
			}
		}
	}
	s.logs.waitFor(t, "upgrade refused")
	text := s.logs.String()
	if strings.Contains(text, "caddy stop") || strings.Contains(text, "a1a1a1a1") || strings.Count(text, "upgrade refused") > 10 {
		t.Errorf("%d lines are logged, with the client's words", strings.Count(text, "upgrade refused"))
	}
}

// What is configured passes, in any case, and ends with the session like a WebSocket.
func TestAConfiguredUpgradeIsAStreamThatEndsWithTheSession(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /public/*\n\tupgrade SPDY/3.1 tcp\n}\nreverse_proxy "+strings.TrimPrefix(upgrading(t).URL, "http://"))
	b := s.browser()
	b.signIn(adminName, adminPass)
	echo := func(path, name, cookie string) *bufio.Reader {
		t.Helper()
		res, br, c := s.upgrade(path, name, cookie)
		if res.StatusCode != 101 {
			t.Fatalf("%s at %s: %d", name, path, res.StatusCode)
		}
		_, _ = io.WriteString(c, "over and out\n")
		if line, err := br.ReadString('\n'); err != nil || line != "over and out\n" {
			t.Fatalf("%s at %s: %q, %v", name, path, line, err)
		}
		return br
	}
	echo("/public/exec", "TCP", "")
	stream := echo("/exec", "spdy/3.1", b.cookie())
	if res, _, _ := s.upgrade("/exec", "other", b.cookie()); res.StatusCode != 403 {
		t.Errorf("another upgrade: %d", res.StatusCode)
	}
	if res, _, _ := s.upgrade("/exec", "tcp", ""); res.StatusCode != 401 {
		t.Errorf("a stranger: %d", res.StatusCode)
	}
	if a := b.post("/_auth/logout"); a.StatusCode != 303 {
		t.Fatal(a.StatusCode)
	}
	if _, err := stream.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("after the sign-out the stream goes on: %v", err)
	}
}
