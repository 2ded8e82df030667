package shipped

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The unit installs, is confined, and runs: its command, environment and credential are those of the files.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	m, page := newMachine(t, "systemd/README.md")
	blocks := commands(page)["Install"]
	m.install(blocks[0])
	for line := range strings.Lines(blocks[1]) {
		if line != "systemctl daemon-reload\n" && line != "systemctl enable --now gatehouse\n" {
			t.Errorf("README.md runs %q", line)
		}
	}
	if users := m.read("etc/passwd"); !strings.Contains(users, "gatehouse:") {
		t.Errorf("no user was made: %s", users)
	}
	const service = "etc/systemd/system/gatehouse.service"
	m.analyze(service)

	m.write("etc/gatehouse/admin-password", firstPassword+"\n")
	m.write("etc/gatehouse/Caddyfile", strings.ReplaceAll(m.read("etc/gatehouse/Caddyfile"), "http://localhost:8080", m.site))
	u := m.unit(service, service+".d/admin-password.conf")
	if fmt.Sprint(u["StateDirectory"]) != "[gatehouse]" {
		t.Fatalf("state: %v", u["StateDirectory"])
	}
	env := m.environment(u, "var/lib/gatehouse")
	log := m.start(u, env)
	m.greeted(firstPassword)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(log(), "ready: "+m.site+"/"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the journal does not say where the site is")
		}
	}
	if strings.Contains(log(), firstPassword) {
		t.Error("the journal has the password")
	}
	reload := m.command(u["ExecReload"][0], env)
	if out, err := reload.CombinedOutput(); err != nil {
		t.Errorf("reload: %v\n%s", err, out)
	}
	if out := m.documented(page, "gatehouse", env); !strings.Contains(out, "admin") {
		t.Errorf("the users: %s", out)
	}
	check := m.command("/usr/local/bin/caddy gatehouse healthcheck --config /etc/gatehouse/Caddyfile", env)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("health check: %v\n%s", err, out)
	}
}

// analyze has systemd's own tool look at a unit.
func (m *machine) analyze(service string) {
	m.t.Helper()
	dir := m.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(m.root, filepath.Dir(service)))); err != nil {
		m.t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.Base(service))
	binary := regexp.MustCompile(`(?m)^(Exec\w+=)/usr/local/bin/caddy `)
	text := binary.ReplaceAllString(m.read(service), "${1}"+m.root+"/usr/local/bin/caddy ")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify", "--man=no", path}, {"security", "--offline=yes", "--threshold=20", path},
	} {
		out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			m.t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
		}
	}
}

// documented runs the command that a page shows for a user, with the environment that it shows there.
func (m *machine) documented(page, user string, env []string) string {
	m.t.Helper()
	line := regexp.MustCompile("`sudo -u " + user + " env ((?:[A-Z_]+=\\S+ )+)caddy ([^`]+)`").FindStringSubmatch(page)
	if line == nil {
		m.t.Fatal("the page shows no command")
	}
	own := []string{"PATH=" + os.Getenv("PATH")}
	for _, e := range env { // where the admin API is on this machine
		if strings.HasPrefix(e, "CADDY_ADMIN=") {
			own = append(own, e)
		}
	}
	binary := "/usr/local/bin/caddy "
	if user == "caddy" {
		binary = "/usr/bin/caddy.gatehouse "
	}
	out, err := m.command(binary+line[2], append(own, strings.Fields(m.here(line[1]))...)).CombinedOutput()
	if err != nil {
		m.t.Errorf("%s: %v", line[2], err)
	}
	return string(out)
}

// caddyService is what Debian's package has in caddy.service about the process.
const caddyService = `[Service]
Type=notify
User=caddy
Group=caddy
ExecStart=/usr/bin/caddy run --environ --config /etc/caddy/Caddyfile
ExecReload=/usr/bin/caddy reload --config /etc/caddy/Caddyfile --force
`

// Beside Debian's package the binary is replaced and put back by dpkg's own means, and its unit runs the gate.
func TestDebianPackage(t *testing.T) {
	t.Parallel()
	m, page := newMachine(t, "debian.md")
	m.write("usr/bin/caddy", "the package's")
	m.write("usr/lib/systemd/system/caddy.service", caddyService)
	for _, path := range []string{"var/lib/dpkg/status", "var/lib/dpkg/diversions"} {
		m.write(path, "")
	}
	for _, dir := range []string{"var/lib/dpkg/alternatives", "etc/alternatives", "var/log"} {
		m.write(dir+"/.keep", "")
	}
	if err := os.Remove(filepath.Join(m.root, "var/lib/dpkg/alternatives/.keep")); err != nil {
		t.Fatal(err)
	}
	blocks := commands(page)[""]
	m.install(blocks[0])
	if to, err := os.Readlink(filepath.Join(m.root, "etc/alternatives/caddy")); to != "/usr/bin/caddy.gatehouse" {
		t.Errorf("caddy is %s, %v", to, err)
	}
	m.install(blocks[1])
	if blocks[2] != "systemctl daemon-reload\nsystemctl restart caddy\n" {
		t.Errorf("the page runs %q", blocks[2])
	}
	m.write("etc/gatehouse/admin-password", firstPassword+"\n")
	m.write("etc/caddy/Caddyfile", m.site+" {\n\tgatehouse\n\trespond \"you are through the gate\"\n}\n")
	u := m.unit("usr/lib/systemd/system/caddy.service", "etc/systemd/system/caddy.service.d/gatehouse.conf")
	u["ExecStart"][0] = strings.Replace(u["ExecStart"][0], "/usr/bin/caddy", "/usr/bin/caddy.gatehouse", 1) // the link's target
	env := m.environment(u, "var/lib/caddy")
	log := m.start(u, env)
	m.greeted(firstPassword)
	if text := log(); strings.Contains(text, firstPassword) || !strings.Contains(text, "ADMIN_PASSWORD_FILE=") {
		t.Errorf("the journal has\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(m.root, "var/lib/caddy/.local/share/caddy/gatehouse/gatehouse.db")); err != nil {
		t.Error(err)
	}
	if out := m.documented(page, "caddy", env); !strings.Contains(out, "admin") {
		t.Errorf("the users: %s", out)
	}
	m.install(blocks[3])
	if text := m.read("usr/bin/caddy"); text != "the package's" {
		t.Errorf("in the end the binary is %.20q", text)
	}
}
