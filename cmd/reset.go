package cmd

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/store"
)

func resetCommand() *cobra.Command {
	cmd := verb("reset-password [<user>]", "Sets a new password, or prints a one-time link to set one",
		`Sets a new password for an account (default: the only administrator) and ends its
sessions. It asks for the password, reads it from standard input (--password-stdin),
or takes it from the environment as the server would (--from-env). With --link it
prints a one-time link instead; the present password and tokens work until it is used.
Where passwords are off (sign_in passwords off), the link signs in once.
Sign-ins through providers stay, and are told, unless --unlink takes them away, too.

The password of a managed administrator is ADMIN_PASSWORD in the environment of the
server. --env-file .env writes a new value there.`, cobra.MaximumNArgs(1), resetPassword)
	f := cmd.Flags()
	f.Bool("password-stdin", false, "read the password from standard input")
	f.Bool("from-env", false, "take the password from ADMIN_PASSWORD or ADMIN_PASSWORD_FILE")
	f.Bool("must-change", false, "the password has to be replaced at the next sign-in")
	f.Bool("unlink", false, "unlink sign-ins through providers, too")
	f.String("env-file", "", "for a managed administrator: the env file in which to write the new password")
	linkFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "from-env", "link")
	cmd.MarkFlagsMutuallyExclusive("env-file", "from-env")
	cmd.MarkFlagsMutuallyExclusive("env-file", "link")
	cmd.MarkFlagsMutuallyExclusive("must-change", "link")
	return cmd
}

func resetPassword(c *call) error {
	lifetime, site, err := c.linkOptions()
	if err != nil {
		return err
	}
	return c.open(func(e *env) error {
		u, hash, err := c.resetTarget(e)
		if err != nil {
			return err
		}
		if u.Managed {
			return c.rotate(e, u)
		}
		if c.flag("env-file") != "" {
			return fmt.Errorf("%s is not managed by the deployment, "+
				"so its password is in the store, not in an env file: leave --env-file out", sanitize(u.Username))
		}
		r := account.Reset{
			Hash: hash, MustChange: c.boolFlag("must-change"), Expires: lifetime,
			Identities: c.boolFlag("unlink"),
		}
		if r.Password, err = c.resetTo(e, u, hash); err != nil {
			return err
		}
		link, err := e.accounts.ResetPassword(c.ctx, operator, u.ID, r)
		if err != nil {
			return userError(err)
		}
		left, err := c.noteAccessLeft(e, u)
		if err != nil {
			return fmt.Errorf("it is done, but looking up what is left failed: %w", err)
		}
		if link != nil {
			c.notef("one-time link for %s", sanitize(u.Username))
			return c.printLink(e, u, *link, site, left)
		}
		if !u.Active || u.Pending {
			c.notef("note: the account is still turned off; see %q", "caddy gatehouse user enable")
		}
		if u, err = e.store.User(c.ctx, u.ID); err != nil {
			return fmt.Errorf("the new password is set, but reading the account again failed: %w", userError(err))
		}
		out := newAccountJSON(u)
		out.accessLeftJSON = left
		return c.result(out, "%s has a new password; its sessions are over", sanitize(u.Username))
	})
}

// resetTo asks for the new password, unless the account gets a link or a hash instead.
func (c *call) resetTo(e *env, u store.User, hash string) (string, error) {
	switch {
	case c.boolFlag("link"), u.IsService(): // the account service refuses those
		return "", nil
	case hash != "":
		return "", checkPasswords(e.app, u)
	}
	return c.passwordOf(e.app, u)
}

// passwordOf asks for a new password of u, unless it would not be accepted.
func (c *call) passwordOf(app *caddyauth.App, u store.User) (string, error) {
	if err := checkPasswords(app, u); err != nil {
		return "", err
	}
	return c.newPassword()
}

func checkPasswords(app *caddyauth.App, u store.User) error {
	if app.Passwords().Of(u) {
		return nil
	}
	return errors.New("passwords are off (sign_in passwords off), so none was set: --link prints a link that signs " +
		"in once, and the person then links a provider to the account")
}

// resetTarget returns the account to reset and, with --from-env, the hash of the password in the environment.
func (c *call) resetTarget(e *env) (u store.User, hash string, err error) {
	name := ""
	if c.boolFlag("from-env") {
		if name, hash, err = c.envPassword(e); err != nil {
			return store.User{}, "", err
		}
	}
	switch {
	case len(c.args) == 1:
		u, err = e.user(c, c.args[0])
		return u, hash, err
	case name != "":
		u, err = e.store.UserByUsername(c.ctx, name)
		if err == nil && !seed.IsLocalAccount(&u) {
			// Like at a start: the environment refers to local accounts only.
			return store.User{}, "", fmt.Errorf("%s comes from a provider, "+
				"so it is not the administrator of the environment: name the account", sanitize(u.Username))
		}
		if err == nil || !errors.Is(err, store.ErrNotFound) {
			return u, hash, err
		}
	}
	u, err = c.onlyAdmin(e)
	return u, hash, err
}

