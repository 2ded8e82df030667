package caddyauth_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// nodeEnv is a Caddyfile's path when this test binary is to be a Caddy of its own: several Caddys on one store
// are several processes.
const nodeEnv = "GATEHOUSE_TEST_NODE"

// runNode is that Caddy. It ends when its standard input does, so none outlives its test.
func runNode(config string) {
	text, err := os.ReadFile(config)
	if err == nil {
		err = loadCaddyfile(string(text))
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	caddy.TrapSignals() // as `caddy run` does
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); { // each line asks for a reload
		if err := loadCaddyfile(string(text)); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println("reloaded")
	}
	if err := caddy.Stop(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// node is one Caddy of several.
type node struct {
	*caddyServer
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// launch starts a node without waiting for it.
func launch(t *testing.T, e engine, up *upstream, global string) *node {
	t.Helper()
	s := &caddyServer{t: t, up: up, dir: t.TempDir(), addr: testenv.Address(t), logs: &logBuffer{}}
	config := filepath.Join(s.dir, "Caddyfile")
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	grace_period 1s
	log default {
		level ERROR
	}
	gatehouse {
		%s
		password {
			argon2id 64KiB 1 1
		}
		throttle {
			client 100000/1m
		}
		%s
	}
}
http://%s {
	bind 127.0.0.1
	gatehouse /admins/* {
		require role admin
	}
	gatehouse
	reverse_proxy %s
}
`, e.line, global, s.addr, up.Listener.Addr())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return (&node{caddyServer: s}).again()
}

// again starts a node that is not running, with the configuration and the address that it had.
func (n *node) again() *node {
	n.t.Helper()
	n = &node{caddyServer: n.caddyServer, cmd: exec.Command(os.Args[0])}
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+filepath.Join(n.dir, "Caddyfile"), "XDG_DATA_HOME="+n.dir, "XDG_CONFIG_HOME="+n.dir,
		"ADMIN_PASSWORD="+adminPass)
	n.cmd.Stderr = os.Stderr
	var err error
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		n.t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	n.lines = bufio.NewScanner(out)
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { n.stop() })
	return n
}

// wait waits until the node serves.
func (n *node) wait() *node {
	n.t.Helper()
	if !n.lines.Scan() || n.lines.Text() != "ready" {
		n.t.Fatalf("the node did not start: %s", n.lines.Text())
	}
	return n
}

// reload is `caddy reload` with the same configuration, forced.
func (n *node) reload() {
	n.t.Helper()
	if _, err := io.WriteString(n.stdin, "reload\n"); err != nil {
		n.t.Fatal(err)
	}
	if !n.lines.Scan() || n.lines.Text() != "reloaded" {
		n.t.Fatalf("the node did not reload: %s", n.lines.Text())
	}
}

// terminate is what a service manager does.
func (n *node) terminate() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	_ = n.cmd.Wait() // the exit status tells of the signal
}

func (n *node) stop() {
	_ = n.stdin.Close()
	_ = n.cmd.Wait()
}

func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}
