package caddyauth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/seed"
)

// AdminConfig says how the first administrator is made. Each value is read from the environment unless it is given
// here; each may be a placeholder.
type AdminConfig struct {
	// Mode: `seed` (default: the environment makes the administrator once, then the store is the truth) or
	// `managed` (the environment is the truth at every start).
	Mode string `json:"mode,omitempty"`
	// EnvPrefix goes before the names of the variables: `APP_` reads APP_ADMIN_USER, APP_ADMIN_PASSWORD and so on.
	EnvPrefix string `json:"env_prefix,omitempty"`
	// User overrides ADMIN_USER, the username; default `admin`.
	User *string `json:"user,omitempty"`
	// Email overrides ADMIN_EMAIL.
	Email *string `json:"email,omitempty"`
	// Name overrides ADMIN_NAME, the display name.
	Name *string `json:"name,omitempty"`
	// Password overrides ADMIN_PASSWORD. Use a placeholder.
	Password *string `json:"password,omitempty"`
	// PasswordFile overrides ADMIN_PASSWORD_FILE: a file whose content is the password, one trailing newline dropped.
	PasswordFile *string `json:"password_file,omitempty"`
	// PasswordHash overrides ADMIN_PASSWORD_HASH: argon2id, bcrypt, scrypt or pbkdf2, in PHC or Werkzeug form.
	PasswordHash *string `json:"password_hash,omitempty"`
	// ForceSync overrides ADMIN_PASSWORD_FORCE_SYNC: true, 1 or yes sets the password once per value.
	ForceSync *string `json:"force_sync,omitempty"`
	// FormerAdmin: what becomes of the earlier managed administrator when the e-mail changes:
	// `keep` (default, with a warning), `demote` or `disable`.
	FormerAdmin string `json:"former_admin,omitempty"`
}

// adminOptions say how the administrator is made.
type adminOptions struct {
	seed seed.Config
}

func parseAdmin(a *App, d *caddyfile.Dispenser) error {
	a.Admin = &AdminConfig{}
	if args := d.RemainingArgs(); len(args) > 1 {
		return d.Err("admin takes one mode: seed or managed")
	} else if len(args) == 1 {
		a.Admin.Mode = args[0]
		if args[0] != "seed" && args[0] != "managed" {
			return d.Errf("admin: unknown mode %q; use seed or managed", args[0])
		}
	}
	c := a.Admin
	values := map[string]**string{
		"user": &c.User, "email": &c.Email, "name": &c.Name, "password": &c.Password,
		"password_file": &c.PasswordFile, "password_hash": &c.PasswordHash, "force_sync": &c.ForceSync,
	}
	return block(d, func(option string) error {
		s, err := oneArg(d)
		if err != nil {
			return err
		}
		if to := values[option]; to != nil {
			*to = &s
			if err := checkPlaceholders(s); err != nil {
				return d.Errf("admin %s: %w", option, err)
			}
		} else if err := c.parsePolicy(d, option, s); err != nil {
			return err
		}
		return checkOnePassword(a, d)
	})
}

// parsePolicy parses the options that are not a value of the administrator's account.
func (c *AdminConfig) parsePolicy(d *caddyfile.Dispenser, option, s string) error {
	switch option {
	case "env_prefix":
		if !envPrefix.MatchString(s) {
			return d.Errf("env_prefix %q: use letters, digits and underscores, such as APP_", s)
		}
		c.EnvPrefix = s
	case "former_admin":
		if c.Mode != "managed" {
			return d.Err("former_admin is for managed administrators; write: admin managed { … }")
		}
		if s != "keep" && s != "demote" && s != "disable" {
			return d.Errf("former_admin: unknown value %q; use keep, demote or disable", s)
		}
		c.FormerAdmin = s
	default:
		return d.Errf("unrecognized option %q; admin knows env_prefix, user, email, name, password, password_file, "+
			"password_hash, force_sync and former_admin", option)
	}
	return nil
}

// checkOnePassword refuses two sources of one password.
func checkOnePassword(a *App, d *caddyfile.Dispenser) error {
	var given []string
	for _, p := range []struct {
		option string
		value  *string
	}{{"password", a.Admin.Password}, {"password_file", a.Admin.PasswordFile}, {"password_hash", a.Admin.PasswordHash}} {
		if p.value != nil {
			given = append(given, p.option)
		}
	}
	if len(given) > 1 {
		return d.Errf("admin: %s contradict each other; give one", strings.Join(given, " and "))
	}
	return nil
}

var envPrefix = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func resolveAdmin(a *App, o *options) error {
	c := a.Admin
	if c == nil {
		c = &AdminConfig{}
	}
	o.seed = seed.Config{Mode: seed.Mode(c.Mode), EnvPrefix: c.EnvPrefix, FormerAdmin: c.FormerAdmin}
	switch c.Mode {
	case "":
		o.seed.Mode, o.seed.ModeDefault = "seed", true
	case "seed", "managed":
	default:
		return fmt.Errorf("admin: unknown mode %q; use seed or managed", c.Mode)
	}
	switch c.FormerAdmin {
	case "", "keep", "demote", "disable": // left out, it means keep
	default:
		return fmt.Errorf("admin: former_admin %q; use keep, demote or disable", c.FormerAdmin)
	}
	if c.FormerAdmin != "" && o.seed.Mode != "managed" {
		return errors.New("admin: former_admin is for managed administrators; write admin managed, or remove it")
	}
	if c.EnvPrefix != "" && !envPrefix.MatchString(c.EnvPrefix) {
		return fmt.Errorf("admin: env_prefix %q; use letters, digits and underscores, such as APP_", c.EnvPrefix)
	}
	values := []struct {
		option string
		from   *string
		to     **string
	}{
		{"user", c.User, &o.seed.User},
		{"email", c.Email, &o.seed.Email},
		{"name", c.Name, &o.seed.Name},
		{"password", c.Password, &o.seed.Password},
		{"password_file", c.PasswordFile, &o.seed.PasswordFile},
		{"password_hash", c.PasswordHash, &o.seed.PasswordHash},
		{"force_sync", c.ForceSync, &o.seed.ForceSync},
	}
	for _, v := range values {
		if v.from == nil {
			continue
		}
		s, err := placeholder("admin "+v.option, *v.from)
		if err != nil {
			return err
		}
		*v.to = &s
	}
	return nil
}

func adminSettings(a *App, s *settings) {
	s.add("admin", "mode", string(a.opt.seed.Mode), a.Admin == nil || a.Admin.Mode == "")
	s.add("admin", "env_prefix", a.opt.seed.EnvPrefix, a.opt.seed.EnvPrefix == "")
}
