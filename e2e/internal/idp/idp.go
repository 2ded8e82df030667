// Package idp runs a real OpenID provider for a test: node-oidc-provider, a certified, independent implementation, in
// a process that ends with the test. provider.mjs configures it.
package idp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Credentials of the gate at the provider.
const (
	ClientID     = "gate"
	ClientSecret = "a:secret of the+test%that/is&long=enough"
)

// Event is an event of the provider.
type Event struct{ Name, Detail string }

// Provider is a running provider.
type Provider struct {
	Issuer string
	t      testing.TB
}

// Start runs a provider at issuer for the gate at gateURL. env sets further variables, for example ALG.
func Start(t testing.TB, issuer, gateURL string, env ...string) *Provider {
	t.Helper()
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "e2e")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		t.Fatal("the OpenID provider of the tests is not installed: run scripts/prepare (it needs npm)")
	}
	cmd := exec.Command("node", filepath.Join("internal", "idp", "provider.mjs"))
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "ISSUER=" + issuer, "GATE=" + gateURL,
		"CLIENT_ID=" + ClientID, "CLIENT_SECRET=" + ClientSecret,
	}, env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting node: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "listening") {
				ready <- true
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if !ok {
			t.Fatal("the OpenID provider ended at once")
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the OpenID provider did not become ready")
	}
	return &Provider{Issuer: issuer, t: t}
}

// Config returns the provider's block of a Caddyfile, with further lines.
func Config(issuer, lines string) string {
	return fmt.Sprintf("oidc staff {\nissuer %s\nclient_id %s\nclient_secret %q\nlabel \"Staff directory\"\ninsecure_http\n%s\n}", issuer, ClientID, ClientSecret, lines)
}

// Events returns the events so far.
func (p *Provider) Events() []Event {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Issuer+"/events", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var list []Event
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		p.t.Fatal(err)
	}
	return list
}

// Wait waits for an event and returns it.
func (p *Provider) Wait(name string) Event {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		list := p.Events()
		for _, e := range list {
			if e.Name == name {
				return e
			}
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the provider did no %s, but %+v", name, list)
		}
	}
}
