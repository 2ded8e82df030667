package shipped

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// recipe is a folder of deploy/ that somebody has copied, and uses as its page says.
type recipe struct {
	t    *testing.T
	dir  string
	page map[string][]string // blocks of commands, by heading
	text string
	env  []string
	e    *engine
	site string
}

var (
	headings = regexp.MustCompile(`(?m)^## (.*)$`)
	shell    = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
)

// newRecipe copies a folder of deploy/compose. app is the port of the app behind its gate.
func newRecipe(t *testing.T, name, app string, hosts map[string]string) *recipe {
	t.Helper()
	needImage(t)
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	r := &recipe{t: t, dir: t.TempDir(), site: "http://localhost:" + harness.Port(t)}
	if err := os.CopyFS(r.dir, os.DirFS(filepath.Join(top, "deploy", "compose", name))); err != nil {
		t.Fatal(err)
	}
	reachable(t, r.dir)
	r.text = r.read("README.md")
	r.page = commands(r.text)
	if hosts == nil {
		hosts = make(map[string]string)
	}
	hosts["app"] = serveApp(t, app)
	var path string
	r.e, path = newEngine(t, hosts)
	r.env = []string{"PATH=" + path + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "DOCKER_STAND_IN=" + r.e.socket}
	return r
}

// commands returns the blocks of commands in a page, by heading, "" before the first.
func commands(text string) map[string][]string {
	found := make(map[string][]string)
	add := func(title, section string) {
		for _, block := range shell.FindAllStringSubmatch(section, -1) {
			found[title] = append(found[title], block[1])
		}
	}
	title, from := "", 0
	for _, m := range headings.FindAllStringSubmatchIndex(text, -1) {
		add(title, text[from:m[0]])
		title, from = text[m[2]:m[3]], m[1]
	}
	add(title, text[from:])
	return found
}

// reachable lets the user of the image into a folder of the test.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

var addresses atomic.Int32

// loopback returns an address of this machine that no other test uses.
func loopback() string {
	n := os.Getpid()<<4 + int(addresses.Add(1))
	return fmt.Sprintf("127.%d.%d.%d", 1+n>>14&0x7f, n>>7&0x7f, 1+n&0x7f)
}

// serveApp runs an app that tells who asks, and returns its address.
func serveApp(t *testing.T, port string) string {
	t.Helper()
	address := loopback()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, port))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "app: %s as %s", r.Header.Get("Remote-Role"), r.Header.Get("Remote-User"))
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return address
}

func (r *recipe) read(name string) string {
	r.t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(raw)
}

// edit changes a file as a person would with an editor.
func (r *recipe) edit(name string, change func(text string) string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(change(r.read(name))), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// set sets a variable in .env, where it has to be already.
func (r *recipe) set(name, value string) {
	r.t.Helper()
	line := regexp.MustCompile(`(?m)^` + name + `=.*$`)
	r.edit(".env", func(text string) string {
		if !line.MatchString(text) {
			r.t.Fatalf("there is no %s in .env:\n%s", name, text)
		}
		return line.ReplaceAllLiteralString(text, name+"="+value)
	})
}

// run runs the n-th block below a heading of the page.
func (r *recipe) run(title string, n int) string {
	r.t.Helper()
	if n >= len(r.page[title]) {
		r.t.Fatalf("README.md has no block %d below %q", n, title)
	}
	return r.shell(r.page[title][n], "")
}

func (r *recipe) shell(lines, stdin string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euc", lines)
	cmd.Dir, cmd.Env, cmd.Stdin = r.dir, r.env, strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%v:\n%s\n%s%s", err, lines, out.String(), errs.String())
	}
	return out.String()
}

// letsIn checks whether a password signs in.
func (r *recipe) letsIn(user, password string, want bool) *visitor {
	r.t.Helper()
	app, v := signIn(r.t, r.site, user, password)
	if strings.HasPrefix(app, "app: admin as ") != want {
		r.t.Fatalf("%s with %q sees %q, want to be let in: %t", user, password, app, want)
	}
	return v
}
