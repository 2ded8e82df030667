package cmd

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/assertion"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func storeCommand() *cobra.Command {
	root := &cobra.Command{Use: "store <verb>", Short: "Moves, checks and describes the store"}
	group(root)

	info := verb("info", "Tells what the store is and how much it holds",
		"Tells what the store is and how many rows each table holds.",
		cobra.NoArgs, storeInfo)

	check := verb("check", "Reads the whole store and tells what is wrong",
		`Reads everything in the store, as it is at one moment, and tells what is wrong with
it: a damaged file, malformed values, rows that belong to nobody, no administrator.
It changes nothing, and servers go on. The exit code is 1 when something is wrong.`, cobra.NoArgs, storeCheck)

	migrate := verb("migrate --from <store> --to <store>", "Moves everything to another store",
		`Moves accounts, sessions, the audit log and everything else to another store, and
compares both sides row by row. A store is sqlite:<path> or postgres:<dsn>; the DSN
may be a placeholder such as postgres:{env.DATABASE_URL}, since it holds a password.

Stop Caddy first. The target has to be empty. After an interruption, run the same
again: it goes on where it stopped, and no Caddy uses the target before it is done.`, cobra.NoArgs, storeMigrate)
	migrate.Flags().String("from", "", "the store to move: sqlite:<path> or postgres:<dsn>")
	migrate.Flags().String("to", "", "the empty store to move it to")

	rotate := verb("rotate-keys", "Makes a new key for what the store keeps encrypted, or for signed identities",
		`Makes a new key, with which every Caddy seals tokens of providers and sign-ins under
way from now on. What earlier keys sealed can still be opened; no session ends.

With --assertion, makes a new key for signed identities instead: apps can read it at
once, it signs in 24 hours, and the old one can be read for 24 hours more. Run again
before it signs, this changes nothing. With --now, for a key that has leaked, the new
key signs at once and all others are gone; apps refuse everybody until they have read
the keys again.`, cobra.NoArgs, storeRotateKeys)
	rotate.Flags().Bool("assertion", false, "make a key for signed identities")
	rotate.Flags().Bool("now", false, "with --assertion: replace all keys at once, as one has leaked")

	root.AddCommand(info, check, migrate, rotate)
	return root
}

// withStore opens the configured store for maintenance.
func (c *call) withStore(fn func(db *sqlstore.DB, side storecopy.Side) error) error {
	app, err := c.loadApp()
	if err != nil {
		return err
	}
	opts, err := c.storeOptions(app)
	if err != nil {
		return err
	}
	if err := c.requireStore(opts, false); err != nil {
		return err
	}
	return c.openSide("store", opts, fn)
}

// openSide opens a store and prints its location.
func (c *call) openSide(what string, opts sqlstore.Options,
	fn func(db *sqlstore.DB, side storecopy.Side) error,
) (err error) {
	db, err := sqlstore.Open(c.ctx, opts)
	if err != nil {
		return fmt.Errorf("opening the %s: %w", what, err)
	}
	defer func() {
		if cerr := db.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("closing the %s: %w", what, cerr)
		}
	}()
	info := db.Info()
	c.notef("%s: %s (%s)", what, info.Location, info.Engine)
	return fn(db, sideOf(db))
}

func sideOf(db *sqlstore.DB) storecopy.Side {
	info := db.Info()
	return storecopy.Side{DB: db.Maintenance(), Engine: info.Engine, Location: info.Location}
}

// tableJSON is a table in the output.
type tableJSON struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Sum   string `json:"sum,omitempty"`
}

func storeInfo(c *call) error {
	return c.withStore(func(db *sqlstore.DB, side storecopy.Side) error {
		counts, err := storecopy.Count(c.ctx, side)
		if err != nil {
			return err
		}
		info := db.Info()
		if c.boolFlag("json") {
			tables := make([]tableJSON, len(counts))
			for i, t := range counts {
				tables[i] = tableJSON{Table: t.Table, Rows: t.Rows}
			}
			return c.printJSON(map[string]any{
				"engine": info.Engine, "location": info.Location, "schema": info.Schema,
				"tables": tables,
			})
		}
		rows := [][]string{
			{"engine", info.Engine},
			{"location", info.Location},
			{"schema", strconv.FormatInt(info.Schema, 10)},
		}
		for _, t := range counts {
			rows = append(rows, []string{t.Table, strconv.FormatInt(t.Rows, 10)})
		}
		return table(c.out, []string{"WHAT", "VALUE"}, rows)
	})
}

func storeCheck(c *call) error {
	app, err := c.loadApp()
	if err != nil {
		return err
	}
	opts, err := c.storeOptions(app)
	if err != nil {
		return err
	}
	if err := c.requireStore(opts, false); err != nil {
		return err
	}
	opts.Migrate = false // a check changes nothing
	err = c.openSide("store", opts, func(_ *sqlstore.DB, side storecopy.Side) error {
		report, err := storecopy.Check(c.ctx, side)
		if err != nil {
			return err
		}
		for _, note := range report.Notes {
			c.notef("note: %s", note)
		}
		return c.reportFindings(report)
	})
	if errors.Is(err, sqlstore.ErrDamaged) { // too damaged to be opened
		return c.reportFindings(storecopy.Report{Findings: []storecopy.Finding{{Check: "damaged file", Detail: err.Error()}}})
	}
	return err
}

// reportFindings prints a report, and returns an error if it has findings.
func (c *call) reportFindings(report storecopy.Report) error {
	if err := c.printReport(report); err != nil {
		return err
	}
	if n := len(report.Findings); n > 0 {
		return fmt.Errorf("found %d thing(s) wrong with the store", n)
	}
	return nil
}

