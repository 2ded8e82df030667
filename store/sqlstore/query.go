package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// queryer is what *sql.DB, *sql.Tx and preparedPool have in common.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is the common part of *sql.Row and *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// maxPrepared bounds the number of prepared statements: lists have many variants.
const maxPrepared = 200

// preparedPool caches prepared statements by their text. SQLite takes about as long to compile a query as to run it,
// and sessions are resolved on the request path.
type preparedPool struct {
	*sql.DB
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

func newPreparedPool(db *sql.DB) *preparedPool {
	return &preparedPool{DB: db, stmts: make(map[string]*sql.Stmt)}
}

// stmt returns the prepared statement, or nil if there is none and the cache is full.
func (p *preparedPool) stmt(ctx context.Context, query string) *sql.Stmt {
	p.mu.RLock()
	s, full := p.stmts[query], len(p.stmts) >= maxPrepared
	p.mu.RUnlock()
	if s != nil || full {
		return s
	}
	s, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil // the query itself will return the error
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.stmts[query]; other != nil {
		_ = s.Close() //nolint:sqlclosecheck // the other one stays
		return other
	}
	p.stmts[query] = s
	return s
}

// QueryContext is that of [sql.DB], prepared.
func (p *preparedPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s := p.stmt(ctx, query); s != nil { //nolint:sqlclosecheck // the statement stays
		return s.QueryContext(ctx, args...)
	}
	return p.DB.QueryContext(ctx, query, args...)
}

// QueryRowContext is that of [sql.DB], prepared.
func (p *preparedPool) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s := p.stmt(ctx, query); s != nil { //nolint:sqlclosecheck // the statement stays
		return s.QueryRowContext(ctx, args...)
	}
	return p.DB.QueryRowContext(ctx, query, args...)
}

func (p *preparedPool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.stmts {
		errs = append(errs, s.Close())
	}
	clear(p.stmts)
	return errors.Join(errs...)
}

// collect runs a query and scans all its rows. The rows are closed when it returns: a PostgreSQL connection runs one
// query at a time.
func collect[T any](ctx context.Context, q queryer, scan func(scanner) (T, error), query string,
	args ...any,
) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return list, rows.Close()
}

// affected runs a statement and returns the number of affected rows.
func affected(ctx context.Context, q queryer, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
