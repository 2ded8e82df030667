package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// workers are the functions that a process can run until it is killed. Each reports what was acknowledged on standard
// output, in lines that are written at once.
var workers = map[string]func(ctx context.Context, dir string) error{
	"load":   load,
	"locked": func(_ context.Context, dir string) error { return locked(filepath.Join(dir, storeName)) },
}

// reportLine writes a line for the killing process. A write of this length to a pipe is atomic (pipe(7)).
func reportLine(what, value string) error {
	_, err := os.Stdout.WriteString(what + "\t" + value + "\n")
	return err
}

// parseReports parses what a process reported until it was killed.
func parseReports(output string) []note {
	var list []note
	for line := range strings.Lines(output) {
		if what, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok && strings.HasSuffix(line, "\n") {
			list = append(list, note{Kind: acknowledged, Name: what, Data: []byte(value)})
		}
	}
	return list
}

// load changes a store as fast as it can.
func load(ctx context.Context, dir string) error {
	return with(ctx, options(filepath.Join(dir, storeName)), func(db *sqlstore.DB) error {
		// Checkpoint after every few commits, so that many kills happen during that.
		if _, err := db.Maintenance().ExecContext(ctx, `PRAGMA wal_autocheckpoint = 60`); err != nil {
			return err
		}
		if err := reportLine("ready", ""); err != nil {
			return err
		}
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = loadOne(ctx, db, i) })
		}
		wg.Wait()
		return errors.Join(errs...)
	})
}

// loadOne creates sessions and ends every second one, until something fails. Names continue where an earlier process
// stopped.
func loadOne(ctx context.Context, db *sqlstore.DB, number int) error {
	last := ""
	for i := 0; ; i++ {
		var token string
		name := fmt.Sprintf("load%d-%s", number, strings.ToLower(store.NewID(time.Now())))
		err := db.Change(ctx, func(tx store.Tx) (err error) {
			if token, err = person(ctx, tx, name, store.RoleUser); err != nil {
				return err
			}
			return tx.SetSetting(ctx, fmt.Sprintf("count%d", number), name)
		})
		if err := errors.Join(err, reportLine("begun "+token, "")); err != nil {
			return err
		}
		if last != "" && i%2 == 1 {
			if err := errors.Join(reportLine("ending "+last, ""), end(ctx, db, last),
				reportLine("ended "+last, "")); err != nil {
				return err
			}
		}
		last = token
	}
}

// The position of SQLite's shared lock in a file; see "os.h" of SQLite.
const (
	sharedFirst = 0x40000002
	sharedSize  = 510
)

// locked returns an error unless another process holds the shared lock on a store: while it is held, nobody else
// checkpoints and deletes the log.
func locked(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	shared := syscall.Flock_t{Type: syscall.F_WRLCK, Start: sharedFirst, Len: sharedSize}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &shared); err != nil {
		return err
	}
	if shared.Type == syscall.F_UNLCK {
		return errors.New("the other process has no lock on the store any more")
	}
	return nil
}
