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

// Finding is a fault of a store.
type Finding struct {
	Check  string `json:"check"`
	Detail string `json:"detail"`
}

// Report is the result of Check.
type Report struct {
	Tables   []Content
	Findings []Finding
	// Notes are not faults of the store: settings of the engine that weaken its durability.
	Notes []string
}

// Check reads a consistent snapshot of everything in a store, and changes nothing. An error means that it could not
// be read; faults are in the report.
func Check(ctx context.Context, s Side) (r Report, err error) {
	defer func() { err = contextError(ctx, err) }()
	tx, err := s.snapshot(ctx, nil)
	if err != nil {
		return r, fmt.Errorf("reading %s: %w", s.Location, err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	tables, err := s.schema(ctx, tx)
	if err != nil {
		return r, err
	}
	c := checker{Report: &r, q: tx}
	if !s.postgres() {
		if err := c.integrity(ctx); err != nil {
			return r, err
		}
	}
	for _, t := range tables {
		content, err := t.content(ctx, tx)
		if damage := new(DamageError); errors.As(err, &damage) {
			c.addFinding("malformed value", "%s", damage.Error())
		} else if err != nil {
			return r, err
		}
		r.Tables = append(r.Tables, content)
	}
	if err := c.references(ctx, tables); err != nil {
		return r, err
	}
	if err := c.rules(ctx); err != nil {
		return r, err
	}
	return r, c.durability(ctx, s)
}

// damagedFile is the Check of findings of SQLite's integrity check.
const damagedFile = "damaged file"

// Damage reads the whole store and returns a fault of the file itself, "" for none.
func Damage(ctx context.Context, s Side) (string, error) {
	report, err := Check(ctx, s)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(report.Findings, func(f Finding) bool { return f.Check == damagedFile }); i >= 0 {
		return report.Findings[i].Detail, nil
	}
	return "", nil
}

type checker struct {
	*Report
	q queryer
}

func (c checker) addFinding(check, format string, args ...any) {
	c.Findings = append(c.Findings, Finding{check, fmt.Sprintf(format, args...)})
}

// integrity runs SQLite's check of its structures: pages, indexes, constraints.
func (c checker) integrity(ctx context.Context) error {
	rows, err := c.q.QueryContext(ctx, `PRAGMA integrity_check(20)`)
	if err != nil {
		return fmt.Errorf("checking the file: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return fmt.Errorf("checking the file: %w", err)
		}
		if line != "ok" {
			c.addFinding(damagedFile, "%s", line)
		}
	}
	return rows.Err()
}

// references looks for orphans: by foreign keys, and by user_id columns without one, since some of their rows have no
// user.
func (c checker) references(ctx context.Context, tables []table) error {
	for _, t := range tables {
		refs := slices.Clone(t.references)
		if _, ok := t.column("user_id"); ok && len(refs) == 0 {
			refs = append(refs, reference{"user_id", "users", "id"})
		}
		for _, r := range refs {
			query := fmt.Sprintf(`SELECT count(*) FROM %s c
				WHERE c.%s <> '' AND NOT EXISTS (SELECT 1 FROM %s p WHERE p.%s = c.%s)`,
				quote(t.name), quote(r.column), quote(r.table), quote(r.to), quote(r.column))
			var n int64
			if err := c.q.QueryRowContext(ctx, query).Scan(&n); err != nil {
				return fmt.Errorf("checking the table %s: %w", t.name, err)
			}
			if n > 0 {
				c.addFinding("orphans", "%d row(s) of %s name a row of %s that is not there", n, t.name, r.table)
			}
		}
	}
	return nil
}

// rules checks invariants: each query counts violations.
func (c checker) rules(ctx context.Context) error {
	for _, rule := range []struct{ check, query, detail string }{
		{
			"no administrator", `SELECT CASE WHEN (` + activeAdmins + `) = 0 THEN 1 ELSE 0 END`,
			"there is no active administrator: use \"caddy gatehouse user enable\" or \"set-role\", " +
				"or start Caddy with ADMIN_PASSWORD",
		},
		{
			"session epoch", `SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.epoch > u.epoch`,
			"%d session(s) are of an epoch that their user has not reached: end them with \"session revoke --all\"",
		},
		{
			"second factors", `SELECT count(*) FROM users u WHERE u.totp_count <>
			(SELECT count(*) FROM totps t WHERE t.user_id = u.id AND t.confirmed_at > 0)`,
			"%d account(s) have another number of authenticator apps than is noted with them, so that a sign-in may not " +
				"ask for a code: let their owners remove one or add one, or restore a backup",
		},
		{
			"change counter", `SELECT CASE WHEN (SELECT count(*) FROM change_counter) = 1 AND
			(SELECT max(seq) FROM change_counter) >= (SELECT coalesce(max(seq), 0) FROM changes) THEN 0 ELSE 1 END`,
			"the counter of changes is behind the changes, or is missing: servers may not learn of sessions that end; " +
				"restore a backup",
		},
		{
			"time", `SELECT count(*) FROM sessions WHERE expires_at < created_at OR over_at > expires_at`,
			"%d session(s) have times that can't be",
		},
	} {
		var n int64
		if err := c.q.QueryRowContext(ctx, rule.query).Scan(&n); err != nil {
			return fmt.Errorf("checking %s: %w", rule.check, err)
		}
		if n > 0 {
			c.addFinding(rule.check, "%s", strings.ReplaceAll(rule.detail, "%d", strconv.FormatInt(n, 10)))
		}
	}
	return nil
}

// durability checks whether PostgreSQL keeps acknowledged changes after a power cut. SQLite is always opened with the
// right settings.
func (c checker) durability(ctx context.Context, s Side) error {
	if !s.postgres() {
		return nil
	}
	for name, risk := range map[string]string{
		"fsync":              "the database may be damaged by a power cut",
		"full_page_writes":   "the database may be damaged by a power cut",
		"synchronous_commit": "a sign-out that was acknowledged may be undone by a power cut",
	} {
		var value string
		err := c.q.QueryRowContext(ctx, `SELECT setting FROM pg_catalog.pg_settings WHERE name = $1`, name).Scan(&value)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the setting %s: %w", name, err)
		}
		if value == "off" {
			c.Notes = append(c.Notes, fmt.Sprintf("PostgreSQL's %s is off: %s", name, risk))
		}
	}
	slices.Sort(c.Notes)
	return nil
}

// Count returns the number of rows of each table, sorted by name.
func Count(ctx context.Context, s Side) ([]Content, error) {
	tables, err := s.schema(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	counts, err := count(ctx, s.DB, tables)
	if err != nil {
		return nil, err
	}
	list := make([]Content, 0, len(counts))
	for name, n := range counts {
		list = append(list, Content{Table: name, Rows: n})
	}
	slices.SortFunc(list, func(a, b Content) int {
		if a.Table < b.Table {
			return -1
		}
		return 1
	})
	return list, nil
}
