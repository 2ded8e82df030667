package crash

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// FuzzRecovery takes the files at any moment of commits and checkpoints, with a partial write or after a power cut,
// and then changes some of their bytes.
//
// Whatever is in the files, the check refuses nothing that opens. If no byte was changed, the store opens with
// everything that was acknowledged.
func FuzzRecovery(f *testing.F) {
	r := recordScenario(f, "commits")
	steps := r.steps()
	if len(steps) < 100 || len(r.before) == 0 {
		f.Fatalf("no seeds: %d writes were noted", len(steps))
	}
	for i := range 12 {
		f.Add(uint(i*len(steps)/12), byte(i*21), uint64(i), []byte{})
		f.Add(uint(i*len(steps)/12), byte(255), uint64(0), []byte{byte(i), byte(i * 20), byte(i), 0xff})
	}
	f.Fuzz(func(t *testing.T, at uint, part byte, luck uint64, flips []byte) {
		step := steps[at%uint(len(steps))]
		state := r.at(step, float64(part)/255)
		if luck != 0 {
			n := 0
			state = r.cut(step, func() bool { n++; return luck>>(n%64)&1 == 1 })
		}
		changed := flip(state, flips)
		dir := filepath.Join(t.TempDir(), "store")
		if err := errors.Join(os.Mkdir(dir, 0o700), state.write(dir)); err != nil {
			t.Fatal(err)
		}
		if !changed {
			if err := checkMoment(t.Context(), r, dir, r.acks(step)); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			return
		}
		checked := sqlstore.Check(t.Context(), options(filepath.Join(dir, storeName)))
		opened := with(t.Context(), options(filepath.Join(dir, storeName)), func(*sqlstore.DB) error { return nil })
		if checked != nil && opened == nil {
			t.Fatalf("step %d: the check refused what opens: %v", step, checked)
		}
	})
}

// flip changes bytes of the files as determined by four bytes of the input each. The first one selects the file.
func flip(f files, how []byte) (changed bool) {
	for ; len(how) >= 4; how = how[4:] {
		name := storeName
		if how[0]%2 == 1 {
			name += "-wal"
		}
		content := f[name]
		if len(content) == 0 {
			continue
		}
		// Mostly in the headers, where small changes matter.
		at := (int(how[1])<<8 | int(how[2])) % len(content)
		if how[0]%4 >= 2 {
			at %= 100
		}
		if how[3] != 0 {
			content[at] ^= how[3]
			changed = true
		}
	}
	return changed
}
