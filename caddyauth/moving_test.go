package caddyauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Sessions of these tests expire after two seconds without use, and after six whatever happens.
const (
	shortIdle     = 2 * time.Second
	shortAbsolute = 6 * time.Second
	shortSession  = "session {\n\tidle 2s\n\tabsolute 6s\n}"
)

// pace is how often something moves on a stream that moves.
const pace = 100 * time.Millisecond

// movingUpstream is an app whose streams move in the direction that the address names, and never end by themselves.
func movingUpstream(t *testing.T) *httptest.Server {
	t.Helper()
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out io.Writer = w
		flush := http.NewResponseController(w).Flush
		if r.Header.Get("Upgrade") != "" {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			out, flush = c, func() error { return nil }
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello\n")
			if r.URL.Path != "/down" {
				_, _ = io.Copy(io.Discard, c)
				return
			}
		} else if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		} else {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		for {
			_, err := io.WriteString(out, "hello\n")
			_ = flush()
			wait := time.After(pace)
			if r.URL.Path != "/down" {
				wait = nil
			}
			select {
			case <-wait:
			case <-r.Context().Done():
				return
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(func() { close(done); srv.CloseClientConnections(); srv.Close() })
	return srv
}

// write writes a little now and then until that fails.
func write(w io.Writer) {
	for {
		if _, err := io.WriteString(w, "hello"); err != nil {
			return
		}
		time.Sleep(pace) // waits: the pace of a slow writer
	}
}

// lifetime is how long a stream lasted since its session began.
type lifetime struct {
	name  string
	quiet bool
	spent time.Duration
}

// checkLifetimes compares the lifetimes of streams with what they have to be: quiet ones end when their session is idle, others
// when it is over.
func checkLifetimes(t *testing.T, lifetimes <-chan lifetime, n int) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for range n {
		select {
		case l := <-lifetimes:
			switch {
			case l.quiet && (l.spent < shortIdle-pace || l.spent >= shortAbsolute-pace):
				t.Errorf("%s, on which nothing moves, lasted %v", l.name, l.spent)
			case !l.quiet && l.spent < shortAbsolute-pace:
				t.Errorf("%s was cut after %v", l.name, l.spent)
			case l.spent > shortAbsolute+20*time.Second: // a second is promised; a loaded machine gets more
				t.Errorf("%s lasted %v", l.name, l.spent)
			}
		case <-deadline:
			t.Fatal("a stream goes on without its session")
		}
	}
}

// What moves on a WebSocket or an event stream, in either direction, keeps the session until its absolute end; a stream
// that is only open does not.
func TestBytesUnderWayKeepTheSessionAndOpenStreamsDoNot(t *testing.T) {
	app := movingUpstream(t)
	s := startAdmin(t, "gatehouse\nreverse_proxy "+app.Listener.Addr().String(), withGlobal(shortSession))
	lifetimes := make(chan lifetime)
	streams := []struct {
		name, path     string
		upgrade, sends bool
	}{
		{"a WebSocket with messages from the app", "/down", true, false},
		{"a WebSocket with messages from the browser", "/up", true, true},
		{"an event stream", "/down", false, false},
		{"a quiet WebSocket", "/quiet", true, false},
		{"a quiet event stream", "/quiet", false, false},
	}
	for _, stream := range streams {
		began, b := time.Now(), s.browser()
		b.signIn(adminName, adminPass)
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		upgrade := ""
		if stream.upgrade {
			upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: gatehouse=%s\r\n%s\r\n", stream.path, s.addr, b.cookie(), upgrade)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		br := bufio.NewReader(c)
		for line := ""; !strings.Contains(line, "hello"); {
			if line, err = br.ReadString('\n'); err != nil {
				t.Fatalf("%s does not begin: %v", stream.name, err)
			}
		}
		_ = c.SetReadDeadline(time.Time{})
		if stream.sends {
			go write(c)
		}
		go func() {
			_, _ = io.Copy(io.Discard, br)
			lifetimes <- lifetime{stream.name, stream.path == "/quiet", time.Since(began)}
		}()
	}
	checkLifetimes(t, lifetimes, len(streams))
}

// Uploads and downloads keep the session over every version of HTTP, whether an app or Caddy itself serves them.
func TestTransfersKeepTheSession(t *testing.T) {
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "big"))
	if err == nil {
		err = file.Truncate(4 << 30) // sparse
	}
	if err != nil || file.Close() != nil {
		t.Fatal(err)
	}
	app := movingUpstream(t)
	s := startTLSWith(t, shortSession, app.Listener.Addr().String(), fmt.Sprintf("handle_path /files/* {\n\troot * %s\n\tfile_server\n}", dir))
	lifetimes, n := make(chan lifetime), 0
	for version := 1; version <= 3; version++ {
		for _, transfer := range []string{"GET /down", "POST /up", "GET /files/big", "GET /quiet"} {
			method, path, _ := strings.Cut(transfer, " ")
			c := over(t, version)
			c.Timeout = 0
			began, cookie := time.Now(), s.signInOver(c)
			var body io.Reader
			if method == "POST" {
				r, w := io.Pipe()
				t.Cleanup(func() { _ = w.Close() })
				go write(w)
				body = r
			}
			r, err := http.NewRequest(method, "https://"+s.addr+path, body)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(cookie)
			n++
			go func() {
				res, err := c.Do(r)
				if err == nil {
					for err == nil { // slowly, as if from far away
						_, err = io.CopyN(io.Discard, res.Body, 1<<18)
						time.Sleep(pace) // waits: the pace of a slow reader
					}
					_ = res.Body.Close()
				}
				lifetimes <- lifetime{fmt.Sprintf("%s over HTTP/%d", transfer, version), path == "/quiet", time.Since(began)}
			}()
		}
	}
	checkLifetimes(t, lifetimes, n)
}
