package harness

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Witness stands between a gate and its app, and keeps what the app is sent but for bodies.
type Witness struct {
	URL string

	mu       sync.Mutex
	requests []string // as on the wire
	users    map[string]int
}

// Watch starts a witness before an app, until the test ends.
func Watch(t testing.TB, app http.Handler) *Witness {
	t.Helper()
	w := &Witness{users: make(map[string]int)}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.note(r)
		app.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.URL = srv.URL
	return w
}

// To returns an app that runs elsewhere. It is told by which address it was asked, as by Caddy.
func To(t testing.TB, address string) http.Handler {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		for name, values := range r.In.Header {
			if strings.HasPrefix(name, "X-Forwarded-") {
				r.Out.Header[name] = values
			}
		}
	}}
}

func (w *Witness) note(r *http.Request) {
	dump, _ := httputil.DumpRequest(r, false) // fails with a body alone
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, string(dump))
	w.users[r.Header.Get("Remote-User")]++
}

// Users returns who has sent how many requests.
func (w *Witness) Users() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	users := make(map[string]int)
	for name, n := range w.users {
		users[name] = n
	}
	return users
}

// KeptFrom checks that neither the app nor any log of the gate has seen a token, in any form in which clients send it.
func (w *Witness) KeptFrom(t testing.TB, g *gate.Gate, token string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range forms(token) {
		for _, request := range w.requests {
			if strings.Contains(request, secret) {
				t.Errorf("the app sees the token:\n%s", request)
				break
			}
		}
		for line := range strings.Lines(g.Log()) {
			if strings.Contains(line, secret) {
				t.Errorf("the token is logged:\n%s", line)
				break
			}
		}
	}
	for _, request := range w.requests {
		if strings.Contains(strings.ToLower(request), "\nauthorization:") {
			t.Errorf("the app sees a credential:\n%s", request)
			break
		}
	}
}

// forms returns how a token can be written: as it is, and as a part of a Basic credential, whose Base64 begins at any of
// three places.
func forms(token string) []string {
	all := []string{token}
	for _, before := range []string{"", "x", "xx"} {
		encoded := base64.StdEncoding.EncodeToString([]byte(before + token))
		all = append(all, encoded[4:len(encoded)-4]) // without the characters that depend on what is beside it
	}
	return all
}

// Access is a line of the access log of a gate whose site has the directive log.
type Access struct {
	Logger  string
	Status  int
	Request struct {
		Method, Host, URI string
	}
	Headers http.Header `json:"resp_headers"`
}

func (a Access) String() string {
	return fmt.Sprintf("%s %s: %d %q", a.Request.Method, a.Request.URI, a.Status, a.Headers)
}

// Accesses returns what the gate has logged of requests.
func Accesses(t testing.TB, g *gate.Gate) (found []Access) {
	t.Helper()
	for line := range strings.Lines(g.Log()) {
		var a Access
		if strings.Contains(line, `"http.log.access`) && strings.HasSuffix(line, "}\n") {
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			found = append(found, a)
		}
	}
	return found
}
