package sqlstore

import (
	"context"
	"time"
)

// reader implements [store.Reader]; run runs a query inside or outside of a transaction.
type reader struct {
	run func(ctx context.Context, op string, fn func(ctx context.Context, q queryer) error) error
	dia *dialect
	now func() time.Time
	// budget bounds what a page of a list may cost.
	budget *searchBudget
}

// one runs a query for one row.
func one[T any](ctx context.Context, r reader, op string, scan func(scanner) (T, error), query string,
	args ...any,
) (T, error) {
	var v, zero T
	err := r.run(ctx, op, func(ctx context.Context, q queryer) error {
		var err error
		v, err = scan(q.QueryRowContext(ctx, query, args...))
		return err
	})
	if err != nil {
		return zero, err
	}
	return v, nil
}

// all runs a query for any number of rows.
func all[T any](ctx context.Context, r reader, op string, scan func(scanner) (T, error), query string,
	args ...any,
) ([]T, error) {
	var list []T
	err := r.run(ctx, op, func(ctx context.Context, q queryer) error {
		var err error
		list, err = collect(ctx, q, scan, query, args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func scanInt(s scanner) (n int, err error) {
	err = s.Scan(&n)
	return n, err
}

func scanText(s scanner) (text string, err error) {
	err = s.Scan(&text)
	return text, err
}

// Setting implements [store.Reader].
func (r reader) Setting(ctx context.Context, key string) (string, error) {
	if !storable(key) {
		return "", errBadText
	}
	return one(ctx, r, "read a setting", scanText, `SELECT value FROM settings WHERE name = $1`, key)
}
