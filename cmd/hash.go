package cmd

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func hashCommand() *cobra.Command {
	cmd := verb("hash-password", "Prints the hash of a password, for ADMIN_PASSWORD_HASH",
		`Asks for a password (or reads it from standard input) and prints its argon2id
hash, for ADMIN_PASSWORD_HASH or the option password_hash. Cost and rules are those
of the configuration, when there is one. It needs no store.

The hash holds the character $: in a Docker Compose file write it as $$, in a shell
or an env file put it between single quotes.`, cobra.NoArgs, hashPassword)
	cmd.Flags().Bool("password-stdin", false, "read the password from standard input")
	return cmd
}

func hashPassword(c *call) error {
	app, err := c.passwordRules()
	if err != nil {
		return err
	}
	pass, err := c.newPassword()
	if err != nil {
		return err
	}
	if err := app.PasswordPolicy().Check(pass, app.SiteTitle()); err != nil {
		return fmt.Errorf("this password is refused: %w", err)
	}
	hash, err := password.NewHasher(app.HashParams(), nil).Hash(c.ctx, pass)
	if err != nil {
		return err
	}
	return c.result(map[string]string{"password_hash": hash}, "%s", hash)
}

// passwordRules returns the configured rules for new passwords; without --config, the defaults are good enough.
func (c *call) passwordRules() (*caddyauth.App, error) {
	if err := c.loadEnv(); err != nil {
		return nil, err
	}
	app, err := c.readApp()
	if err == nil {
		app, err = resolvePasswordRules(app)
	}
	if err == nil || c.flag("config") != "" {
		return app, err
	}
	if !errors.Is(err, errNoConfig) {
		c.notef("note: using the defaults: %v", err)
	}
	return resolvePasswordRules(new(caddyauth.App))
}

// resolvePasswordRules resolves only the rules for passwords and the hash cost. The store and providers may not exist
// yet: on a fresh machine, in a service without a home directory, before secrets are in place.
func resolvePasswordRules(app *caddyauth.App) (*caddyauth.App, error) {
	rules := &caddyauth.App{
		Store:    &caddyauth.StoreConfig{Engine: sqlstore.EngineSQLite, Path: os.DevNull}, // never opened
		Password: app.Password,
	}
	if app.Brand != nil {
		rules.Brand = &caddyauth.BrandConfig{Title: app.Brand.Title} // a password must not equal the title
	}
	if err := rules.Resolve(); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return rules, nil
}
