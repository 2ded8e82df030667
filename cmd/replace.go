package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// create writes a new file, never an existing one, nor through a planted symbolic link.
func create(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already and is left as it is", path)
	}
	if err != nil {
		return err
	}
	if err := writeAndClose(f, data); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// replace replaces a file's content atomically, and keeps its mode and owner: a file that the server can no longer
// read would prevent its next start.
func replace(path string, data []byte) error {
	path, err := filepath.EvalSymlinks(path) // keep a symbolic link
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".gatehouse-*") // 0600
	if err != nil {
		return fmt.Errorf("writing beside %s: %w", path, err)
	}
	drop := func(err error) error {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(tmp.Name()))
	}
	if err := errors.Join(keepOwner(tmp, info), tmp.Chmod(info.Mode().Perm())); err != nil {
		return errors.Join(drop(err), tmp.Close())
	}
	if err := writeAndClose(tmp, data); err != nil {
		return drop(err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return drop(err)
	}
	return syncDir(filepath.Dir(path))
}

// writeAndClose writes data and syncs it to disk.
func writeAndClose(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
