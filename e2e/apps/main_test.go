//go:build apps

package apps

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

var chromium *browser.Browser

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if chromium, err = browser.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer chromium.Close()
	return m.Run()
}

// installed returns the path of what scripts/install-apps has installed.
func installed(t *testing.T, path ...string) string {
	t.Helper()
	top := os.Getenv("GATEHOUSE_APPS")
	if top == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		top = filepath.Join(cache, "gatehouse-apps")
	}
	full := filepath.Join(append([]string{top}, path...)...)
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("%v: run scripts/install-apps", err)
	}
	return full
}

// program is a running application.
type program struct {
	mu  sync.Mutex
	log strings.Builder
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *program) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// launch runs a program in an empty home until the test ends, and waits until it responds at address.
func launch(t *testing.T, home, address string, env []string, command ...string) {
	t.Helper()
	p := new(program)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, p, p
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with what it has started, such as kernels
		<-ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", command[0], p)
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if res, err := http.Get(address); err == nil {
			res.Body.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", command[0], p)
		case <-time.After(100 * time.Millisecond): // waits: the pause of a poll that has a deadline
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not respond:\n%s", command[0], p)
		}
	}
}

// port returns a free port.
func port(t *testing.T) string {
	t.Helper()
	ports, err := gate.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(ports[0])
}

var (
	fence     = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
	siteBlock = regexp.MustCompile(`(?s)^[a-z.]+ \{\n\tgatehouse(?: \{\n(.*?)\n\t\})?\n(.*)\n\}\n$`)
	upstream  = regexp.MustCompile(`localhost:[0-9]+`)
)

// behind runs a gate with the Caddyfile of a page of docs/apps, its upstream at port, on a host of its own.
func behind(t *testing.T, page, port string, more ...string) *gate.Gate {
	t.Helper()
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(top, "docs", "apps", page+".md"))
	if err != nil {
		t.Fatal(err)
	}
	block := fence.FindStringSubmatch(string(text))
	if block == nil {
		t.Fatalf("%s.md shows no Caddyfile", page)
	}
	site := siteBlock.FindStringSubmatch(block[1])
	if site == nil {
		t.Fatalf("%s.md shows another Caddyfile than a site with a gate:\n%s", page, block[1])
	}
	app := upstream.ReplaceAllString(site[2], "127.0.0.1:"+port)
	if more != nil {
		app = strings.Join(more, "\n")
	}
	g, err := gate.Start(t.Context(), t.TempDir(), gate.Options{
		HTTPS: true, Hosts: []string{page + ".test"}, Site: site[1], App: app,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the gate:\n%s", g.Log())
		}
	})
	return g
}

// signedIn opens a page of the app and signs in on the way. What the app's own pages log is not judged.
func signedIn(t *testing.T, g *gate.Gate, path string) *browser.Page {
	t.Helper()
	p := chromium.Open(t, browser.View{}, strings.TrimPrefix(g.URL, "https://"))
	t.Cleanup(p.Close)
	p.Go(g.URL + path)
	signIn(p, gate.Admin)
	return p
}

// signIn signs in on the sign-in page.
func signIn(p *browser.Page, username string) {
	p.Find("textbox", "Username").Fill(username)
	p.Find("textbox", "Password").Fill(gate.AdminPassword)
	p.Find("button", "Sign in").Follow()
}

// shows waits until the page shows a text. Large apps take their time.
func shows(t *testing.T, p *browser.Page, text string) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !strings.Contains(p.Text(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not show %q but\n%s", p.URL(), text, p.Text())
		}
		time.Sleep(100 * time.Millisecond) // waits: the pause of a poll that has a deadline
	}
}

// endsElsewhere ends the person's sessions from the command line.
func endsElsewhere(t *testing.T, g *gate.Gate, username string) {
	t.Helper()
	if _, err := g.Gatehouse(t.Context(), "", "session", "revoke", "--user", username); err != nil {
		t.Fatal(err)
	}
}

// comesBack checks that the app leads to the sign-in page after the session's end, and back after it.
func comesBack(t *testing.T, p *browser.Page, g *gate.Gate, text string) {
	t.Helper()
	endsElsewhere(t, g, gate.Admin)
	p.Until("the sign-in page", func() bool {
		p.Reload()
		return p.Has("heading", "Sign in to .*")
	})
	signIn(p, gate.Admin)
	shows(t, p, text)
}
