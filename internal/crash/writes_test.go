package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// few is the number of steps per scenario in the short form.
const few = 8

func TestStoreStartsAfterAKillAtAnyWrite(t *testing.T) {
	t.Parallel()
	for name := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := recordScenario(t, name)
			random, began := newRand(t), time.Now()
			steps := r.steps()
			if len(steps) < 20 {
				t.Fatalf("only %d writes were noted", len(steps))
			}
			all := len(steps)
			if _, long := rounds(t, 0); !long {
				random.Shuffle(all, func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
				steps = append(steps[:few], r.steps()[all-2:]...)
				slices.Sort(steps)
			}
			tried := 0
			for _, step := range steps {
				for _, m := range r.moments(step, random) {
					if err := try(t, r, m); err != nil {
						n := r.notes[step]
						t.Errorf("%s at %d of %d (%s of %s): %v", m.what, step, len(r.notes), n.Kind, n.Name, err)
					}
					tried++
				}
			}
			t.Logf("%d moments of %d writes, %v", tried, all, time.Since(began).Round(time.Millisecond))
		})
	}
}

// try starts on the files of a moment, in a directory that is removed afterwards: there are thousands.
func try(t *testing.T, r recording, m moment) (err error) {
	t.Helper()
	parent, err := os.MkdirTemp("", "gatehouse-crash-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(parent)) }()
	dir := filepath.Join(parent, "store")
	if err := errors.Join(os.Mkdir(dir, 0o700), r.sibling.write(parent), m.files().write(dir)); err != nil {
		return fmt.Errorf("writing the files: %w", err)
	}
	if m.step%3 == 0 { // the -shm file of an earlier process has no meaning
		if err := os.WriteFile(filepath.Join(dir, storeName+"-shm"), make([]byte, 32768), 0o600); err != nil {
			return err
		}
	}
	return checkMoment(t.Context(), r, dir, r.acks(m.step))
}