func (c *call) printReport(report storecopy.Report) error {
	if c.boolFlag("json") {
		findings := report.Findings
		if findings == nil {
			findings = []storecopy.Finding{}
		}
		return c.printJSON(map[string]any{
			"ok": len(findings) == 0, "findings": findings,
			"tables": tablesJSON(report.Tables),
		})
	}
	if len(report.Findings) == 0 {
		var rows int64
		for _, t := range report.Tables {
			rows += t.Rows
		}
		return c.printf("ok: read %d rows of %d tables", rows, len(report.Tables))
	}
	rows := make([][]string, len(report.Findings))
	for i, f := range report.Findings {
		rows[i] = []string{f.Check, f.Detail}
	}
	return table(c.out, []string{"CHECK", "FINDING"}, rows)
}

func tablesJSON(content []storecopy.Content) []tableJSON {
	list := make([]tableJSON, len(content))
	for i, t := range content {
		list[i] = tableJSON{t.Table, t.Rows, t.Sum.String()}
	}
	return list
}

func storeRotateKeys(c *call) error {
	switch {
	case c.boolFlag("assertion"):
		return c.withStore(func(db *sqlstore.DB, _ storecopy.Side) error { return c.rotateAssertionKeys(db) })
	case c.boolFlag("now"):
		return errors.New("--now belongs to --assertion: what a key has sealed is opened with it for as long as it is kept")
	}
	return c.withStore(func(db *sqlstore.DB, _ storecopy.Side) error {
		n, err := seal.New(db).Rotate(c.ctx)
		if err != nil {
			return err
		}
		return c.result(map[string]any{"key": n}, "key %d seals from now on; earlier ones still open what they sealed", n)
	})
}

// rotateAssertionKeys makes a new key for signed identities. Every running Caddy knows it within a second.
func (c *call) rotateAssertionKeys(db *sqlstore.DB) error {
	rotate := assertion.Rotate
	if c.boolFlag("now") {
		rotate = assertion.Replace
	}
	now := time.Now()
	r, err := rotate(c.ctx, db, now)
	if err != nil {
		return err
	}
	from := r.From.UTC().Format(time.RFC3339)
	out := map[string]any{"key": r.Key, "signs_from": from, "signs_now": r.Signing, "pending": r.Pending}
	switch {
	case r.Pending:
		return c.result(out, "nothing changed: key %s was made before, and signs from %s", r.Key, from)
	case r.Key == r.Signing:
		return c.result(out, "key %s signs from now on, and is the only one", r.Key)
	}
	return c.result(out, "key %s signs from %s; apps can read it now", r.Key, from)
}

// sideOptions parses a flag with sqlite:<path> or postgres:<dsn>.
func (c *call) sideOptions(flag string) (sqlstore.Options, error) {
	cfg := engineForm(c.flag(flag))
	if cfg == nil || cfg.Path == "" && cfg.DSN == "" {
		// What was given may hold a password.
		return sqlstore.Options{}, fmt.Errorf("--%s needs sqlite:<path> or postgres:<dsn>", flag)
	}
	app := &caddyauth.App{Store: cfg}
	if err := app.Resolve(); err != nil {
		return sqlstore.Options{}, fmt.Errorf("reading --%s: %w", flag, err)
	}
	return app.StoreOptions(zap.NewNop()), nil
}

func storeMigrate(c *call) error {
	if c.flag("config") != "" || c.given("store") {
		return errors.New("store migrate takes its stores from --from and --to, not from --config or --store")
	}
	if err := c.loadEnv(); err != nil {
		return err
	}
	from, err := c.sideOptions("from")
	if err != nil {
		return err
	}
	to, err := c.sideOptions("to")
	if err != nil {
		return err
	}
	if err := c.requireStore(from, false); err != nil {
		return err
	}
	from.Migrate = false
	to.Migrate, to.Resume = true, true
	return c.openSide("from", from, func(_ *sqlstore.DB, source storecopy.Side) error {
		return c.openSide("to", to, func(_ *sqlstore.DB, target storecopy.Side) error {
			if source.Engine == target.Engine && source.Location == target.Location {
				return errors.New("--from and --to are the same store")
			}
			content, err := storecopy.Move(c.ctx, source, target, storecopy.Options{Progress: c.progress()})
			if err != nil {
				return err
			}
			return c.printMoved(content)
		})
	})
}

// printMoved prints the content of the target.
func (c *call) printMoved(content []storecopy.Content) error {
	c.notef("both stores hold the same, checked row by row")
	if c.boolFlag("json") {
		if err := c.printJSON(map[string]any{"tables": tablesJSON(content)}); err != nil {
			return err
		}
	} else {
		rows := make([][]string, len(content))
		for i, t := range content {
			rows[i] = []string{t.Table, strconv.FormatInt(t.Rows, 10), t.Sum.String()}
		}
		if err := table(c.out, []string{"TABLE", "ROWS", "CHECKSUM"}, rows); err != nil {
			return err
		}
	}
	c.notef("Name the new store in the configuration and start Caddy. Do not start it on the old store again: sessions " +
		"that end from now on would still be live there. Delete it when you have a backup of the new one.")
	return nil
}

// progress reports each table once, and long ones every few seconds.
func (c *call) progress() func(table string, rows, of int64) {
	var last time.Time
	return func(table string, rows, of int64) {
		if rows < of && time.Since(last) < 2*time.Second {
			return
		}
		last = time.Now()
		c.notef("%s: %d of %d", table, rows, of)
	}
}
