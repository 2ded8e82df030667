package caddyauth_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// diffRequest is one request, and what became of it.
type diffRequest struct {
	asked
	version  int // 0: HTTP/1.0, 1: HTTP/1.1, 2: HTTP/2
	signedIn bool
	id       string
}

// Random sites, random requests, a real Caddy and an upstream that writes everything down: what the model denies never
// reaches the upstream, and nothing that does carries an identity that the client made up, or our cookie. A few
// thousand requests here; `make differential` runs 100,000, DIFF_N and DIFF_SEED change that.
func TestWhatTheModelDeniesNeverReachesTheApp(t *testing.T) {
	total, seed := number(t, "DIFF_N", 4000), number(t, "DIFF_SEED", 1)
	app := newRawUpstream(t)
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	const sites = 8
	perSite := max(50, min(600, total/40))
	var failures []diffFailure
	for round, n := 0, 0; n < total; round++ {
		r := rand.New(rand.NewPCG(uint64(seed), uint64(round)))
		list := loadSites(t, s, r, sites, app.addr)
		found := make([][]diffFailure, sites)
		var all sync.WaitGroup
		for i := range list {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(seed)<<32|uint64(round), uint64(i)))
				found[i] = runDiffSite(t, r, list[i], perSite, b.cookie(), app, fmt.Sprintf("%d-%d", round, i))
			})
		}
		all.Wait()
		n += sites * perSite
		for _, f := range found {
			failures = append(failures, f...)
		}
	}
	if app.count() < total/50 {
		t.Errorf("only %d of %d requests arrived: the test tests nothing", app.count(), total)
	}
	slices.SortFunc(failures, func(a, b diffFailure) int { return len(a.text) - len(b.text) })
	kinds := make(map[string]int)
	for _, f := range failures { // the shortest of each kind
		if kinds[f.kind]++; kinds[f.kind] <= 3 {
			t.Errorf("%s: %s", f.kind, f.text)
		}
	}
	for kind, n := range kinds {
		t.Errorf("%s: %d times; seed %d", kind, n, seed)
	}
}

// loadSites runs a Caddy with sites made at random, each on a port of its own.
func loadSites(t *testing.T, s *caddyServer, r *rand.Rand, n int, upstream string) []diffSite {
	t.Helper()
	base := strings.Replace(s.caddyfile(), "\tgatehouse {\n\t\tstore", "\tservers {\n\t\tprotocols h1 h2c\n\t}\n\tgatehouse {\n\t\tstore", 1)
	base = strings.Replace(base, "level DEBUG", "level ERROR", 1)
	list := make([]diffSite, n)
	for i := range list {
		list[i] = newDiffSite(r, upstream)
	}
	for try := 0; ; try++ {
		var text strings.Builder
		for i := range list {
			list[i].addr = testenv.Address(t)
			_, port, _ := strings.Cut(list[i].addr, ":")
			fmt.Fprintf(&text, "http://:%s {\nbind 127.0.0.1\n%s}\n", port, list[i].lines)
		}
		err := loadCaddyfile(base + text.String())
		if err == nil {
			return list
		}
		if try == 5 || !strings.Contains(err.Error(), "address already in use") { // somebody else was given the port meanwhile
			t.Fatalf("%v\n%s", err, text.String())
		}
	}
}

