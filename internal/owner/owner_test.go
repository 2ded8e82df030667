package owner_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
)

// stranger is a user other than root and the one that runs the tests.
const stranger = 54321

// give gives a file or link to the stranger.
func give(t *testing.T, path string) {
	t.Helper()
	if err := os.Lchown(path, stranger, stranger); err != nil {
		t.Fatalf("this test gives files to another user, which takes root: %v", err)
	}
}

// sharedFolder returns a directory in a world-accessible one, and a file in it.
func sharedFolder(t *testing.T) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ours")
	file = filepath.Join(dir, "file")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(file, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func link(t *testing.T, to, at string) string {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
	return at
}

func mode(t *testing.T, path string, m fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, m); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatAnotherUserControlsAreRefused(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(t *testing.T, dir, file string) string{
		"the file is another user's": func(t *testing.T, _, file string) string { give(t, file); return file },
		"and all may write it":       func(t *testing.T, _, file string) string { give(t, file); mode(t, file, 0o666); return file },
		"the folder is another user's": func(t *testing.T, dir, file string) string {
			give(t, dir)
			return file
		},
		"the folder is another user's, the file is not there": func(t *testing.T, dir, _ string) string {
			give(t, dir)
			return filepath.Join(dir, "none")
		},
		"all may replace it": func(t *testing.T, dir, file string) string { mode(t, dir, 0o777); return file },
		"another user's in a 1777": func(t *testing.T, dir, file string) string {
			mode(t, dir, 0o777|fs.ModeSticky)
			give(t, file)
			return file
		},
		"all may make it": func(t *testing.T, dir, _ string) string { mode(t, dir, 0o777); return filepath.Join(dir, "none") },
		"a link of another user's": func(t *testing.T, dir, file string) string {
			l := link(t, file, filepath.Join(dir, "link"))
			give(t, l)
			return l
		},
		"a link to another user's": func(t *testing.T, dir, file string) string {
			give(t, file)
			return link(t, file, filepath.Join(dir, "link"))
		},
		"a relative link to one": func(t *testing.T, dir, file string) string {
			give(t, file)
			return link(t, "file", filepath.Join(dir, "link"))
		},
		"a link that all may change": func(t *testing.T, dir, file string) string {
			return link(t, file, filepath.Join(worldWritable(t), "link"))
		},
		"a folder by a link of another user's": func(t *testing.T, dir, file string) string {
			l := link(t, dir, filepath.Join(filepath.Dir(dir), "link"))
			give(t, l)
			return filepath.Join(l, "file")
		},
		"a folder further up by such a link": func(t *testing.T, dir, file string) string {
			below := filepath.Join(dir, "below")
			if err := os.Mkdir(below, 0o700); err != nil {
				t.Fatal(err)
			}
			l := link(t, dir, filepath.Join(filepath.Dir(dir), "link"))
			give(t, l)
			return filepath.Join(l, "below", "none")
		},
		"a link to nothing in another user's folder": func(t *testing.T, dir, file string) string {
			theirs := filepath.Join(dir, "theirs")
			if err := os.Mkdir(theirs, 0o700); err != nil {
				t.Fatal(err)
			}
			give(t, theirs)
			return link(t, filepath.Join(theirs, "none"), filepath.Join(dir, "link"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := sharedFolder(t)
			path := set(t, dir, file)
			if err := owner.CheckFile(path); !errors.Is(err, owner.ErrForeign) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// worldWritable creates a directory in which everyone may replace files.
func worldWritable(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mode(t, dir, 0o777)
	return dir
}

func TestOwnFilesAreAccepted(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(t *testing.T, dir, file string) string{
		"a file":                func(_ *testing.T, _, file string) string { return file },
		"one that is not there": func(_ *testing.T, dir, _ string) string { return filepath.Join(dir, "none") },
		"nor its folder":        func(_ *testing.T, dir, _ string) string { return filepath.Join(dir, "a", "b", "none") },
		"ours in a 1777":        func(t *testing.T, dir, file string) string { mode(t, dir, 0o777|fs.ModeSticky); return file },
		"a group's folder":      func(t *testing.T, dir, file string) string { mode(t, dir, 0o770|fs.ModeSetgid); return file },
		"a link": func(t *testing.T, dir, file string) string {
			return link(t, file, filepath.Join(dir, "link"))
		},
		"a relative link": func(t *testing.T, dir, _ string) string {
			return link(t, "../ours/file", filepath.Join(dir, "link"))
		},
		"a folder by a link": func(t *testing.T, dir, _ string) string {
			return filepath.Join(link(t, dir, filepath.Join(filepath.Dir(dir), "l")), "file")
		},
		"a stranger's folder above": func(t *testing.T, dir, file string) string { give(t, filepath.Dir(dir)); return file },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := sharedFolder(t)
			if err := owner.CheckFile(set(t, dir, file)); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCircularLinksAreRefused(t *testing.T) {
	t.Parallel()
	dir, _ := sharedFolder(t)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	link(t, a, b)
	link(t, b, a)
	if err := owner.CheckFile(a); err == nil {
		t.Error("a circle leads to a file")
	}
	if err := owner.CheckFile(filepath.Join(a, "x")); err == nil {
		t.Error("a circle leads to a folder")
	}
}

func TestUnsafeParentsReturnsFoldersOfOthers(t *testing.T) {
	t.Parallel()
	dir, file := sharedFolder(t)
	if list := owner.UnsafeParents(file); len(list) != 0 {
		t.Errorf("without a reason: %v", list)
	}
	give(t, filepath.Dir(dir))
	if list := owner.UnsafeParents(file); len(list) != 1 || list[0] != filepath.Dir(dir) {
		t.Errorf("got %v", list)
	}
}
