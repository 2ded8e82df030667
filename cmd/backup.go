package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/owner"
	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func backupCommand() *cobra.Command {
	return verb("backup <file>", "Writes a backup while Caddy runs",
		`Writes everything in the store, as it is at one moment, to a new file that only
its owner can read. Caddy goes on meanwhile. The file is a SQLite database, whichever
engine the store has; it appears when it is complete and has been read again. Keep it
as safe as the store: it holds password hashes and the keys of what is encrypted.`, cobra.ExactArgs(1), backup)
}

func restoreCommand() *cobra.Command {
	cmd := verb("restore <file>", "Fills the store from a backup",
		`Fills the store from a backup, in one transaction. The store has to be empty, or is
replaced as a whole with --replace. A running Caddy goes on with what was restored;
what it does while the backup is read has to wait, or fails.

Everybody has to sign in again, links that were sent have to be sent anew, and programs
need new tokens: since the backup was made, sessions may have been ended, links been used
and tokens been revoked. Where you know that nothing of that kind happened,
--keep-sessions and --keep-tokens bring them back.`, cobra.ExactArgs(1), restore)
	cmd.Flags().Bool("replace", false, "replace what the store holds")
	cmd.Flags().Bool("keep-sessions", false, "bring sessions and one-time links back, too")
	cmd.Flags().Bool("keep-tokens", false, "bring tokens of programs back, too")
	return cmd
}

func backup(c *call) error {
	file := absolute(c.args[0])
	return c.withStore(func(_ *sqlstore.DB, side storecopy.Side) error {
		fill := func(path string, copyTo func(storecopy.Side) error) error {
			opts := sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true}
			return c.openSide("new backup", opts, func(_ *sqlstore.DB, to storecopy.Side) error { return copyTo(to) })
		}
		err := storecopy.Backup(c.ctx, side, file, fill, storecopy.Options{Progress: c.progress()})
		if errors.Is(err, storecopy.ErrExists) {
			return fmt.Errorf("%w: a backup never replaces a file", err)
		}
		if err != nil {
			return err
		}
		return c.result(map[string]string{"file": file}, "%s", file)
	})
}

// grantTables are the tables whose rows grant access until they are used or ended, beside that of tokens. A backup does
// not know whether that has happened since.
var grantTables = []string{"sessions", "flows", "half_logins", "links", "device_grants", "trusted_browsers"}

func restore(c *call) (err error) {
	app, err := c.loadApp()
	if err != nil {
		return err
	}
	target, err := c.storeOptions(app)
	if err != nil {
		return err
	}
	dir, remove, err := storecopy.WorkFolder(os.TempDir(), "gatehouse-restore-")
	if err != nil {
		return fmt.Errorf("unpacking the backup (TMPDIR names another folder for it, such as one that mktemp -d made): %w",
			err)
	}
	defer func() {
		if rerr := remove(); rerr != nil && err == nil {
			err = fmt.Errorf("removing the unpacked backup at %s, which holds password hashes: %w", filepath.Clean(dir), rerr)
		}
	}()
	if ferr := owner.CheckFile(absolute(c.args[0])); errors.Is(ferr, owner.ErrForeign) {
		c.notef("note: whoever decides about the backup decides who can sign in: %v", ferr)
	}
	path, err := storecopy.Unpack(c.args[0], dir)
	if err != nil {
		return err
	}
	return c.restoreUnpacked(path, target)
}

// restoreUnpacked loads an unpacked backup into the store.
func (c *call) restoreUnpacked(path string, target sqlstore.Options) error {
	opts := storecopy.Options{
		Progress: c.progress(), Replace: c.boolFlag("replace"), NeedAdmin: true,
		Empty: []string{"changes"}, // change rows of the old store mean nothing to servers on this one
	}
	if !c.boolFlag("keep-sessions") {
		opts.Empty = append(opts.Empty, grantTables...)
	}
	if !c.boolFlag("keep-tokens") {
		opts.Empty = append(opts.Empty, "tokens")
	}
	unpacked := sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true} // an older schema is migrated
	whole := false
	err := c.openSide("unpacked backup", unpacked, func(_ *sqlstore.DB, from storecopy.Side) error {
		damage, err := storecopy.Damage(c.ctx, from)
		if err != nil || damage != "" {
			return errors.Join(err, errors.New(damage))
		}
		whole = true
		return c.restoreFrom(from, target, opts)
	})
	if errors.Is(err, sqlstore.ErrDamaged) && !whole {
		err = sqlstore.ErrDamaged // the advice for a store does not apply to a copy of a backup
	}
	if err != nil && !whole && c.ctx.Err() == nil {
		return fmt.Errorf("the backup %s cannot be read, and nothing was changed; take another one: %w", c.args[0], err)
	}
	return err
}

// restoreFrom loads an unpacked backup into the store.
func (c *call) restoreFrom(from storecopy.Side, target sqlstore.Options, opts storecopy.Options) error {
	return c.openSide("store", target, func(_ *sqlstore.DB, to storecopy.Side) error {
		content, err := storecopy.Load(c.ctx, from, to, opts)
		if errors.Is(err, storecopy.ErrNotEmpty) {
			return fmt.Errorf("%w: give --replace to replace everything in it", err)
		}
		if err != nil {
			return err
		}
		var accounts int64
		for _, t := range content {
			if t.Table == "users" {
				accounts = t.Rows
			}
		}
		return c.result(map[string]any{"tables": tablesJSON(content)}, "restored %d account(s)", accounts)
	})
}
