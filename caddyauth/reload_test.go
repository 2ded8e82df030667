package caddyauth_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	goruntime "runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Reloads, with the same and changed options and failing ones, under load: no request, session, half-finished sign-in
// or throttle count is lost.
func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	idp := provider.New(t)
	s := startOIDC(t, idp, "", "gatehouse {\n\tpublic /public\n}")
	s.global += "\nthrottle {\n\tfree 3\n\tlongest 1h\n}"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	b, half, guesser := s.browser(), s.browser(), s.browser()
	b.signIn(adminName, adminPass)
	token := b.cookie()
	started := half.page("/_auth/oidc/test/start?rt=%2Fhalf")
	if started.StatusCode != http.StatusSeeOther {
		t.Fatalf("a sign-in does not begin: %d", started.StatusCode)
	}
	guess := func() int {
		return guesser.post("/_auth/login", "username", "admin", "password", "wrong password here").StatusCode
	}
	for range 3 {
		if got := guess(); got != http.StatusUnauthorized {
			t.Fatalf("a wrong password is answered %d", got)
		}
	}
	var stop atomic.Bool
	var asked, bad atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			defer c.CloseIdleConnections()
			for !stop.Load() {
				r, _ := http.NewRequest("GET", "http://"+s.addr+"/x", nil)
				r.Header.Set("Cookie", "gatehouse="+token)
				asked.Add(1)
				// A reload closes the listening socket of the old server, and with it connections that it has not
				// accepted yet, with or without a gate. Browsers try again, and so does this.
				res, err := c.Do(r)
				for try := 0; err != nil && try < 20; try++ {
					time.Sleep(5 * time.Millisecond) // waits: a pause between tries, of which there are at most twenty
					res, err = c.Do(r)
				}
				if err != nil {
					bad.Add(1)
					t.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					bad.Add(1)
					t.Errorf("answered %d", res.StatusCode)
				}
			}
		})
	}
	good, global := s.site, s.global
	for i := range 50 {
		switch i % 3 {
		case 0:
			s.site = good
		case 1:
			s.global = fmt.Sprintf("%s\nsession {\n\tidle %dh\n}", global, i+1)
		case 2:
			s.site = "gatehouse {\n\trequire nonsense x\n}"
			if s.load() == nil {
				t.Error("a bad configuration was loaded")
			}
			s.site = good
			continue
		}
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if asked.Load() == 0 || bad.Load() > 0 {
		t.Errorf("%d of %d requests were lost", bad.Load(), asked.Load())
	}
	if !b.reaches("/x") {
		t.Error("the session was lost")
	}
	if a := half.follow(started); a.StatusCode != 200 || a.Request.URL.Path != "/half" || a.Header.Get("X-Upstream") != "yes" {
		t.Errorf("the sign-in of before does not end well: %d at %s", a.StatusCode, a.Request.URL)
	}
	wrong := 0
	for guess() == http.StatusUnauthorized {
		wrong++
	}
	if wrong > 1 {
		t.Errorf("%d more guesses were free: the count was lost", wrong)
	}
}

// Reloading again and again grows nothing.
func TestReloadsGrowNothing(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	s.up.Config.SetKeepAlivesEnabled(false) // Caddy's old proxies keep idle connections for two minutes
	b := s.browser()
	b.signIn(adminName, adminPass)
	measure := func() (goroutines, files int) {
		goruntime.GC()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return goruntime.NumGoroutine(), len(entries)
	}
	cycle := func(n int) {
		for i := range n {
			s.global = fmt.Sprintf("session {\n\tidle %dm\n}", 60+i)
			if err := s.load(); err != nil {
				t.Fatal(err)
			}
			b.reaches("/x")
		}
		b.http.CloseIdleConnections()
	}
	cycle(5)
	g0, f0 := measure()
	cycle(25)
	var g1, f1 int
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if g1, f1 = measure(); g1 <= g0+5 && f1 <= f0+3 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	var dump strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&dump, 1)
	t.Errorf("goroutines went from %d to %d, open files from %d to %d\n%s", g0, g1, f0, f1, dump.String())
}

// A throttle count and a set-up survive a reload and a restart.
func TestThrottleCountsSurviveReloadAndRestart(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("throttle {\n\tfree 2\n\tlongest 1h\n}"))
	for range 2 {
		if a := s.browser().post("/_auth/login", "username", "admin", "password", "wrong password here"); a.StatusCode != 401 {
			t.Fatalf("answered %d", a.StatusCode)
		}
	}
	for _, again := range []func() error{func() error { return nil }, s.load, s.restart} {
		if err := again(); err != nil {
			t.Fatal(err)
		}
		b := s.browser()
		a := b.post("/_auth/login", "username", "admin", "password", "wrong password here")
		for n := 0; a.StatusCode == 401; n++ { // a wait that is over lets one more through, and gets longer
			if n > 1 {
				t.Fatal("the count was lost")
			}
			a = b.post("/_auth/login", "username", "admin", "password", "wrong password here")
		}
		if a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
			t.Fatalf("answered %d %v", a.StatusCode, a.Header)
		}
	}
}

// streamUpstream is an upstream that sends one line and then waits: an SSE stream, a download, or a WebSocket.
func streamUpstream(t *testing.T) *httptest.Server {
	t.Helper()
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello\n")
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, rw) // until the gate hangs up
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: hello\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(func() { close(done); srv.CloseClientConnections(); srv.Close() })
	return srv
}