// envPassword returns username and password hash of the administrator in the environment, read and checked like at a
// server's start.
func (c *call) envPassword(e *env) (name, hash string, err error) {
	values, err := e.app.SeedValues()
	if err != nil {
		return "", "", err
	}
	if !values.HasPassword() {
		return "", "", fmt.Errorf("%s is not set here; --envfile reads it from a file", values.PasswordSource())
	}
	if hash, err = values.HashPassword(c.ctx, e.hasher); err != nil {
		return "", "", err
	}
	c.notef("the password comes from %s", values.PasswordSource())
	return values.Username(), hash, nil
}

// onlyAdmin returns the administrator when there is exactly one.
func (c *call) onlyAdmin(e *env) (store.User, error) {
	const shown = 10
	admins, err := e.store.ActiveAdmins(c.ctx, shown)
	switch {
	case err != nil:
		return store.User{}, fmt.Errorf("looking up the administrators: %w", err)
	case len(admins) == 0:
		return store.User{}, errors.New("there is no active administrator: name an account, or make one with " +
			"\"caddy gatehouse user add <username> --role admin\"")
	case len(admins) > 1:
		names := make([]string, len(admins))
		for i, a := range admins {
			names[i] = sanitize(a.Username)
		}
		return store.User{}, fmt.Errorf("there are several administrators (%s): say which one", strings.Join(names, ", "))
	}
	return admins[0], nil
}

// rotate changes the password of a managed administrator in the server's env file. The store follows at the next
// start.
func (c *call) rotate(e *env, u store.User) error {
	variable, err := passwordVariable(e.app)
	if err != nil {
		return err
	}
	path := c.flag("env-file")
	if path == "" {
		return fmt.Errorf("%s is managed by the deployment: its password is the value of %s in the environment of "+
			"the server. To change it, set a new value there and restart Caddy; the start writes it once and ends the "+
			"sessions of the account. \"caddy gatehouse reset-password --env-file .env\" rewrites the variable in an "+
			"env file", sanitize(u.Username), variable)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading --env-file: %w", err)
	}
	file, err := parseEnv(data)
	if err != nil {
		return fmt.Errorf("reading --env-file %s: %w", path, err)
	}
	if _, set := file.values()[variable+"_FILE"]; set {
		return fmt.Errorf("%s sets %s_FILE: write the new password to the file that it names and restart Caddy; nothing was "+
			"changed", absolute(path), variable)
	}
	if _, set := file.values()[variable]; !set {
		return fmt.Errorf("%s does not set %s; nothing was changed. Is it the file that the server reads?", absolute(path),
			variable)
	}
	pass, err := c.newPassword()
	if err != nil {
		return err
	}
	if err := e.app.PasswordPolicy().Check(pass, u.Username, u.Email, u.Name, e.app.SiteTitle()); err != nil {
		return fmt.Errorf("this password is refused: %w", err)
	}
	out, err := file.set(variable, pass)
	if err != nil {
		return fmt.Errorf("changing %s in %s: %w", variable, path, err)
	}
	if err := replace(path, out); err != nil {
		return err
	}
	c.notef("the present password works until Caddy is restarted with this file (a reload keeps the old environment); "+
		"then the new one counts and the sessions of %s are over", sanitize(u.Username))
	return c.result(rotatedJSON{newAccountJSON(u), absolute(path), variable}, "wrote %s to %s", variable, absolute(path))
}

// rotatedJSON is a managed administrator, and where the new password was written.
type rotatedJSON struct {
	accountJSON
	EnvFile  string `json:"env_file"`
	Variable string `json:"variable"`
}

var envPlaceholder = regexp.MustCompile(`^\{env\.([A-Za-z_][A-Za-z0-9_]*)\}$`)

// passwordVariable returns the environment variable that holds the managed administrator's password.
func passwordVariable(app *caddyauth.App) (string, error) {
	a := app.Admin
	if a == nil {
		return "ADMIN_PASSWORD", nil
	}
	switch {
	case a.PasswordFile != nil:
		return "", errors.New("the password of the managed administrator is in the file that the option " +
			"password_file names: write the new one there and restart Caddy")
	case a.PasswordHash != nil:
		return "", errors.New("the option password_hash holds the hash of the managed administrator's password: " +
			"put a new one there (\"caddy gatehouse hash-password\") and restart Caddy")
	case a.Password == nil:
		return a.EnvPrefix + "ADMIN_PASSWORD", nil
	}
	if m := envPlaceholder.FindStringSubmatch(*a.Password); m != nil {
		return m[1], nil
	}
	return "", errors.New("the password of the managed administrator is in the option password of the " +
		"configuration: change it there and restart Caddy")
}
