package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// The test binary is also the process that is recorded or killed, controlled by these variables.
const (
	workEnv       = "GATEHOUSE_CRASH_WORK" // a scenario to record, or one of the workers
	dirEnv        = "GATEHOUSE_CRASH_DIR"
	notesEnv      = "GATEHOUSE_CRASH_NOTES"
	migrationsEnv = "GATEHOUSE_CRASH_MIGRATIONS"
)

func TestMain(m *testing.M) {
	work := os.Getenv(workEnv)
	if work == "" {
		testenv.Main(m)
	}
	if err := runWork(work, os.Getenv(dirEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runWork(work, dir string) error {
	ctx := context.Background()
	if f, ok := workers[work]; ok {
		return f(ctx, dir)
	}
	s, ok := scenarios[work]
	if !ok {
		return fmt.Errorf("there is no work %q", work)
	}
	r, err := record(dir, os.Getenv(notesEnv))
	if err != nil {
		return err
	}
	return errors.Join(s.run(ctx, dir, r.ack), r.close())
}

// worker returns the process that runs a worker in a directory.
func worker(t testing.TB, work, dir string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), append(env, workEnv+"="+work, dirEnv+"="+dir, migrationsEnv+"="+migrations())...)
	return cmd
}

// rounds returns the number of kills: CRASH_ROUNDS, which also selects the long form, or a few.
func rounds(t testing.TB, few int) (n int, long bool) {
	t.Helper()
	text := os.Getenv("CRASH_ROUNDS")
	if text == "" {
		return few, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CRASH_ROUNDS is %q: a number of rounds is needed", text)
	}
	return n, true
}

// newRand returns a random generator with the seed CRASH_SEED, or with a random one, which is logged.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CRASH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CRASH_SEED is %q: a number is needed", text)
		}
	}
	t.Logf("CRASH_SEED=%d repeats this", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// folder creates the directory of a store inside a temporary one.
func folder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
