package shipped

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// machine is a root file system into which a page has installed something. No systemd runs there: what its units say is
// done by the test.
type machine struct {
	t    *testing.T
	root string
	from string // the folder in which the lines of the page are run
	site string
}

// newMachine returns a machine and the text of a page of deploy/, for somebody who has unpacked that folder and the
// binary.
func newMachine(t *testing.T, page string) (*machine, string) {
	t.Helper()
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := gate.Binary()
	if err != nil {
		t.Fatal(err)
	}
	deploy := filepath.Join(t.TempDir(), "deploy")
	m := &machine{
		t: t, root: t.TempDir(), from: filepath.Join(deploy, filepath.Dir(page)), site: "http://localhost:" + harness.Port(t),
	}
	if err := os.CopyFS(deploy, os.DirFS(filepath.Join(top, "deploy"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(m.from, "caddy")); err != nil {
		t.Fatal(err)
	}
	reachable(t, m.root)
	text, err := os.ReadFile(filepath.Join(deploy, page))
	if err != nil {
		t.Fatal(err)
	}
	return m, string(text)
}

var installed = regexp.MustCompile(`(?m) (/(?:etc|usr)/\S+)`)

// install runs lines of a page on the machine. Those for systemd itself are only checked for being known ones.
func (m *machine) install(lines string) {
	m.t.Helper()
	for line := range strings.Lines(lines) {
		line = strings.TrimSuffix(line, "\n")
		program, _, _ := strings.Cut(line, " ")
		switch {
		case program == "install":
			line = installed.ReplaceAllString(line, " "+m.root+"$1")
		case line == "systemd-sysusers":
			line += " --root=" + m.root
		case program == "dpkg-divert", program == "update-alternatives": // they know DPKG_ROOT
		default:
			m.t.Fatalf("the tests know no %q", line)
		}
		cmd := exec.Command("bash", "-euc", line)
		cmd.Dir, cmd.Env = m.from, append(os.Environ(), "DPKG_ROOT="+m.root)
		if out, err := cmd.CombinedOutput(); err != nil {
			m.t.Fatalf("%v: %s\n%s", err, line, out)
		}
	}
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(path string) string {
	m.t.Helper()
	raw, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(raw)
}

// unit is the section [Service] of a unit and its drop-ins.
type unit map[string][]string

func (m *machine) unit(paths ...string) unit {
	m.t.Helper()
	u := make(unit)
	for _, path := range paths {
		section := ""
		for line := range strings.Lines(m.read(path)) {
			line = strings.TrimSpace(line)
			switch key, value, ok := strings.Cut(line, "="); {
			case line == "" || strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "["):
				section = line
			case !ok:
				m.t.Fatalf("%s: %q", path, line)
			case section == "[Service]":
				u[key] = append(u[key], value)
			}
		}
	}
	return u
}

// account is whom services run as: that of the image, which owns nothing else.
var account = &syscall.Credential{Uid: 10001, Gid: 10001}

// here returns text with the paths of the machine as they are on this one.
func (m *machine) here(text string) string {
	return regexp.MustCompile(`/(etc/(caddy|gatehouse)|var/lib|usr/(local/)?bin)/`).ReplaceAllStringFunc(text,
		func(path string) string { return m.root + path })
}

// environment returns that of a service, with its credentials where only its user reads them.
func (m *machine) environment(u unit, state string) []string {
	m.t.Helper()
	credentials, home := filepath.Join(m.root, "run/credentials"), filepath.Join(m.root, state)
	for _, dir := range []string{credentials, home} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	own(m.t, home, 0o700)
	for _, value := range u["LoadCredential"] {
		name, path, _ := strings.Cut(value, ":")
		if info, err := os.Stat(filepath.Join(m.root, path)); err != nil || info.Mode().Perm() != 0o600 {
			m.t.Fatalf("the credential %s: %v, %v", path, info, err)
		}
		m.write("run/credentials/"+name, m.read(path))
		own(m.t, filepath.Join(credentials, name), 0o400)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "CADDY_ADMIN=unix/" + home + "/a.sock"}
	for _, value := range u["Environment"] {
		env = append(env, strings.Fields(m.here(strings.ReplaceAll(value, "%d", credentials)))...)
	}
	return env
}

// own hands a file over to the service's user.
func own(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chown(path, int(account.Uid), int(account.Gid)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// command returns a command line of a unit, to be run as its user.
func (m *machine) command(line string, env []string) *exec.Cmd {
	args := strings.Fields(m.here(line))
	cmd := exec.CommandContext(m.t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = m.root, env, &syscall.SysProcAttr{Credential: account}
	return cmd
}

// start starts a service of Type=notify, and returns when it says that it is ready.
func (m *machine) start(u unit, env []string) (log func() string) {
	m.t.Helper()
	if len(u["Type"]) != 1 || u["Type"][0] != "notify" || len(u["ExecStart"]) != 1 {
		m.t.Fatalf("%v", u)
	}
	dir, err := os.MkdirTemp("", "ghn") // the path of a socket has to be short
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "n")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		m.t.Fatal(err)
	}
	defer notify.Close()
	own(m.t, dir, 0o700)
	own(m.t, socket, 0o600)
	path := filepath.Join(dir, "log")
	file, err := os.Create(path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer file.Close()
	log = func() string { text, _ := os.ReadFile(path); return string(text) }
	cmd := m.command(u["ExecStart"][0], append(env, "NOTIFY_SOCKET="+socket))
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	m.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if m.t.Failed() {
			m.t.Logf("log of the service:\n%s", log())
		}
	})
	_ = notify.SetReadDeadline(time.Now().Add(time.Minute))
	for message := make([]byte, 4096); ; {
		n, err := notify.Read(message)
		if err != nil {
			m.t.Fatalf("the service is not ready: %v", err)
		}
		if bytes.Contains(message[:n], []byte("READY=1")) {
			return log
		}
	}
}

// greeted checks that the password signs in, and that another does not.
func (m *machine) greeted(password string) {
	m.t.Helper()
	if app, _ := signIn(m.t, m.site, "admin", "a wrong one entirely"); app != "" {
		m.t.Errorf("a wrong password gets %q", app)
	}
	if app, _ := signIn(m.t, m.site, "admin", password); !strings.Contains(app, "you are through the gate") {
		m.t.Errorf("signed in, the app says %q", app)
	}
}
