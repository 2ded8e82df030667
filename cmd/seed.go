package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func seedCommand() *cobra.Command {
	cmd := verb("seed --dry-run", "Tells what a start would do about the administrator",
		`Tells which values of the administrator come from where (environment, file,
configuration), and what a start of Caddy would write with them. It writes nothing.
Give it the environment of the server, for example with --envfile.`, cobra.NoArgs, dryRun)
	cmd.Flags().Bool("dry-run", false, "required: only the start of Caddy applies the values")
	return cmd
}

func dryRun(c *call) error {
	if !c.boolFlag("dry-run") {
		return errors.New("the start of Caddy applies the values; give --dry-run to see what it would do")
	}
	app, err := c.loadApp()
	if err != nil {
		return err
	}
	values, err := app.SeedValues()
	if err != nil {
		return err
	}
	opts, err := c.storeOptions(app)
	if err != nil {
		return err
	}
	st, err := c.openExisting(opts)
	if err != nil {
		return err
	}
	if st != nil {
		defer st.Close()
	}
	lines, err := seed.Describe(c.ctx, st, values, password.NewHasher(app.HashParams(), nil))
	if err != nil {
		return err
	}
	for i, l := range lines {
		lines[i].Source = c.origin(app.Admin, l)
	}
	for _, name := range slices.Sorted(maps.Keys(c.envCut)) {
		lines = append(lines, seed.Line{Kind: seed.LineWarning, Text: c.envCut[name] + ": " + cutText(name)})
	}
	if c.boolFlag("json") {
		return c.printJSON(lines)
	}
	rows := make([][]string, len(lines))
	for i, l := range lines {
		rows[i] = []string{l.Kind, l.Name, l.Text, l.Source}
	}
	return table(c.out, []string{"KIND", "NAME", "WHAT", "FROM"}, rows)
}

// origin returns the exact source of a value: an environment variable may come from an env file, and an option may be
// a placeholder for another variable or a file.
func (c *call) origin(admin *caddyauth.AdminConfig, l seed.Line) string {
	if file, ok := c.envFrom[l.Name]; ok && l.Source == seed.SourceEnv {
		return fmt.Sprintf("%s (read from %s)", l.Source, file)
	}
	if admin == nil || l.Source != seed.SourceConfig {
		return l.Source
	}
	option := map[string]*string{
		"USER": admin.User, "EMAIL": admin.Email, "NAME": admin.Name, "PASSWORD": admin.Password,
		"PASSWORD_HASH": admin.PasswordHash, "PASSWORD_FORCE_SYNC": admin.ForceSync,
	}[strings.TrimPrefix(l.Name, admin.EnvPrefix+"ADMIN_")]
	if option == nil || !wholePlaceholder.MatchString(*option) {
		return l.Source // a value in the configuration itself, which may be a secret
	}
	return fmt.Sprintf("%s (%s)", l.Source, *option)
}

// wholePlaceholder matches a value that is a single placeholder.
var wholePlaceholder = regexp.MustCompile(`^\{(env|file)\.[^{}]+\}$`)

// openExisting opens a store without creating or migrating it. It returns nil if the store does not exist yet.
func (c *call) openExisting(opts sqlstore.Options) (store.Store, error) {
	if opts.Engine == sqlstore.EngineSQLite {
		if _, err := os.Stat(opts.Path); errors.Is(err, fs.ErrNotExist) {
			c.notef("store: %s (sqlite, not made yet)", opts.Path)
			return nil, nil //nolint:nilnil // documented: no store yet
		}
	}
	opts.Migrate = false
	st, err := sqlstore.Open(c.ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	info := st.Info()
	c.notef("store: %s (%s)", info.Location, info.Engine)
	return st, nil
}
