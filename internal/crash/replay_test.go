package crash

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files are the files of a store, by name, without -shm, which holds no data.
type files map[string][]byte

func readFiles(dir string) (files, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all := make(files)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-shm") {
			continue
		}
		if all[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (f files) write(dir string) error {
	for name, content := range f {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (f files) clone() files {
	c := make(files, len(f))
	for name, content := range f {
		c[name] = slices.Clone(content)
	}
	return c
}

// apply applies a note.
func (f files) apply(n note) {
	switch n.Kind {
	case opened:
		if f[n.Name] == nil {
			f[n.Name] = []byte{}
		}
	case wrote:
		content := f[n.Name]
		if end := int(n.Offset) + len(n.Data); end > len(content) {
			content = append(content, make([]byte, end-len(content))...)
		}
		copy(content[n.Offset:], n.Data)
		f[n.Name] = content
	case truncated:
		if content := f[n.Name]; int(n.Offset) < len(content) {
			f[n.Name] = content[:n.Offset:n.Offset]
		}
	case deleted:
		delete(f, n.Name)
	}
}

// recording is the initial state of a store's files and the operations on them.
type recording struct {
	name    string
	sibling files // inputs of the scenario, which it does not change
	before  files
	notes   []note
}

// recordScenario runs a scenario in a separate process and reads the recording. Replaying it has to result in the
// same files, byte by byte: a missed write would be a moment that is not tested.
func recordScenario(t testing.TB, name string) recording {
	t.Helper()
	dir := folder(t)
	if err := scenarios[name].prepare(t.Context(), dir); err != nil {
		t.Fatalf("preparing: %v", err)
	}
	r := recording{name: name, sibling: make(files)}
	for _, file := range []string{"source.db", "backup.db"} {
		if content, err := os.ReadFile(sibling(dir, file)); err == nil {
			r.sibling[file] = content
		}
	}
	var err error
	if r.before, err = readFiles(dir); err != nil {
		t.Fatal(err)
	}
	at := sibling(dir, "notes")
	if out, err := worker(t, name, dir, notesEnv+"="+at).CombinedOutput(); err != nil {
		t.Fatalf("recording %s: %v: %s", name, err, out)
	}
	if r.notes, err = readNotes(at); err != nil {
		t.Fatal(err)
	}
	left, err := readFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	replayed := r.before.clone()
	for _, n := range r.notes {
		replayed.apply(n)
	}
	if !maps.EqualFunc(left, replayed, bytes.Equal) {
		t.Fatalf("the notes lead to other files than those that are there")
	}
	return r
}

// steps returns the notes that change the files.
func (r recording) steps() []int {
	var list []int
	for i, n := range r.notes {
		if n.Kind == wrote || n.Kind == truncated || n.Kind == deleted || n.Kind == opened {
			list = append(list, i)
		}
	}
	return list
}

// acks returns what was acknowledged before a step.
func (r recording) acks(step int) []note {
	var list []note
	for _, n := range r.notes[:step] {
		if n.Kind == acknowledged {
			list = append(list, n)
		}
	}
	return list
}

// at returns the files after a kill at a step, when that part of the step's write is done (1 means all).
func (r recording) at(step int, part float64) files {
	f := r.before.clone()
	for _, n := range r.notes[:step] {
		f.apply(n)
	}
	n := r.notes[step]
	if n.Kind == wrote && part < 1 {
		n.Data = n.Data[:int(part*float64(len(n.Data)))]
	}
	f.apply(n)
	return f
}

// sector is the unit that a disk writes atomically.
const sector = 512

// cut returns the files as a power cut after a step may leave them: keep decides for each unsynced sector whether it
// was written. A deletion implies everything before it.
func (r recording) cut(step int, keep func() bool) files {
	synced := make(map[string]int) // the last step that is certainly on disk
	for i, n := range r.notes[:step+1] {
		if n.Kind == "sync" || n.Kind == deleted {
			synced[n.Name] = i
		}
	}
	f := r.before.clone()
	for i, n := range r.notes[:step+1] {
		if last, ok := synced[n.Name]; n.Kind != wrote || ok && i <= last {
			if n.Kind != truncated || ok && i <= last || keep() {
				f.apply(n)
			}
			continue
		}
		for from := 0; from < len(n.Data); from += sector {
			if keep() {
				f.apply(note{
					Kind: wrote, Name: n.Name, Offset: n.Offset + int64(from),
					Data: n.Data[from:min(from+sector, len(n.Data))],
				})
			}
		}
	}
	return f
}

// moment is a state of the files to start on.
type moment struct {
	step  int
	what  string
	files func() files
}

// moments returns the moments of a step: after the write, after half of it, and after a power cut.
func (r recording) moments(step int, random *rand.Rand) []moment {
	seed := random.Uint64()
	list := []moment{
		{step, "whole", func() files { return r.at(step, 1) }},
		{step, "power cut", func() files {
			luck := rand.New(rand.NewPCG(seed, uint64(step)))
			return r.cut(step, func() bool { return luck.IntN(2) == 0 })
		}},
	}
	if r.notes[step].Kind == wrote && len(r.notes[step].Data) > 1 {
		list = append(list, moment{step, "half", func() files { return r.at(step, 0.5) }})
	}
	return list
}
