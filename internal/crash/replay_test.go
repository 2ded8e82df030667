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

// files are the files of a store, by name. What SQLite keeps in -shm is memory, not data: it is not among them.
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

// apply does what a note says.
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

// recording is what happened to the files of a store, from how they were before.
type recording struct {
	name   string
	beside files // what the scenario needs and does not change
	before files
	notes  []note
}

// recordScenario lets a process of its own run a scenario and reads what was noted. The notes have to lead to the files
// that the process left, byte by byte: a write that was missed would be a moment that is not tried.
func recordScenario(t testing.TB, name string) recording {
	t.Helper()
	dir := folder(t)
	if err := scenarios[name].prepare(t.Context(), dir); err != nil {
		t.Fatalf("preparing: %v", err)
	}
	r := recording{name: name, beside: make(files)}
	for _, file := range []string{"source.db", "backup.db"} {
		if content, err := os.ReadFile(beside(dir, file)); err == nil {
			r.beside[file] = content
		}
	}
	var err error
	if r.before, err = readFiles(dir); err != nil {
		t.Fatal(err)
	}
	at := beside(dir, "notes")
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

// steps returns the notes after which the files are other than before.
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
		if n.Kind == acked {
			list = append(list, n)
		}
	}
	return list
}

// at returns the files as a kill at a step leaves them: part of the step's write is done, all of it for 1.
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

// sector is what a disk writes whole.
const sector = 512

// cut returns the files as a power cut after a step may leave them: of what was not synced since, keep decides for each
// sector whether it is there. Deleting takes everything before it along.
func (r recording) cut(step int, keep func() bool) files {
	synced := make(map[string]int) // the last step that is certainly on the disk
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
				f.apply(note{Kind: wrote, Name: n.Name, Offset: n.Offset + int64(from), Data: n.Data[from:min(from+sector, len(n.Data))]})
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

// moments returns those of a step: after the write, after half of it, and after a power cut.
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
