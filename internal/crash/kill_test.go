package crash

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// freshAfter is the number of kills after which a new store is used, so that checking all of it stays fast.
const freshAfter = 25

func TestStoreStartsAfterAKillUnderLoad(t *testing.T) {
	t.Parallel()
	n, _ := rounds(t, 8)
	random := newRand(t)
	began, commits := time.Now(), 0
	var dir string
	var acks []note
	for i := range n {
		if i%freshAfter == 0 {
			commits += committed(acks)
			dir, acks = folder(t), nil
			if random.IntN(2) == 0 { // but not in the very first start
				if err := prepareStore(t.Context(), dir); err != nil {
					t.Fatal(err)
				}
			}
		}
		acks = append(acks, killUnderLoad(t, dir, random)...)
		if random.IntN(3) == 0 {
			continue // killed again before a check
		}
		checked := dir
		if random.IntN(2) == 0 {
			checked = copied(t, dir) // the next process starts on these files
		}
		err := start(t.Context(), checked, func(db *sqlstore.DB) error { return checkAcked(t, db, acks) })
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if checked != dir || i%freshAfter == freshAfter-1 { // there are thousands
			if err := os.RemoveAll(checked); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d kills, %d things acknowledged, %v", n, commits+committed(acks), time.Since(began).Round(time.Millisecond))
}

// committed counts acknowledged commits, without those that were only started.
func committed(acks []note) (n int) {
	for _, a := range acks {
		if !strings.HasPrefix(a.Name, "ending ") {
			n++
		}
	}
	return n
}

func checkAcked(t *testing.T, db *sqlstore.DB, acks []note) error {
	t.Helper()
	if err := checkWhole(t.Context(), db); err != nil {
		return err
	}
	return checkAcks(t.Context(), db, acks)
}

// copied copies the files of a store that is not in use.
func copied(t *testing.T, dir string) string {
	t.Helper()
	f, err := everything(dir)
	if err != nil {
		t.Fatal(err)
	}
	to := folder(t)
	if err := f.write(to); err != nil {
		t.Fatal(err)
	}
	return to
}

// killUnderLoad runs a process that changes the store and kills it at a random moment, while it opens the store or
// while it works. It returns what was acknowledged. Concurrent checks, like those of a reload or `caddy validate`,
// must pass.
func killUnderLoad(t *testing.T, dir string, random *rand.Rand) []note {
	t.Helper()
	cmd := worker(t, "load", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var failed bytes.Buffer
	cmd.Stderr = &failed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	var output strings.Builder
	if random.IntN(5) > 0 { // otherwise it is killed during its start
		first, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the process did not begin: %v: %s", err, failed.String())
		}
		output.WriteString(first)
	}
	done := make(chan []byte, 1)
	go func() {
		rest, _ := io.ReadAll(lines) // ends with the process
		done <- rest
	}()
	opts := options(filepath.Join(dir, storeName))
	for deadline := time.Now().Add(time.Duration(random.IntN(int(300 * time.Millisecond)))); time.Now().Before(deadline); {
		if err := sqlstore.Check(t.Context(), opts); err != nil {
			t.Errorf("a check beside the running process: %v", err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatalf("the process had ended by itself: %v: %s", err, failed.String())
	}
	output.Write(<-done)
	_ = cmd.Wait() // it was killed
	if failed.Len() > 0 {
		t.Fatalf("the process failed: %s", failed.String())
	}
	return slices.DeleteFunc(parseReports(output.String()), func(n note) bool { return n.Name == "ready" })
}

// A check must not close a file of a store that this process uses: that would drop this process's locks on it
// (POSIX), and let another process delete the log.
func TestACheckDropsNoLocks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(db *sqlstore.DB) error{
		"a log in use": func(db *sqlstore.DB) error { return people(t.Context(), db, "old", 3) },
		"no log yet":   func(*sqlstore.DB) error { return nil },
	} {
		dir := folder(t)
		path := filepath.Join(dir, storeName)
		db := testenv.OpenSQLite(t, path)
		if err := db.Close(); err != nil { // everything is in the file
			t.Fatal(err)
		}
		if err := errors.Join(change(testenv.OpenSQLite(t, path)), os.Symlink(path, sibling(dir, "link.db"))); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, sibling(dir, "link.db")} {
			if err := sqlstore.Check(t.Context(), options(p)); err != nil {
				t.Fatal(err)
			}
			if out, err := worker(t, "locked", dir).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", name, err, out)
			}
		}
	}
}
