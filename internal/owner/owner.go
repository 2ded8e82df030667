// Package owner tells who decides about a file: whoever owns it, or may put another in its place, goes on reading and
// changing it whatever its mode says now.
//
// It matters for files that hold secrets or say who may sign in. A file that another user has left where ours is looked
// for is refused, not taken over: its owner may hold it open.
package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrForeign is matched by the refusal of a file or folder that somebody else than root and this user decides about.
var ErrForeign = errors.New("another user decides about it")

// maxLinks bounds a chain of symbolic links, as the kernel does.
const maxLinks = 40

// File refuses a file that another user owns, or that lies in a folder that Folder refuses. Each symbolic link that
// leads to it is held to the same. A file that is not there is judged by its folder, and a folder that is not there by
// nothing: whoever makes it owns it.
func File(path string) error {
	for range maxLinks {
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Folder(filepath.Dir(path))
		case err != nil:
			return err
		}
		if err := errors.Join(owned(path, info), Folder(filepath.Dir(path))); err != nil {
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

// Folder refuses a folder that another user owns, one in which everyone may replace the files of others, and one that a
// symbolic link of another user leads to.
func Folder(path string) error {
	if err := links(path, maxLinks); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := owned(path, info); err != nil {
		return err
	}
	if open(info) {
		return fmt.Errorf("%w: in the folder %s everyone may replace files: take that right away (chmod o-w), or use a folder of its own in it", ErrForeign, path)
	}
	return nil
}

// Above returns the folders above path's folder that Folder would refuse for who owns them or may write there. Who
// decides about one of them can move away what is below, though not read it.
func Above(path string) []string {
	var list []string
	for dir := filepath.Dir(filepath.Dir(path)); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && (owned(dir, info) != nil || open(info)) {
			list = append(list, dir)
		}
		if dir == filepath.Dir(dir) {
			return list
		}
	}
}

// links refuses a link of another user anywhere in the path of a folder.
func links(path string, left int) error {
	if path == filepath.Dir(path) {
		return nil
	}
	if left == 0 {
		return fmt.Errorf("too many symbolic links lead to %s", path)
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if err := owned(path, info); err != nil {
			return err
		}
		to, err := target(path)
		if err != nil {
			return err
		}
		if err := links(to, left-1); err != nil {
			return err
		}
	}
	return links(filepath.Dir(path), left)
}

// target returns where a symbolic link leads.
func target(link string) (string, error) {
	to, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(to) {
		// Not the name of the folder but the folder itself: ".." in a link counts from where that really is.
		dir, err := filepath.EvalSymlinks(filepath.Dir(link))
		if err != nil {
			return "", err
		}
		to = filepath.Join(dir, to)
	}
	return to, nil
}
