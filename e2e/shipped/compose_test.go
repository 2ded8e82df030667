package shipped

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// loopback returns an address of this machine that no other test uses.
var loopback = func() func() string {
	n := os.Getpid() * 16
	return func() string { n++; return fmt.Sprintf("127.%d.%d.%d", 1+n>>16&0x7f, n>>8&0xff, 1+n&0x7f) }
}()

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

// visitor is somebody with a browser of their own.
type visitor struct {
	t       *testing.T
	site    string
	cookies []*http.Cookie
}

func (v *visitor) do(method, path string, form url.Values) *http.Response {
	v.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.site+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range v.cookies {
		req.AddCookie(c)
	}
	client := &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	v.cookies = append(v.cookies, res.Cookies()...)
	return res
}

// signIn tries a password and returns what the app says then, "" where the gate lets nobody through.
func signIn(t *testing.T, site, user, password string) (app string, v *visitor) {
	t.Helper()
	v = &visitor{t: t, site: site}
	res := v.do(http.MethodPost, "/_auth/login", url.Values{"username": {user}, "password": {password}, "rt": {"/"}})
	defer res.Body.Close()
	return v.app(), v
}

// app returns what the app says to the visitor.
func (v *visitor) app() string {
	v.t.Helper()
	res := v.do(http.MethodGet, "/", nil)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
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

const (
	firstPassword  = "seven quiet otters 42"
	secondPassword = "a lamp under the stairs"
	thirdPassword  = "every boat needs a bell"
)

// The seed policy: .env makes the administrator, then the store is the truth, until it is forced.
func TestComposeWithASeededAdministrator(t *testing.T) {
	t.Parallel()
	r := newRecipe(t, "mxroute", "5000", nil)
	r.run("Start", 0)
	r.set("SITE", r.site)
	r.set("ADMIN_PASSWORD", "'"+firstPassword+"'")
	r.run("Start", 1)
	r.letsIn("admin", "a wrong one entirely", false)
	before := r.letsIn("admin", firstPassword, true)

	r.set("ADMIN_PASSWORD", "'"+secondPassword+"'")
	r.run("Start", 1)
	if before.app() == "" {
		t.Error("a restart ended the session")
	}
	r.letsIn("admin", secondPassword, false)

	r.set("ADMIN_PASSWORD_FORCE_SYNC", "true")
	r.run("Force the password of .env once", 0)
	if before.app() != "" {
		t.Error("the session survived the new password")
	}
	r.letsIn("admin", firstPassword, false)
	r.letsIn("admin", secondPassword, true)

	link := strings.TrimSpace(r.run("Forgotten password", 0))
	path, ok := strings.CutPrefix(link, r.site)
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	r.setByLink(path, thirdPassword)
	r.letsIn("admin", secondPassword, false)
	r.letsIn("admin", thirdPassword, true)
	r.run("Force the password of .env once", 0) // the flag may stay
	r.letsIn("admin", secondPassword, false)
	r.letsIn("admin", thirdPassword, true)

	r.run("Backup", 0)
	if !strings.HasPrefix(r.read("gatehouse-backup.db"), "SQLite format 3\x00") {
		t.Error("that is no backup")
	}
}

// setByLink sets a password on the page of a one-time link.
func (r *recipe) setByLink(path, password string) {
	r.t.Helper()
	v := &visitor{t: r.t, site: r.site}
	res := v.do(http.MethodGet, path, nil)
	res.Body.Close()
	next := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || next == "" {
		r.t.Fatalf("the link gets %d %s", res.StatusCode, next)
	}
	res = v.do(http.MethodPost, next, url.Values{"password": {password}})
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		text, _ := io.ReadAll(res.Body)
		r.t.Fatalf("the form gets %d: %s", res.StatusCode, text)
	}
}

// The managed policy: .env is the truth at every start.
func TestComposeWithAManagedAdministrator(t *testing.T) {
	t.Parallel()
	r := newRecipe(t, "the0", "3000", nil)
	r.initialize()
	r.run("Init", 1)
	before := r.letsIn("root@example.com", firstPassword, true)
	r.run("Init", 1)
	if before.app() == "" {
		t.Error("a start with the same values ended the session")
	}
	r.set("ADMIN_PASSWORD", "'"+secondPassword+"'")
	r.run("Rotate", 0)
	if before.app() != "" {
		t.Error("the session survived the rotation")
	}
	r.letsIn("root@example.com", firstPassword, false)
	r.letsIn("root@example.com", secondPassword, true)
}

// initialize runs the line that makes .env and the Caddyfile, with input in place of a terminal.
func (r *recipe) initialize() {
	r.t.Helper()
	line := strings.TrimSpace(r.page["Init"][0])
	changed := strings.NewReplacer(" -it ", " -i ", "http://localhost:8080", r.site).Replace(line) +
		" --email root@example.com --password-stdin"
	if !strings.Contains(line, " -it ") || !strings.Contains(line, "http://localhost:8080") {
		r.t.Fatalf("README.md makes the files otherwise: %s", line)
	}
	r.shell(changed, firstPassword+"\n")
	if info, err := os.Stat(filepath.Join(r.dir, ".env")); err != nil || info.Mode().Perm() != 0o600 {
		r.t.Fatalf(".env: %v, %v", info, err)
	}
}

// PostgreSQL starts before the gate, and has the accounts.
func TestComposeWithPostgreSQL(t *testing.T) {
	t.Parallel()
	port := harness.Postgres(t, "gatehouse")
	createdb := exec.Command("createdb", "-h", "127.0.0.1", "-p", port, "-U", "gatehouse", "gatehouse")
	if out, err := createdb.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	postgres := loopback()
	forward(t, net.JoinHostPort(postgres, "5432"), "127.0.0.1:"+port)
	r := newRecipe(t, "the0", "3000", map[string]string{"postgres": postgres})
	r.initialize()
	r.run("With PostgreSQL", 0)
	block := regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```$").FindStringSubmatch(r.text)
	options := regexp.MustCompile(`(?s)\A.*?\n\{\n.*?\n\}\n`)
	r.edit("Caddyfile", func(text string) string {
		changed := options.ReplaceAllLiteralString(text, block[1])
		if changed == text {
			t.Fatalf("there are no options to change in\n%s", text)
		}
		return changed
	})
	r.e.ready = func() error {
		p, err := loadProject(r.dir, []string{"compose.yaml", "compose.postgres.yaml"})
		if err != nil {
			return err
		}
		test := p.Services["postgres"].Healthcheck.Test
		i := slices.Index(test, "127.0.0.1")
		if test[0] != "CMD" || i < 0 {
			return errors.New("the health check asks another server")
		}
		test[i] = postgres // that of this test
		return exec.Command(test[1], test[2:]...).Run()
	}
	r.run("With PostgreSQL", 1)
	if !slices.Equal(r.e.log, []string{"postgres", "gatehouse"}) {
		t.Errorf("started %v", r.e.log)
	}
	r.letsIn("root@example.com", firstPassword, true)
	psql := exec.Command("psql", "-h", "127.0.0.1", "-p", port, "-U", "gatehouse", "-At", "-c", "SELECT email FROM users")
	if out, err := psql.Output(); err != nil || string(out) != "root@example.com\n" {
		t.Errorf("PostgreSQL has %q, %v", out, err)
	}
}

// forward passes connections on until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
	}()
}
