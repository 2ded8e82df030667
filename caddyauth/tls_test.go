package caddyauth_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/quic-go/quic-go/http3"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// startTLS runs a Caddy that serves HTTPS, over HTTP/1.1, 2 and 3, with a certificate of its own. more are lines of its
// site.
func startTLS(t *testing.T, app string, more ...string) *caddyServer {
	t.Helper()
	return startTLSWith(t, "", app, more...)
}

// startTLSWith is startTLS with lines of the global gatehouse block.
func startTLSWith(t *testing.T, global, app string, more ...string) *caddyServer {
	t.Helper()
	setenv(t, "ADMIN_PASSWORD", adminPass)
	s := &caddyServer{t: t, addr: strings.Replace(testenv.Address(t), "127.0.0.1", "localhost", 1)}
	err := loadCaddyfile(fmt.Sprintf(`{
	admin off
	persist_config off
	local_certs
	skip_install_trust
	auto_https disable_redirects
	grace_period 1s
	log default {
		level ERROR
	}
	gatehouse {
		%s
		password {
			argon2id 64KiB 1 1
		}
		throttle {
			free 100
			client 100000/1m
		}
		%s
	}
}
https://%s {
	bind 127.0.0.1
	gatehouse
	%s
	reverse_proxy %s
}
`, testenv.NewPlace(t).Caddyfile(), global, s.addr, strings.Join(more, "\n"), app))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var insecure = &tls.Config{InsecureSkipVerify: true, NextProtos: nil} // the certificate is made a moment ago

// over returns a client for one version of HTTP.
func over(t *testing.T, version int) *http.Client {
	t.Helper()
	var tr http.RoundTripper
	switch version {
	case 3:
		h3 := &http3.Transport{TLSClientConfig: insecure.Clone()}
		t.Cleanup(func() { _ = h3.Close() })
		tr = h3
	default:
		h := &http.Transport{TLSClientConfig: insecure.Clone(), ForceAttemptHTTP2: version == 2}
		t.Cleanup(h.CloseIdleConnections)
		tr = h
	}
	return &http.Client{Transport: tr, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// signInOver signs in and returns the session cookie.
func (s *caddyServer) signInOver(c *http.Client) *http.Cookie {
	s.t.Helper()
	var res *http.Response
	eventually(s.t, "the certificate to be there", func() bool {
		r, _ := http.NewRequest("POST", "https://"+s.addr+"/_auth/login", strings.NewReader(url.Values{"username": {adminName}, "password": {adminPass}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		var err error
		res, err = c.Do(r)
		return err == nil
	})
	defer res.Body.Close()
	for _, ck := range res.Cookies() {
		if ck.Name == "__Host-gatehouse" {
			if !ck.Secure || !ck.HttpOnly || ck.Path != "/" || ck.Domain != "" || ck.SameSite != http.SameSiteLaxMode {
				s.t.Errorf("cookie %+v", ck)
			}
			return ck
		}
	}
	s.t.Fatalf("sign-in: %d %q", res.StatusCode, res.Header["Set-Cookie"])
	return nil
}

// Over HTTP/1.1, 2 and 3 alike: the gate is closed, opens with a session, and a stream ends with it.
func TestEveryVersionOfHTTP(t *testing.T) {
	app := streamUpstream(t)
	s := startTLS(t, app.Listener.Addr().String())
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprintf("HTTP/%d", version), func(t *testing.T) {
			c := over(t, version)
			cookie := s.signInOver(c)
			ask := func(method, path string, with *http.Cookie) *http.Response {
				r, err := http.NewRequest(method, "https://"+s.addr+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if with != nil {
					r.AddCookie(with)
				}
				res, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				return res
			}
			res := ask("GET", "/stream", nil)
			_ = res.Body.Close()
			if res.StatusCode != 401 || res.ProtoMajor != version {
				t.Fatalf("anonymous: %d over %s", res.StatusCode, res.Proto)
			}
			stream := ask("GET", "/stream", cookie)
			defer stream.Body.Close()
			line, err := bufio.NewReader(stream.Body).ReadString('\n')
			if err != nil || !strings.Contains(line, "hello") {
				t.Fatalf("the stream: %q, %v", line, err)
			}
			ended := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, stream.Body); close(ended) }()
			out := ask("POST", "/_auth/logout", cookie)
			_ = out.Body.Close()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("the stream goes on")
			}
			res = ask("GET", "/stream", cookie)
			_ = res.Body.Close()
			if res.StatusCode != 401 {
				t.Errorf("after signing out: %d", res.StatusCode)
			}
		})
	}
}

// A WebSocket over HTTP/3 is an extended CONNECT (RFC 9220): no method or protocol that opens the gate, and it ends
// with its session as every stream does.
func TestExtendedConnectNeedsASessionToo(t *testing.T) {
	app := streamUpstream(t)
	s := startTLS(t, app.Listener.Addr().String())
	c := over(t, 3)
	cookie := s.signInOver(c)
	connect := func(with *http.Cookie) (*http.Response, io.Closer) {
		body, sends := io.Pipe() // open for as long as the WebSocket
		r, err := http.NewRequest(http.MethodConnect, "https://"+s.addr+"/stream", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Proto = "websocket"
		r.Header.Set("Sec-WebSocket-Version", "13")
		if with != nil {
			r.AddCookie(with)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return res, sends
	}
	res, sends := connect(nil)
	_ = sends.Close()
	_ = res.Body.Close()
	if res.StatusCode != 401 {
		t.Errorf("without a session: %d", res.StatusCode)
	}
	res, sends = connect(cookie)
	defer sends.Close()
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if res.StatusCode != 200 || err != nil || !strings.Contains(line, "hello") {
		t.Fatalf("with a session: %d, %q, %v", res.StatusCode, line, err)
	}
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, res.Body); close(ended) }()
	out, err := http.NewRequest("POST", "https://"+s.addr+"/_auth/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	out.AddCookie(cookie)
	gone, err := c.Do(out)
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Body.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the WebSocket goes on after its session")
	}
}

// A flood of sign-ins: each gets a response, what does not fit a Retry-After, and people who are signed in
// go on meanwhile.
func TestAFloodOfSignInsGetsRetryAfter(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("throttle {\n\tclient 1000000/1m\n}"), withHash("19MiB 2 1"))
	b := s.browser()
	b.signIn(adminName, adminPass)
	var wrong, busy, other, through atomic.Int64
	var flood, people sync.WaitGroup
	done := make(chan struct{})
	people.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if b.reaches("/") {
				through.Add(1)
			} else {
				other.Add(1)
			}
		}
	})
	for i := range 200 * runtime.GOMAXPROCS(0) { // more than are checked while the rest is held
		flood.Go(func() {
			a := s.browser().post("/_auth/login", "username", fmt.Sprintf("nobody%d", i), "password", "wrong password here")
			switch {
			case a.StatusCode == 401:
				wrong.Add(1)
			case a.StatusCode == 503 && a.Header.Get("Retry-After") != "" && !strings.Contains(a.body, "incorrect"):
				busy.Add(1)
			default:
				other.Add(1)
				t.Errorf("answered %d", a.StatusCode)
			}
		})
	}
	flood.Wait()
	close(done)
	people.Wait()
	if wrong.Load() == 0 || busy.Load() == 0 || other.Load() != 0 || through.Load() == 0 {
		t.Errorf("%d checked, %d told to come back, %d otherwise; %d requests of people who are signed in", wrong.Load(), busy.Load(), other.Load(), through.Load())
	}
}