// diffFailure is what should not have happened.
type diffFailure struct{ kind, text string }

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// runDiffSite sends requests to one site and returns what should not have happened.
func runDiffSite(t *testing.T, r *rand.Rand, s diffSite, n int, cookie string, app *rawUpstream, name string) (failures []diffFailure) {
	sent := make(map[string]diffRequest, n)
	var h2 []diffRequest
	for i := range n {
		q := diffRequest{id: fmt.Sprintf("%s-%d", name, i), version: pick(r, 0, 1, 1, 2), signedIn: r.IntN(8) == 0}
		q.method = pick(r, "GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "PUT", "CONNECT", "FROB")
		q.target, q.host, q.header = diffTarget(r, s.addr), pick(r, s.addr, "a.test", "A.test"), r.IntN(3) == 0
		if q.version == 2 && q.method == "CONNECT" {
			q.target = q.host // there is no path (RFC 9113, section 8.5)
		}
		sent[q.id] = q
		if q.version == 2 {
			h2 = append(h2, q)
			continue
		}
		sendRaw(t, s.addr, q, cookie)
	}
	sendH2(t, s.addr, h2, cookie)
	for _, got := range app.take(name) {
		q := sent[got.id]
		line := func(what string) diffFailure {
			kind := "a target without a slash"
			if strings.HasPrefix(q.target, "/") {
				kind = fmt.Sprintf("an odd path, rewritten %v, opened %v", s.rewrites, s.opensAny())
			}
			return diffFailure{what + ", " + kind, fmt.Sprintf("%s %q HTTP/%d, Host %s, header %v, signed in %v, arrived as %s %q\n%s", q.method, q.target, q.version, q.host, q.header, q.signedIn, got.method, got.target, s.lines)}
		}
		if !q.signedIn && !got.beside && s.denies(absolute(q.asked), got.asked) {
			failures = append(failures, line("a stranger reached the app"))
		}
		for _, h := range got.lines {
			if strings.Contains(h, "forged") || strings.Contains(strings.ToLower(h), "gatehouse=") || folds(strings.SplitN(h, ":", 2)[0], "remote-user") && (!q.signedIn || !strings.HasSuffix(h, ": admin")) {
				failures = append(failures, line("the app sees "+h))
			}
		}
	}
	return failures
}

// opensAny reports whether a gate of the site opens something.
func (s siteModel) opensAny() bool {
	return slices.ContainsFunc(s.gates, func(g gateModel) bool { return len(g.open) > 0 })
}

// absolute gives a request whose target names a host that host: it is the one that counts (RFC 9112, section 3.2.2).
func absolute(q asked) asked {
	if _, rest, ok := strings.Cut(q.target, "://"); ok && !strings.HasPrefix(q.target, "/") {
		q.host = cutAny(rest, "/?#")
	}
	return q
}

var forgery = [][2]string{
	{"remote-user", "forged"}, {"remote_user", "forged"}, {"remote-groups", "forged"}, {"remote.role", "forged"}, {"remote-email", "forged"}, {"x-other", "fine"},
}

// sendRaw writes a request to a socket of its own and reads the response.
func sendRaw(t *testing.T, addr string, q diffRequest, cookie string) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetLinger(0) // no port stays taken
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.%d\r\nHost: %s\r\nX-Diff: %s\r\nConnection: close\r\n", q.method, q.target, q.version, q.host, q.id)
	for _, h := range forgery {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if q.header {
		b.WriteString("X-Guard: 1\r\n")
	}
	fmt.Fprintf(&b, "Cookie: other=1; gatehouse=%s\r\n\r\n", cookieOf(q, cookie))
	if _, err := c.Write(b.Bytes()); err == nil {
		_, _ = io.Copy(io.Discard, c)
	}
}

// cookieOf returns the value of our cookie: a session's, or one with the form of a token.
func cookieOf(q diffRequest, cookie string) string {
	if q.signedIn {
		return cookie
	}
	return strings.Repeat("A", 43)
}

// sendH2 sends requests over HTTP/2, one after the other: a target can be anything there, too.
func sendH2(t *testing.T, addr string, list []diffRequest, cookie string) {
	for len(list) > 0 {
		done, err := sendOverOne(addr, list, cookie)
		if err != nil && done == 0 {
			t.Errorf("HTTP/2: %v", err)
			return
		}
		list = list[max(1, done):]
	}
}

// sendOverOne sends requests over one connection until the server closes it, and returns how many were sent.
func sendOverOne(addr string, list []diffRequest, cookie string) (int, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return 0, err
	}
	fr := http2.NewFramer(c, bufio.NewReader(c))
	if err := fr.WriteSettings(); err != nil {
		return 0, err
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i, q := range list {
		block.Reset()
		fields := [][2]string{{":method", q.method}, {":scheme", "http"}, {":authority", q.host}, {":path", q.target}, {"x-diff", q.id}}
		if q.method == "CONNECT" {
			fields = slices.Delete(fields, 3, 4)
			fields = slices.Delete(fields, 1, 2)
		}
		fields = append(fields, forgery...)
		if q.header {
			fields = append(fields, [2]string{"x-guard", "1"})
		}
		for _, f := range append(fields, [2]string{"cookie", "gatehouse=" + cookieOf(q, cookie)}, [2]string{"cookie", "other=1"}) {
			_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // to memory
		}
		stream := uint32(2*i + 1)
		if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			return i, nil
		}
		if !answered(fr, stream) {
			return i + 1, nil
		}
	}
	return len(list), nil
}

// answered waits until a stream is over, and reports whether the connection can go on.
func answered(fr *http2.Framer, stream uint32) bool {
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return false
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = fr.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			return false
		}
		if f.Header().StreamID == stream && (f.Header().Type == http2.FrameRSTStream || f.Header().Flags.Has(http2.FlagDataEndStream)) {
			return true
		}
	}
}

// upstreamRequest is a request as the upstream saw it.
type upstreamRequest struct {
	asked
	id     string
	beside bool
	lines  []string
}

// rawUpstream reads requests as bytes, without a parser of HTTP in between.
type rawUpstream struct {
	addr  string
	mu    sync.Mutex
	seen  map[string][]upstreamRequest
	total int
}

func newRawUpstream(t *testing.T) *rawUpstream {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	u := &rawUpstream{addr: ln.Addr().String(), seen: make(map[string][]upstreamRequest)}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go u.serve(c)
		}
	}()
	return u
}

func (u *rawUpstream) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		a := upstreamRequest{}
		first := strings.SplitN(strings.TrimRight(line, "\r\n"), " ", 2)
		if len(first) == 2 {
			a.method, a.target = first[0], strings.TrimSuffix(first[1], " HTTP/1.1")
		}
		length := 0
		for {
			h, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if h = strings.TrimRight(h, "\r\n"); h == "" {
				break
			}
			a.lines = append(a.lines, h)
			switch name, value, _ := strings.Cut(h, ": "); http.CanonicalHeaderKey(name) {
			case "X-Diff":
				a.id = value
			case "X-Beside":
				a.beside = true
			case "Host":
				a.host = value
			case "X-Guard":
				a.header = true
			case "Content-Length":
				length, _ = strconv.Atoi(value)
			}
		}
		_, _ = io.CopyN(io.Discard, in, int64(length))
		u.mu.Lock()
		name := a.id[:max(0, strings.LastIndexByte(a.id, '-'))]
		u.seen[name], u.total = append(u.seen[name], a), u.total+1
		u.mu.Unlock()
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

// take returns the requests received for one site.
func (u *rawUpstream) take(name string) []upstreamRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[name]
}

func (u *rawUpstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.total
}