// openStream asks for a stream, reads its first line, and returns a channel that closes when it ends.
func openStream(t *testing.T, s *caddyServer, token string, websocket bool) <-chan struct{} {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	upgrade := ""
	if websocket {
		upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	}
	fmt.Fprintf(c, "GET /stream HTTP/1.1\r\nHost: %s\r\nCookie: gatehouse=%s\r\n%s\r\n", s.addr, token, upgrade)
	br := bufio.NewReader(c)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream does not begin: %v", err)
		}
		if strings.Contains(line, "hello") {
			break
		}
	}
	_ = c.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, br)
		close(ended)
	}()
	return ended
}

// Open WebSockets and streams end with their session, whatever ends it, and others stay; also after a reload.
func TestOpenStreamsEndWithTheirSession(t *testing.T) {
	app := streamUpstream(t)
	s := startAdmin(t, "gatehouse\nreverse_proxy /stream "+app.Listener.Addr().String())
	other := s.browser()
	other.signIn(adminName, adminPass)
	for _, websocket := range []bool{true, false} {
		for name, end := range map[string]func(b *browser){
			"sign-out": func(b *browser) { b.post("/_auth/logout") },
			"another process ends it": func(b *browser) {
				st := s.openStore()
				session, _, err := st.SessionByToken(context.Background(), store.HashToken(b.cookie()))
				if err != nil {
					t.Fatal(err)
				}
				err = st.Change(context.Background(), func(tx store.Tx) error {
					_, err := tx.EndSessions(context.Background(), store.SessionSelector{ID: session.ID})
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			},
			"sign-out after a reload": func(b *browser) {
				if !websocket { // Caddy itself closes upgraded connections at a reload
					s.global = fmt.Sprintf("session {\n\tidle %dh\n}", time.Now().Nanosecond()%100+1)
					if err := s.load(); err != nil {
						t.Fatal(err)
					}
				}
				b.post("/_auth/logout")
			},
		} {
			t.Run(fmt.Sprintf("websocket=%v/%s", websocket, name), func(t *testing.T) {
				b := s.browser()
				b.signIn(adminName, adminPass)
				ended, stays := openStream(t, s, b.cookie(), websocket), openStream(t, s, other.cookie(), false)
				begin := time.Now()
				end(b)
				select {
				case <-ended:
					t.Logf("ended %v after", time.Since(begin).Round(time.Millisecond))
				case <-time.After(10 * time.Second):
					t.Fatal("the stream goes on")
				}
				select {
				case <-stays:
					t.Error("another session's stream ended, too")
				default:
				}
			})
		}
	}
}

// A request whose session ends before the app has responded gets the response of any later one: not as a failure of the
// app, and not as success. With two gates in the request the end of the first one's context is not the client's.
func TestARequestIsAnonymousOnceItsSessionEnds(t *testing.T) {
	asked, done := make(chan struct{}, 2), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(func() { close(done); slow.CloseClientConnections(); slow.Close() })
	for _, gates := range []string{"gatehouse", "gatehouse\ngatehouse /slow {\n\trequire role admin\n}"} {
		s := startAdmin(t, gates+"\nreverse_proxy /slow "+slow.Listener.Addr().String())
		for want, ask := range map[int]func(*browser) response{
			http.StatusUnauthorized: func(b *browser) response { return b.fetch("/slow") },
			http.StatusFound:        func(b *browser) response { return b.page("/slow") },
		} {
			b := s.browser()
			b.signIn(adminName, adminPass)
			got := make(chan response, 1)
			go func() { got <- ask(b) }()
			<-asked
			other := s.browser()
			other.setCookie(b.cookie())
			other.post("/_auth/logout")
			select {
			case a := <-got:
				if a.StatusCode != want || a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: answered %d %v instead of %d", gates, a.StatusCode, a.Header, want)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the request goes on without its session")
			}
		}
	}
}

// A store of another path is another store: the sessions of the first do not open the second.
func TestAnotherStoreHasOtherSessions(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	s.place = testenv.NewPlace(t)
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if b.reaches("/") {
		t.Error("a session of the first store opens the second")
	}
	if !s.canSignIn(adminName, adminPass) {
		t.Error("the second store has no administrator")
	}
}

func TestMetricsCountSignInsAndDecisions(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tpublic /metrics\n}\nmetrics /metrics")
	b := s.browser()
	b.post("/_auth/login", "username", "admin", "password", "wrong password here")
	b.signIn(adminName, adminPass)
	b.reaches("/x")
	s.browser().fetch("/x")
	if err := s.load(); err != nil { // counters go on
		t.Fatal(err)
	}
	b.reaches("/x")
	text := b.fetch("/metrics").body
	for _, want := range []string{
		`gatehouse_sign_ins_total{method="password",outcome="success"} 1`, `gatehouse_sign_ins_total{method="password",outcome="wrong"} 1`,
		`gatehouse_decisions_total{decision="allowed"} 2`, `gatehouse_decisions_total{decision="anonymous"} 1`, `gatehouse_sessions_live`,
		`gatehouse_store_seconds_bucket{operation="change"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in:\n%s", want, grep(text, "gatehouse_"))
		}
	}
	if strings.Contains(text, "admin") && strings.Contains(grep(text, "gatehouse_"), "admin") {
		t.Error("a label holds a name")
	}
}

func grep(text, part string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
