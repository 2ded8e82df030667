package harness

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Lines are what a section of a page says to write into files, and to run in a shell.
type Lines struct {
	files    [][2]string // path as it stands there, such as ~/.netrc, and text
	Commands []string    // of its bash blocks, in their order
	sites    []string    // of its caddyfile blocks
}

var (
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	path        = regexp.MustCompile(`^# (~?/\S+)\n`) // first line of a block that is a file
	placeholder = "gatehouse_svc_…"                   // stands for the token
)

// Section returns the lines below a heading of a page below docs.
func Section(t testing.TB, title string, page ...string) Lines {
	t.Helper()
	text := Page(t, page...)
	var section string
	for _, at := range heading.FindAllStringSubmatchIndex(fence.ReplaceAllStringFunc(text, blank), -1) {
		if section != "" {
			section = text[len(text)-len(section) : at[0]]
			break
		}
		if text[at[2]:at[3]] == title {
			section = text[at[1]:]
		}
	}
	var l Lines
	for _, block := range fence.FindAllStringSubmatch(section, -1) {
		if name := path.FindStringSubmatch(block[2]); name != nil {
			l.files = append(l.files, [2]string{name[1], block[2]})
			continue
		}
		switch block[1] {
		case "bash":
			l.Commands = append(l.Commands, block[2])
		case "caddyfile":
			l.sites = append(l.sites, block[2])
		}
	}
	if l.Commands == nil && l.files == nil {
		t.Fatalf("docs/%s says nothing about %q", filepath.Join(page...), title)
	}
	return l
}

var options = regexp.MustCompile(`(?s)\tgatehouse \{\n(.*?)\n\t\}\n`)

// Gatehouse returns the lines of the global option and of the directive in the first Caddyfile of the section.
func (l Lines) Gatehouse(t testing.TB) (global, site string) {
	t.Helper()
	if len(l.sites) == 0 {
		t.Fatal("the section shows no Caddyfile")
	}
	found := options.FindAllStringSubmatch(l.sites[0], -1)
	switch {
	case len(found) == 1:
		return "", found[0][1]
	case len(found) == 2 && strings.HasPrefix(l.sites[0], "{\n"):
		return found[0][1], found[1][1]
	}
	t.Fatalf("no global option and a site, or a site alone:\n%s", l.sites[0])
	return "", ""
}

// blank returns as many spaces, so that comments in a block are no headings.
func blank(block string) string { return strings.Repeat(" ", len(block)) }

// Client is a person's home, in which the lines of a page are run: all hosts of the page are one gate.
type Client struct {
	Home  string
	Gate  *gate.Gate
	Token string
	Path  string   // of programs
	Env   []string // more environment
}

// NewClient returns a client with an empty home.
func NewClient(t testing.TB, g *gate.Gate, token string) Client {
	t.Helper()
	return Client{Home: t.TempDir(), Gate: g, Token: token, Path: os.Getenv("PATH")}
}

// commandTimeout is for programs on a machine that does much else. One that tries forever reaches it.
const commandTimeout = 3 * time.Minute

var exampleHost = regexp.MustCompile(`(machine |--host )?\b[a-z]+\.example\.com`)

// here returns text for this client: with its gate, its token and its home.
func (c Client) here(text string) string {
	host := strings.TrimPrefix(strings.TrimPrefix(c.Gate.URL, "http://"), "https://")
	name, _, _ := strings.Cut(host, ":")
	text = exampleHost.ReplaceAllStringFunc(text, func(found string) string {
		if before, _, ok := strings.Cut(found, " "); ok { // hosts without a port
			return before + " " + name
		}
		return host
	})
	if strings.HasPrefix(c.Gate.URL, "http://") {
		text = strings.ReplaceAll(text, "https", "http")
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, placeholder, c.Token), "/etc/", c.Home+"/etc/")
}

// Write writes the files of l, and what makes programs trust the certificate of the gate.
func (c Client) Write(t testing.TB, l Lines) {
	t.Helper()
	files := append([][2]string{{"~/.wgetrc", "ca_certificate = " + c.trust() + "\n"}}, l.files...)
	if strings.HasPrefix(c.Gate.URL, "http://") {
		files = l.files
	}
	for _, f := range files {
		name := strings.Replace(f[0], "~", c.Home, 1)
		if rest, ok := strings.CutPrefix(name, "/etc/"); ok {
			name = filepath.Join(c.Home, "etc", rest)
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(c.here(f[1])), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// trust returns the path of the certificate that a gate with HTTPS has.
func (c Client) trust() string { return filepath.Join(c.Gate.Dir(), "cert.pem") }

// Environ returns the environment of the client's programs. Nothing of the machine's own settings is in it.
func (c Client) Environ() []string {
	env := []string{
		"PATH=" + c.Path, "HOME=" + c.Home, "T=" + c.Token, "LC_ALL=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "XDG_RUNTIME_DIR=" + c.Home,
	}
	if strings.HasPrefix(c.Gate.URL, "https://") {
		for _, name := range []string{
			"SSL_CERT_FILE", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "PIP_CERT", "npm_config_cafile", "CARGO_HTTP_CAINFO",
		} {
			env = append(env, name+"="+c.trust())
		}
	}
	return append(env, c.Env...)
}

// Run runs a block of commands as it stands in a page, but for hosts and token, until the first that fails.
func (c Client) Run(t testing.TB, commands string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euc", c.here(commands))
	cmd.Dir, cmd.Env = c.Home, c.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it ends with all that it has started
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("this does not end within %v:\n%s\n%s", commandTimeout, commands, out.String())
	}
	return out.String(), err
}

// MustRun runs a block of commands, all of which have to succeed.
func (c Client) MustRun(t testing.TB, commands string) string {
	t.Helper()
	out, err := c.Run(t, commands)
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, commands, out)
	}
	return out
}

// Replace returns the lines with other text in their files.
func (l Lines) Replace(old, other string) Lines {
	files := make([][2]string, len(l.files))
	for i, f := range l.files {
		files[i] = [2]string{f[0], strings.ReplaceAll(f[1], old, other)}
	}
	l.files = files
	return l
}
