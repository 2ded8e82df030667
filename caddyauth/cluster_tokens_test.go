package caddyauth_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// program is a service account with a token, which uses it at any Caddy.
type program struct {
	t                  *testing.T
	account, id, token string
	http               *http.Client
}

// newProgram makes one by way of the API.
func newProgram(t *testing.T, root *browser, name string) *program {
	t.Helper()
	p := &program{t: t, http: &http.Client{Timeout: time.Minute}}
	account := root.api(http.MethodPost, "users", fields{"username": name, "kind": "service"})
	p.account, _ = account.json(t)["id"].(string)
	made := root.api(http.MethodPost, "users/"+p.account+"/tokens", fields{"name": "x", "hosts": []string{"127.0.0.1"}})
	p.id, _ = made.json(t)["id"].(string)
	if p.token, _ = made.json(t)["token"].(string); p.token == "" {
		t.Fatalf("no token: %s, %s", account.body, made.body)
	}
	return p
}

func (p *program) get(ctx context.Context, n *node, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	return p.http.Do(r)
}

// gets returns the status of a request at a Caddy, 0 for none.
func (p *program) gets(n *node) int {
	res, err := p.get(p.t.Context(), n, "/x")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// follow opens a stream, and returns what is closed at its end.
func (p *program) follow(n *node) <-chan struct{} {
	p.t.Helper()
	res, err := p.get(context.WithoutCancel(p.t.Context()), n, "/stream")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = res.Body.Close() })
	body := bufio.NewReader(res.Body)
	if line, err := body.ReadString('\n'); err != nil || !strings.HasPrefix(line, "data:") {
		p.t.Fatalf("the stream begins with %d %q, %v", res.StatusCode, line, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, body)
	}()
	return ended
}

// A token is over at the Caddy that ends it with the answer, in the midst of requests that use it, and at the others
// with its streams within a second, however it ends.
func TestATokenThatOneCaddyEndsIsOverAtTheOthers(t *testing.T) {
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			up, done := newUpstream(t), make(chan struct{})
			up.Config.Handler = streaming(up.Config.Handler, done)
			t.Cleanup(func() { close(done) })
			one := launch(t, e, up, "tokens").wait()
			two := launch(t, e, up, "tokens").wait()
			root := one.browser()
			root.signIn(adminName, adminPass)
			other := newProgram(t, root, "other")
			stays := other.follow(two)
			for name, end := range map[string]func(p *program) response{
				"revoked": func(p *program) response { return root.api(http.MethodDelete, "tokens/"+p.id, nil) },
				"rotated": func(p *program) response {
					return root.api(http.MethodPost, "tokens/"+p.id+"/rotate", fields{"keep": "now"})
				},
				"owner-off": func(p *program) response {
					return root.api(http.MethodPatch, "users/"+p.account, fields{"active": false})
				},
				"owner-gone": func(p *program) response { return root.api(http.MethodDelete, "users/"+p.account, nil) },
			} {
				t.Run(name, func(t *testing.T) {
					p := newProgram(t, root, name)
					p.ends(one, two, func() response { return end(p) })
				})
			}
			select {
			case <-stays:
				t.Error("the stream of another token ended, too")
			default:
			}
			if here, there := other.gets(one), other.gets(two); here != http.StatusOK || there != http.StatusOK {
				t.Errorf("another token gets %d and %d", here, there)
			}
		})
	}
}

// ends checks that the token is over with the answer of end, which is asked at one, and soon at two.
func (p *program) ends(one, two *node, end func() response) {
	p.t.Helper()
	here, there := p.follow(one), p.follow(two)
	if status := p.gets(two); status != http.StatusOK {
		p.t.Fatalf("before its end the token gets %d", status)
	}
	var over atomic.Bool
	var late atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				after := over.Load() // sent after the answer
				if p.gets(one) == http.StatusOK && after {
					late.Add(1)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	if a := end(); a.StatusCode >= http.StatusBadRequest {
		p.t.Fatalf("ending it: %d %s", a.StatusCode, a.body)
	}
	over.Store(true)
	withinASecond(p.t, "the end to arrive at the other Caddy", func() bool { return p.gets(two) == http.StatusUnauthorized })
	for name, ended := range map[string]<-chan struct{}{"this": here, "the other": there} {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			p.t.Errorf("the stream at %s Caddy goes on", name)
		}
	}
	close(stop)
	wg.Wait()
	if n := late.Load(); n > 0 {
		p.t.Errorf("%d requests passed at the Caddy that had said that the token is over", n)
	}
}
