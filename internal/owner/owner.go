// Package owner checks who controls a file: a user who owns it, or may replace it, can read and change it whatever
// its current mode.
//
// It matters for files that hold secrets or determine who may sign in. A planted file of another user is refused and
// not taken over with chown: its owner may hold it open.
package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrForeign is matched by the error for a file or directory that a user other than root and this one controls.
var ErrForeign = errors.New("another user decides about it")

// maxLinks bounds a chain of symbolic links, like the kernel.
const maxLinks = 40

// CheckFile refuses a file that another user owns, or in a directory that CheckFolder refuses. The same applies to each
// symbolic link on the way. For a missing file only the directory is checked, and a missing directory is accepted:
// this user will create and own it.
func CheckFile(path string) error {
	for range maxLinks {
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return CheckFolder(filepath.Dir(path))
		case err != nil:
			return err
		}
		if err := errors.Join(checkOwner(path, info), CheckFolder(filepath.Dir(path))); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return nil
		}
		if path, err = target(path); err != nil {
			return err
		}
	}
	return fmt.Errorf("too many symbolic links lead to %s", path)
}

// CheckFolder refuses a directory that another user owns, one in which everyone may replace files, and one behind
// another user's symbolic link.
func CheckFolder(path string) error {
	if err := checkLinks(path, maxLinks); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := checkOwner(path, info); err != nil {
		return err
	}
	if isWorldWritable(info) {
		return fmt.Errorf("%w: in the folder %s everyone may replace files: "+
			"take that right away (chmod o-w), or use a folder of its own in it", ErrForeign, path)
	}
	return nil
}

// UnsafeParents returns the parents of path's directory that another user owns or everyone may write to. Who controls
// one of them can move away the directories below, but not read them.
func UnsafeParents(path string) []string {
	var list []string
	for dir := filepath.Dir(filepath.Dir(path)); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && (checkOwner(dir, info) != nil || isWorldWritable(info)) {
			list = append(list, dir)
		}
		if dir == filepath.Dir(dir) {
			return list
		}
	}
}

// checkLinks refuses a symbolic link of another user anywhere in the path of a directory.
func checkLinks(path string, remaining int) error {
	if path == filepath.Dir(path) {
		return nil
	}
	if remaining == 0 {
		return fmt.Errorf("too many symbolic links lead to %s", path)
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if err := checkOwner(path, info); err != nil {
			return err
		}
		to, err := target(path)
		if err != nil {
			return err
		}
		if err := checkLinks(to, remaining-1); err != nil {
			return err
		}
	}
	return checkLinks(filepath.Dir(path), remaining)
}

// target returns the target of a symbolic link.
func target(link string) (string, error) {
	to, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(to) {
		// Resolved, since ".." in a link is relative to the real directory.
		dir, err := filepath.EvalSymlinks(filepath.Dir(link))
		if err != nil {
			return "", err
		}
		to = filepath.Join(dir, to)
	}
	return to, nil
}
