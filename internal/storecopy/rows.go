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
// form, and the hashes are added (modulo 2^256). Adding, unlike exclusive or, also tells a row that is there twice.
type Sum [sha256.Size]byte

// String returns the beginning of the sum, enough to compare by eye.
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

// size is about how many bytes the row takes.
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

// hash hashes the row. Lengths keep ("ab", "c") and ("a", "bc") apart.
func (r row) hash(buf []byte) ([sha256.Size]byte, []byte) {
	buf = buf[:0]
	for _, v := range r {
		switch v := v.(type) {
		case int64:
			buf = append(buf, byte(number))
			buf = binary.BigEndian.AppendUint64(buf, uint64(v))
		case string:
			buf = append(buf, byte(text))
			buf = binary.BigEndian.AppendUint64(buf, uint64(len(v)))
			buf = append(buf, v...)
		}
	}
	return sha256.Sum256(buf), buf
}

// key returns the values of the primary key.
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

// each reads the rows behind a key (all of them for nil) in the order of the keys. Keys compare byte by byte on both
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

// read takes values as the drivers give them. SQLite keeps any type in any column, and bytes that are no text in a text:
// PostgreSQL would refuse them in the middle of a batch, without a word about where.
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

// DamageError says that a value is not of the kind that its column holds. It does not repeat the value.
type DamageError struct{ Table, Column string }

func (e *DamageError) Error() string {
	return fmt.Sprintf("a row of the table %s holds a malformed value in the column %s: find it with the engine's own "+
		"tool and put it right, or restore a backup", e.Table, e.Column)
}

// Content tells what a table holds.
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

// What a batch holds at most, unless [Options] say less. A row with sealed tokens can have hundreds of kilobytes.
const (
	batchRows  = 1000
	batchBytes = 4 << 20
)

// How many arguments one INSERT has. PostgreSQL takes 65535 and gains by few round trips. SQLite looks for the name of
// each among all names before it, so that many make it slow.
const (
	postgresArgs = 16_000
	sqliteArgs   = 400
)

// batches reads the rows behind a key and gives them out in batches of at most so many rows.
func (t table) batches(ctx context.Context, q queryer, after []any, most int, flush func([]row) error) error {
	var batch []row
	size := 0
	err := t.each(ctx, q, after, func(r row) error {
		batch, size = append(batch, r), size+r.size()
		if len(batch) < most && size < batchBytes {
			return nil
		}
		err := flush(batch)
		batch, size = batch[:0], 0
		return err
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return flush(batch)
}

// insert writes rows, in as many statements as the engine likes.
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
