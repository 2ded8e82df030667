package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/store"
)

// CopyTable is a table that exists while another store is copied to this one. Open refuses such a store: it may hold
// an account already but not yet its throttle counts, used one-time values or sessions.
const CopyTable = "gatehouse_transfer"

// ErrIncomplete means that the copy of another store to this one was not completed.
var ErrIncomplete = errors.New("the store is not complete")

// Maintenance returns the writing connections, for moving, checking and backing up a store as a whole. On SQLite
// there is exactly one, so holding it blocks every change of this process.
func (d *DB) Maintenance() *sql.DB { return d.writer }

// refuseIncomplete returns an error for a store with an incomplete copy.
func (d *DB) refuseIncomplete(ctx context.Context) error {
	if d.opts.Resume {
		return nil
	}
	query := `SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '` + CopyTable + `'`
	if d.dia.engine == EnginePostgres {
		query = `SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = '` + CopyTable + `'`
	}
	var one int64
	err := d.writer.QueryRowContext(ctx, query).Scan(&one)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return unavailable("open the store "+d.info.Location, err)
	}
	return fmt.Errorf("%w: %w: moving another store to %s was interrupted: run the same \"store migrate\" again, which "+
		"goes on where it stopped, or name the store that was to be moved, which is as it was",
		store.ErrUnavailable, ErrIncomplete, d.info.Location)
}
