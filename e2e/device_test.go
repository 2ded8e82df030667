package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// deviceAnswer is what a program gets that asks for a token.
type deviceAnswer struct {
	Open string `json:"verification_uri_complete"`
}

func deviceCode(t *testing.T, g *gate.Gate, client string) (given deviceAnswer) {
	t.Helper()
	a := must[gate.Response](t)(g.Do(g.Client(), "/_auth/device/code", url.Values{"client_id": {client}, "paths": {"/reports/* /archive"}}))
	if err := json.Unmarshal([]byte(a.Body), &given); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return given
}

// commandLine runs `caddy gatehouse login` and returns the address that it shows, and what waits for its output.
func commandLine(t *testing.T, g *gate.Gate, args ...string) (open string, wait func() string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), must[string](t)(gate.Binary()), append([]string{"gatehouse", "login", g.URL, "--name", "a laptop"}, args...)...)
	cmd.Env, cmd.Dir = g.Environ(), t.TempDir()
	var out bytes.Buffer
	cmd.Stdout = &out
	errs, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	for open == "" && lines.Scan() {
		if text := strings.TrimSpace(lines.Text()); strings.HasPrefix(text, g.URL) {
			open = text
		}
	}
	return open, func() string {
		t.Helper()
		var rest strings.Builder
		for lines.Scan() {
			rest.WriteString(lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("login: %v: %s", err, rest.String())
		}
		return out.String()
	}
}

// A command line shows a code, its owner compares and approves it in a browser, and it gets in: with and without
// scripts. Without the tick the browser does not send the approval.
func TestACommandLineIsLetInByABrowser(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "tokens {\ndevice\n}"})
	for _, v := range []browser.View{{}, {NoScript: true, Width: 390, Dark: true}} {
		address, wait := commandLine(t, g)
		p := open(t, g, v)
		p.Go(address)
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		p.Find("button", "Continue").Follow() // the sign-in leads to the form with the code
		code := address[strings.LastIndexByte(address, '=')+1:]
		for _, text := range []string{code, "a laptop", "127.0.0.1", "localhost", "12 hours"} {
			if !p.Has("heading", "Let this program in.*") || !strings.Contains(p.Text(), text) {
				t.Fatalf("%s: the page does not show %q: %s", v, text, p.Text())
			}
		}
		p.Find("button", "Let it in").Click()
		if !p.Has("heading", "Let this program in.*") {
			t.Fatalf("%s: it was approved without the tick: %s", v, p.Text())
		}
		p.Find("checkbox", "I started this program myself.*").Click()
		p.Find("button", "Let it in").Follow()
		if !strings.Contains(p.Text(), "Approved") || !strings.Contains(p.Text(), "a laptop") {
			t.Errorf("%s: approving says %s", v, p.Text())
		}
		token := strings.TrimSuffix(wait(), "\n")
		if a := withToken(t, g, token); a.Status != http.StatusOK || !strings.Contains(a.Body, "as admin") {
			t.Errorf("%s: with %q: %d %s", v, token, a.Status, a.Body)
		}
	}
}
