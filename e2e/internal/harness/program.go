package harness

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program is a program that a test starts. Its process has no environment but PATH, HOME and Env.
type Program struct {
	Home    string // directory in which it runs
	Ready   string // address at which it responds when it has started
	Client  *http.Client
	Env     []string
	Command []string

	mu  sync.Mutex
	log strings.Builder
}

// startTimeout is long, for large programs on a machine that does much else.
const startTimeout = 4 * time.Minute

func (p *Program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Log returns what the program has printed so far.
func (p *Program) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Launch runs the program and waits until it responds. It runs until the test ends, or until stop is called.
func (p *Program) Launch(t testing.TB) (stop func()) {
	t.Helper()
	cmd := exec.Command(p.Command[0], p.Command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Home, p, p
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.Home}, p.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with what it has started, such as kernels
		<-ended
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.Command[0], p.Log())
		}
	})
	client := p.Client
	if client == nil {
		client = http.DefaultClient
	}
	for deadline := time.Now().Add(startTimeout); ; {
		if res, err := client.Get(p.Ready); err == nil {
			res.Body.Close()
			return stop
		}
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", p.Command[0], p.Log())
		case <-time.After(100 * time.Millisecond): // waits: the pause of a poll that has a deadline
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not respond:\n%s", p.Command[0], p.Log())
		}
	}
}
