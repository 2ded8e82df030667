package crash

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// kindOf is the kind of a note in a recording.
type kindOf string

const (
	opened       kindOf = "open"     // the file was created
	wrote        kindOf = "write"    // Data at Offset
	truncated    kindOf = "truncate" // to Offset bytes
	synced       kindOf = "sync"
	deleted      kindOf = "delete"
	acknowledged kindOf = "ack" // Name and Data were acknowledged
)

// note is one step of a recording. Name is the name of the file, without its directory.
type note struct {
	Kind   kindOf
	Name   string
	Offset int64
	Data   []byte
}

// recorder records SQLite's operations on the files in a directory.
type recorder struct {
	mu    sync.Mutex
	dir   string
	out   *bufio.Writer
	enc   *gob.Encoder
	file  *os.File
	err   error
	names map[uintptr]string // open files
}

// rec is the recorder of this process: SQLite's VFS is global, too.
var rec *recorder

func (r *recorder) add(n note) {
	if r.err == nil {
		r.err = r.enc.Encode(n)
	}
}

// ack records that something was acknowledged: all later notes happened after it.
func (r *recorder) ack(name, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(note{Kind: acknowledged, Name: name, Data: []byte(value)})
}

func (r *recorder) close() error { return errors.Join(r.err, r.out.Flush(), r.file.Close()) }

// within returns the name of a file in the recorded directory.
func (r *recorder) within(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, r.dir+string(filepath.Separator))
	return rest, ok && !strings.ContainsRune(rest, filepath.Separator)
}

// The VFS is SQLite's default one with a few functions replaced: each records the call and passes it on.
var (
	original        sqlite3.Tsqlite3_vfs
	methods         = make(map[uintptr]*sqlite3.Tsqlite3_io_methods) // SQLite's → ours
	originalMethods = make(map[uintptr]uintptr)                      // an open file → SQLite's
)

// record installs the recorder below every connection of this process.
func record(dir, out string) (*recorder, error) {
	f, err := os.Create(out)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewWriter(f)
	rec = &recorder{dir: dir, out: buffered, enc: gob.NewEncoder(buffered), file: f, names: make(map[uintptr]string)}
	tls := libc.NewTLS()
	defer tls.Close()
	vfs := at[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(tls, 0))
	if vfs == nil {
		return nil, errors.New("SQLite has no layer for files")
	}
	original = *vfs
	vfs.FxOpen, vfs.FxDelete = pointer(openFile), pointer(deleteFile)
	return rec, nil
}

// at converts an address of SQLite's memory to a pointer.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// pointer converts a function to a C function pointer; see cFuncPointer in modernc.org/sqlite.
func pointer[T any](f T) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f T }{f})) }

// function converts a C function pointer to a function.
func function[T any](p uintptr) T { return *(*T)(unsafe.Pointer(&struct{ p uintptr }{p})) }

func openFile(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	code := function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](original.FxOpen)(tls, vfs, name,
		file, flags, out)
	if code != sqlite3.SQLITE_OK || name == 0 {
		return code
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if short, ok := rec.within(libc.GoString(name)); ok {
		rec.add(note{Kind: opened, Name: short})
		rec.names[file] = short
		theirs := at[sqlite3.Tsqlite3_file](file).FpMethods
		if methods[theirs] == nil {
			ours := *at[sqlite3.Tsqlite3_io_methods](theirs)
			ours.FxWrite, ours.FxTruncate, ours.FxSync, ours.FxClose = pointer(writeFile), pointer(truncateFile), pointer(syncFile), pointer(closeFile)
			methods[theirs] = &ours
		}
		originalMethods[file] = theirs
		at[sqlite3.Tsqlite3_file](file).FpMethods = uintptr(unsafe.Pointer(methods[theirs]))
	}
	return code
}

// calls returns SQLite's original functions for an open file, and its name. The lock keeps the notes in the order of
// the writes.
func calls(file uintptr) (*sqlite3.Tsqlite3_io_methods, string) {
	return at[sqlite3.Tsqlite3_io_methods](originalMethods[file]), rec.names[file]
}

func writeFile(tls *libc.TLS, file, buf uintptr, size int32, offset int64) int32 {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	m, name := calls(file)
	data := append([]byte(nil), unsafe.Slice(at[byte](buf), int(size))...)
	code := function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](m.FxWrite)(tls, file, buf, size, offset)
	rec.add(note{Kind: wrote, Name: name, Offset: offset, Data: data})
	return code
}

func truncateFile(tls *libc.TLS, file uintptr, size int64) int32 {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	m, name := calls(file)
	code := function[func(*libc.TLS, uintptr, int64) int32](m.FxTruncate)(tls, file, size)
	rec.add(note{Kind: truncated, Name: name, Offset: size})
	return code
}

func syncFile(tls *libc.TLS, file uintptr, flags int32) int32 {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	m, name := calls(file)
	code := function[func(*libc.TLS, uintptr, int32) int32](m.FxSync)(tls, file, flags)
	rec.add(note{Kind: synced, Name: name})
	return code
}

func closeFile(tls *libc.TLS, file uintptr) int32 {
	rec.mu.Lock()
	m, _ := calls(file)
	delete(rec.names, file)
	delete(originalMethods, file)
	rec.mu.Unlock()
	return function[func(*libc.TLS, uintptr) int32](m.FxClose)(tls, file)
}

func deleteFile(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32 {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	code := function[func(*libc.TLS, uintptr, uintptr, int32) int32](original.FxDelete)(tls, vfs, name, syncDir)
	if short, ok := rec.within(libc.GoString(name)); ok && code == sqlite3.SQLITE_OK {
		rec.add(note{Kind: deleted, Name: short})
	}
	return code
}

// readNotes reads a recording.
func readNotes(path string) ([]note, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := gob.NewDecoder(bufio.NewReader(f))
	var list []note
	for {
		var n note
		if err := d.Decode(&n); err != nil {
			if len(list) > 0 && strings.Contains(err.Error(), "EOF") {
				return list, nil
			}
			return nil, fmt.Errorf("reading the notes: %w", err)
		}
		list = append(list, n)
	}
}
