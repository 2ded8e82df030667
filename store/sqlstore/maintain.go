package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/store"
)

// FillingTable is a table that exists while a store is filled from another one. Open refuses such a store: it may hold
// an account already and not yet the throttle counts, the spent one-time values or the rest of its sessions.
const FillingTable = "gatehouse_transfer"

// ErrFilling: the store is being filled from another one, and that has not come to its end.
var ErrFilling = errors.New("the store is not complete")

// Maintenance returns the connections that write, beneath the contract: for moving, checking and backing up a store
// as a whole. On SQLite there is exactly one, so that whoever holds it keeps every change of this process waiting.
func (d *DB) Maintenance() *sql.DB { return d.writer }

// refuseFilling returns an error for a store that is being filled.
func (d *DB) refuseFilling(ctx context.Context) error {
	if d.opts.Filling {
		return nil
	}
	query := `SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '` + FillingTable + `'`
	if d.dia.engine == EnginePostgres {
		query = `SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = '` + FillingTable + `'`
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
		"goes on where it stopped, or name the store that was to be moved, which is as it was", store.ErrUnavailable, ErrFilling, d.info.Location)
}
