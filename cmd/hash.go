package cmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/password"
)

func hashCommand() *cobra.Command {
	cmd := verb("hash-password", "Prints the hash of a password, for ADMIN_PASSWORD_HASH",
		`Asks for a password (or reads it from standard input) and prints its argon2id
hash, for ADMIN_PASSWORD_HASH or the option password_hash. Cost and rules are those
of the configuration, when there is one.

The hash holds the character $: in a Docker Compose file write it as $$, in a shell
or an env file put it between single quotes.`, cobra.NoArgs, hashPassword)
	cmd.Flags().Bool("password-stdin", false, "read the password from standard input")
	return cmd
}

func hashPassword(c *call) error {
	app, err := c.loadApp()
	switch {
	case errors.Is(err, errNoConfig):
		app = new(caddyauth.App) // needs no store: the defaults will do
		err = app.Resolve()
	case err != nil && c.flag("config") == "":
		c.notef("note: using the defaults: %v", err)
		app = new(caddyauth.App)
		err = app.Resolve()
	}
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
	return c.printf("%s", hash)
}
