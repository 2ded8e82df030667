package sqlstore

import (
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// The engines.
const (
	EngineSQLite   = "sqlite"
	EnginePostgres = "postgres"
)

// dialect is what differs between the engines.
type dialect struct {
	engine string
	goose  goose.Dialect
	// contains is the SQL function that finds a substring, without the wildcards of LIKE: the search text is user input.
	contains string
	// unindexed is the prefix that keeps a column's index from being used; empty where the planner decides well.
	unindexed string
	// usersMatching returns the set of users whose search text contains a part of at least three characters,
	// usersInGroup the members of a group. Both may contain false positives: the filter checks again.
	usersMatching func(part string) set
	usersInGroup  func(group string) set
	// clock is the SQL expression for the server's time in Unix milliseconds; empty where the server shares this
	// machine's clock.
	clock string
	// keyType replaces the mark of a key column in the schema.
	keyType string
	// hasVersionTable returns a row if the schema exists.
	hasVersionTable string
	// beginMigration starts the transaction of a migration and takes the locks: one process migrates, and no change runs
	// meanwhile.
	beginMigration []string
}

// migrationLock is the key of the advisory lock under which PostgreSQL is migrated: "gatehous" in ASCII.
const migrationLock = 0x6761746568_6f7573

func sqliteDialect() dialect {
	return dialect{
		engine:    EngineSQLite,
		goose:     goose.DialectSQLite3,
		contains:  "instr",
		unindexed: "+",
		usersMatching: func(part string) set {
			phrase := `search : "` + strings.ReplaceAll(part, `"`, `""`) + `"` // a phrase contains no operators
			return set{query: `SELECT m.user_id FROM user_search s JOIN user_search_rows m ON m.num = s.rowid
				WHERE s.user_search MATCH %s`, values: []any{phrase}}
		},
		usersInGroup: func(group string) set {
			return set{query: `SELECT g.user_id FROM user_search_groups g WHERE g.name = %s`, values: []any{group}}
		},
		hasVersionTable: `SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '` + versionTable + `'`,
		beginMigration:  []string{"BEGIN IMMEDIATE"},
	}
}

func postgresDialect() dialect {
	return dialect{
		engine:   EnginePostgres,
		goose:    goose.DialectPostgres,
		contains: "strpos",
		clock:    `CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`,
		usersMatching: func(part string) set {
			return set{query: `SELECT s.user_id FROM user_search s WHERE s.search @> gatehouse_grams(%s)`, values: []any{part}}
		},
		usersInGroup: func(group string) set { // truncated like in the index
			return set{
				query:  `SELECT s.user_id FROM user_search s WHERE s.group_names @> ARRAY[left(%s, 254)]`,
				values: []any{group},
			}
		},
		keyType: `COLLATE "C"`,
		hasVersionTable: `SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = '` +
			versionTable + `'`,
		// Keepalives first, so that the server detects within a minute that this machine is gone. Then a transaction lock,
		// not a session lock: behind a pooler a session belongs to no client. Then the lock of all changes (lockChanges): a
		// migration locks tables in another order, which would deadlock.
		beginMigration: []string{
			"BEGIN",
			`SELECT set_config('tcp_keepalives_idle', '20', true),
				set_config('tcp_keepalives_interval', '10', true), set_config('tcp_keepalives_count', '3', true)`,
			fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", migrationLock),
			`DO $$ BEGIN
				IF to_regclass('change_counter') IS NOT NULL THEN PERFORM seq FROM change_counter WHERE id = 1 FOR UPDATE; END IF;
			END $$`,
		},
	}
}

// sorted returns the key of an order as an expression for which no planner uses the order's index.
func (dia dialect) sorted(o order) string {
	switch {
	case dia.engine == EngineSQLite:
		return dia.unindexed + o.key
	case o.isTime:
		return "(" + o.key + " + 0)"
	}
	return "(" + o.key + " || '')"
}

// where collects conditions and their arguments. Conditions come from this package only; values are passed as
// arguments.
type where struct {
	terms []string
	args  []any
}

// arg adds a value and returns its placeholder.
func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d", len(w.args))
}

// add adds a condition whose %s are the placeholders of values.
func (w *where) add(condition string, values ...any) {
	marks := make([]any, len(values))
	for i, v := range values {
		marks[i] = w.arg(v)
	}
	w.terms = append(w.terms, fmt.Sprintf(condition, marks...))
}

// String returns the WHERE clause, with a space before it, or nothing.
func (w *where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}
