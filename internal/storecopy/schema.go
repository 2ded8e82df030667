package storecopy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Side is the database of a store.
type Side struct {
	DB       *sql.DB
	Engine   string // "sqlite" or "postgres"
	Location string // for display; holds no secret
}

func (s Side) postgres() bool { return s.Engine == "postgres" }

// Tables that are not content.
const (
	versionTable  = "gatehouse_schema"
	copyTableName = "gatehouse_transfer"
)

// kind is the type of a column. The schema uses text and integers only.
type kind byte

const (
	text   kind = 't'
	number kind = 'n'
)

// column is a column of a table.
type column struct {
	name string
	kind kind
}

// reference says that a column names a row of another table.
type reference struct{ column, table, to string }

// table describes a table.
type table struct {
	name       string
	columns    []column // sorted by name, since their order depends on migrations
	key        []column // primary key, in its order
	references []reference
}

func (t table) column(name string) (column, bool) {
	i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return column{}, false
	}
	return t.columns[i], true
}

func names(columns []column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = quote(c.name)
	}
	return strings.Join(list, ", ")
}

// quote quotes an identifier that was read from the schema.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// queryer is a connection or a transaction.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Queries of the engines' catalogs. Each returns rows of four texts: table, column and more.
const (
	// The text index is a set of tables filled by triggers, and not content.
	sqliteColumns = `SELECT m.name, c.name, lower(c.type), CAST(c.pk AS TEXT)
		FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT GLOB 'sqlite_*' AND m.name NOT GLOB 'user_search*'
		ORDER BY m.name, c.name`
	sqliteReferences = `SELECT m.name, f."from", f."table", f."to" FROM sqlite_master m, pragma_foreign_key_list(m.name) f
		WHERE m.type = 'table' AND m.name NOT GLOB 'sqlite_*' ORDER BY m.name, f."from"`
	postgresColumns = `SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL),
		coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)::text
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relname NOT LIKE 'user\_search%'
		ORDER BY 1, a.attname COLLATE "C"`
	postgresReferences = `SELECT c.relname::text, a.attname::text, r.relname::text, b.attname::text
		FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class r ON r.oid = f.confrelid
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.conkey[1]
		JOIN pg_catalog.pg_attribute b ON b.attrelid = r.oid AND b.attnum = f.confkey[1]
		WHERE f.contype = 'f' AND n.nspname = current_schema() AND c.relname NOT LIKE 'user\_search%' ORDER BY 1, 2`
)

// schema reads the tables; those that others refer to come first.
func (s Side) schema(ctx context.Context, q queryer) ([]table, error) {
	columnsOf, referencesOf := sqliteColumns, sqliteReferences
	if s.postgres() {
		columnsOf, referencesOf = postgresColumns, postgresReferences
	}
	tables := make(map[string]*table)
	keys := make(map[string]map[string]column)
	err := queryTexts(ctx, q, columnsOf, func(name, col, typ, pos string) error {
		if name == versionTable || name == copyTableName {
			return nil
		}
		t := tables[name]
		if t == nil {
			t = &table{name: name}
			tables[name], keys[name] = t, make(map[string]column)
		}
		k, err := kindOf(typ)
		if err != nil {
			return fmt.Errorf("the column %s of the table %s in %s: %w", col, name, s.Location, err)
		}
		t.columns = append(t.columns, column{col, k})
		if pos != "0" {
			keys[name][pos] = column{col, k}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tables of %s: %w", s.Location, err)
	}
	err = queryTexts(ctx, q, referencesOf, func(name, col, to, toCol string) error {
		if t := tables[name]; t != nil {
			t.references = append(t.references, reference{col, to, toCol})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tables of %s: %w", s.Location, err)
	}
	for name, t := range tables {
		for i := range len(keys[name]) {
			t.key = append(t.key, keys[name][strconv.Itoa(i+1)])
		}
	}
	return ordered(tables)
}

func kindOf(typ string) (kind, error) {
	switch typ {
	case "text":
		return text, nil
	case "bigint", "integer":
		return number, nil
	}
	return 0, fmt.Errorf("values of the type %q can't be moved", typ)
}

// ordered sorts tables for inserting: referenced tables come first.
func ordered(tables map[string]*table) ([]table, error) {
	pending := make([]string, 0, len(tables))
	for name := range tables {
		pending = append(pending, name)
	}
	slices.Sort(pending)
	var list []table
	done := make(map[string]bool)
	for len(pending) > 0 {
		ready := slices.IndexFunc(pending, func(name string) bool {
			return !slices.ContainsFunc(tables[name].references,
				func(r reference) bool { return !done[r.table] && r.table != name })
		})
		if ready < 0 {
			return nil, errors.New("the tables refer to each other in a circle")
		}
		list, done[pending[ready]] = append(list, *tables[pending[ready]]), true
		pending = slices.Delete(pending, ready, ready+1)
	}
	return list, nil
}

// queryTexts runs a query with four text columns.
func queryTexts(ctx context.Context, q queryer, query string, each func(a, b, c, d string) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b, c, d string
		if err := rows.Scan(&a, &b, &c, &d); err != nil {
			return err
		}
		if err := each(a, b, c, d); err != nil {
			return err
		}
	}
	return rows.Err()
}

// matchSchemas returns the tables of the source after checking that the target has the same. Additional tables of the
// target are ignored: a PostgreSQL schema may be shared.
func matchSchemas(from, to []table) ([]table, error) {
	if len(from) == 0 {
		return nil, errors.New("there is no table in the source")
	}
	for _, t := range from {
		i := slices.IndexFunc(to, func(o table) bool { return o.name == t.name })
		if i < 0 {
			return nil, fmt.Errorf("the target has no table %s: bring both stores to the same version, or move tables "+
				"that are not Gatehouse's to another schema", t.name)
		}
		if !slices.Equal(t.columns, to[i].columns) || !slices.Equal(t.key, to[i].key) {
			return nil, fmt.Errorf("the table %s has other columns in the target: bring both stores to the same version", t.name)
		}
		if len(t.key) == 0 {
			return nil, fmt.Errorf("the table %s has no primary key, so its rows can't be told apart", t.name)
		}
	}
	return from, nil
}
