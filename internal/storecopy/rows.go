package storecopy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// Sum is a checksum over the rows of a table that does not depend on their order: each row is hashed in one canonical
// form, and the hashes are added (modulo 2^256). Adding, unlike exclusive or, also detects duplicate rows.
type Sum [sha256.Size]byte

// String returns the beginning of the sum for display.
func (s Sum) String() string { return hex.EncodeToString(s[:8]) }

func (s *Sum) add(h [sha256.Size]byte) {
	var carry uint64
	for i := len(s) - 8; i >= 0; i -= 8 {
		var v uint64
		v, carry = bits.Add64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(h[i:]), carry)
		binary.BigEndian.PutUint64(s[i:], v)
	}
}

// row holds the values of a row, in the order of the table's columns: int64 or string.
type row []any

// size returns the approximate size of the row in bytes.
func (r row) size() int {
	n := 0
	for _, v := range r {
		n += 16
		if s, ok := v.(string); ok {
			n += len(s)
		}
	}
	return n
}

// hash hashes the row. Lengths make ("ab", "c") and ("a", "bc") different.
func (r row) hash(buf []byte) ([sha256.Size]byte, []byte) {
	buf = buf[:0]
	for _, v := range r {
		switch v := v.(type) {
		case int64:
			buf = append(buf, byte(number))
			buf = binary.BigEndian.AppendUint64(buf, uint64(v)) //nolint:gosec // its bits
		case string:
			buf = append(buf, byte(text))
			buf = binary.BigEndian.AppendUint64(buf, uint64(len(v)))
			buf = append(buf, v...)
		}
	}
	return sha256.Sum256(buf), buf
}

// keyOf returns the values of the primary key.
func (t table) keyOf(r row) []any {
	values := make([]any, len(t.key))
	for i, k := range t.key {
		for j, c := range t.columns {
			if c == k {
				values[i] = r[j]
			}
		}
	}
	return values
}

// each reads the rows after a key (all of them for nil) in the order of the keys. Keys compare bytewise on both
// engines.
func (t table) each(ctx context.Context, q queryer, after []any, do func(row) error) error {
	query := `SELECT ` + names(t.columns) + ` FROM ` + quote(t.name)
	if after != nil {
		query += ` WHERE (` + names(t.key) + `) > (` + marks(1, len(t.key)) + `)`
	}
	rows, err := q.QueryContext(ctx, query+` ORDER BY `+names(t.key), after...)
	if err != nil {
		return fmt.Errorf("reading the table %s: %w", t.name, err)
	}
	defer rows.Close()
	values := make([]any, len(t.columns))
	dest := make([]any, len(values))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return fmt.Errorf("reading the table %s: %w", t.name, err)
		}
		r, err := t.read(values)
		if err != nil {
			return err
		}
		if err := do(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the table %s: %w", t.name, err)
	}
	return nil
}

// read converts the drivers' values. SQLite stores any type in any column, and invalid UTF-8 in text: PostgreSQL
// would reject those in the middle of a batch, without saying where.
func (t table) read(values []any) (row, error) {
	r := make(row, len(values))
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		c := t.columns[i]
		switch v := v.(type) {
		case int64:
			if c.kind == number {
				r[i] = v
				continue
			}
		case string:
			if c.kind == text && utf8.ValidString(v) && strings.IndexByte(v, 0) < 0 {
				r[i] = v
				continue
			}
		}
		return nil, &DamageError{Table: t.name, Column: c.name}
	}
	return r, nil
}

// DamageError says that a value does not have the type of its column. It does not contain the value.
type DamageError struct{ Table, Column string }

func (e *DamageError) Error() string {
	return fmt.Sprintf("a row of the table %s holds a malformed value in the column %s: find it with the engine's own "+
		"tool and put it right, or restore a backup", e.Table, e.Column)
}

// Content is the number of rows and the checksum of a table.
type Content struct {
	Table string
	Rows  int64
	Sum   Sum
}

// content reads a whole table.
func (t table) content(ctx context.Context, q queryer) (Content, error) {
	c := Content{Table: t.name}
	var buf []byte
	err := t.each(ctx, q, nil, func(r row) error {
		var h [sha256.Size]byte
		h, buf = r.hash(buf)
		c.Sum.add(h)
		c.Rows++
		return nil
	})
	return c, err
}

// marks returns "$from, …" for n arguments.
func marks(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}

// The maximum size of a batch, unless [Options] lower it. A row with encrypted tokens can have hundreds of kilobytes.
const (
	batchRows  = 1000
	batchBytes = 4 << 20
)

// The number of arguments of one INSERT. PostgreSQL allows 65535 and gains from few round trips. SQLite searches all
// earlier names for the name of each, so many arguments are slow.
const (
	postgresArgs = 16_000
	sqliteArgs   = 400
)

// eachBatch reads the rows after a key and calls flush with batches of at most so many rows.
func (t table) eachBatch(ctx context.Context, q queryer, after []any, most int, syncPath func([]row) error) error {
	var batch []row
	size := 0
	err := t.each(ctx, q, after, func(r row) error {
		batch, size = append(batch, r), size+r.size()
		if len(batch) < most && size < batchBytes {
			return nil
		}
		err := syncPath(batch)
		batch, size = batch[:0], 0
		return err
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return syncPath(batch)
}

// insert writes rows, in statements of a size that suits the engine.
func (s Side) insert(ctx context.Context, q queryer, t table, rows []row) error {
	args := sqliteArgs
	if s.postgres() {
		args = postgresArgs
	}
	for part := range slices.Chunk(rows, max(1, args/len(t.columns))) {
		if err := t.insert(ctx, q, part); err != nil {
			return fmt.Errorf("writing the table %s: %w", t.name, err)
		}
	}
	return nil
}

func (t table) insert(ctx context.Context, q queryer, rows []row) error {
	var b strings.Builder
	b.WriteString(`INSERT INTO ` + quote(t.name) + ` (` + names(t.columns) + `) VALUES `)
	args := make([]any, 0, len(rows)*len(t.columns))
	for i, r := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + marks(len(args)+1, len(r)) + ")")
		args = append(args, r...)
	}
	_, err := q.ExecContext(ctx, b.String(), args...)
	return err
}
