package caddyauth

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// UnmarshalCaddyfile reads the global option. Everything that can be judged without the server's environment is
// judged here, where file and line are known.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if err := none(d); err != nil {
		return err
	}
	return block(d, func(option string) error { return a.parseLine(d, option) }, "admin_host", "trust_return", "oidc")
}

func (a *App) parseLine(d *caddyfile.Dispenser, option string) (err error) {
	switch option {
	case "store":
		return a.parseStore(d)
	case "admin":
		return a.parseAdmin(d)
	case "oidc":
		return a.parseOIDC(d)
	case "session":
		return a.parseSession(d)
	case "password":
		return a.parsePassword(d)
	case "throttle":
		return a.parseThrottle(d)
	case "audit":
		return a.parseAudit(d)
	case "brand":
		return a.parseBrand(d)
	case "prefix":
		if a.Prefix, err = one(d); err != nil {
			return err
		}
		return a.judge(d)
	case "language":
		if a.Language, err = one(d); err != nil {
			return err
		}
		return a.judge(d)
	case "admin_host":
		hosts, err := many(d)
		if err != nil {
			return err
		}
		a.AdminHosts = append(a.AdminHosts, hosts...)
		return a.judge(d)
	case "trust_return":
		hosts, err := many(d)
		if err != nil {
			return err
		}
		a.TrustReturn = append(a.TrustReturn, hosts...)
		return a.judge(d)
	case "strict":
		a.Strict = true
		return none(d)
	case "forwarded_host":
		a.ForwardedHost = true
		return none(d)
	default:
		return d.Errf("unrecognized option %q; gatehouse knows store, admin, oidc, session, password, throttle, audit, prefix, admin_host, language, brand, trust_return, strict and forwarded_host", option)
	}
}

// judge checks the options that hold no placeholders, so that the error has a line.
func (a *App) judge(d *caddyfile.Dispenser) error {
	plain := App{Session: a.Session, Password: a.Password, Throttle: a.Throttle, Audit: a.Audit, Prefix: a.Prefix,
		AdminHosts: a.AdminHosts, TrustReturn: a.TrustReturn, Language: a.Language}
	o := &options{}
	for _, step := range []func(*options) error{plain.resolveSession, plain.resolvePassword, plain.resolveThrottle, plain.resolveAudit, plain.resolvePages} {
		if err := step(o); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

func (a *App) parseStore(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("store takes sqlite [<path>] or postgres <dsn>")
	}
	if len(args) == 2 && args[1] == "" {
		return d.Errf("store %s: the value is empty; is the variable that it comes from set?", args[0])
	}
	a.Store = &StoreConfig{Engine: args[0]}
	switch {
	case args[0] == "sqlite" && len(args) == 1:
	case args[0] == "sqlite" && len(args) == 2:
		a.Store.Path = args[1]
	case args[0] == "postgres" && len(args) == 2:
		a.Store.DSN = args[1]
	case args[0] == "sqlite":
		return d.Err("store sqlite takes one path, or none for Caddy's data directory")
	case args[0] == "postgres":
		return d.Err("store postgres takes one dsn; put it in quotes if it has spaces, or use a placeholder such as {env.DATABASE_URL}")
	default:
		return d.Errf("store: unknown engine %q; use sqlite or postgres", args[0])
	}
	if err := braces(a.Store.Path + a.Store.DSN); err != nil {
		return d.Errf("store %s: %w", args[0], err)
	}
	return nil
}

func (a *App) parseAdmin(d *caddyfile.Dispenser) error {
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
		s, err := one(d)
		if err != nil {
			return err
		}
		switch to := values[option]; {
		case to != nil:
			*to = &s
			if err := braces(s); err != nil {
				return d.Errf("admin %s: %w", option, err)
			}
		case option == "env_prefix" && envPrefix.MatchString(s):
			c.EnvPrefix = s
		case option == "env_prefix":
			return d.Errf("env_prefix %q: use letters, digits and underscores, such as APP_", s)
		case option == "former_admin" && c.Mode != "managed":
			return d.Err("former_admin is for managed administrators; write: admin managed { … }")
		case option == "former_admin" && (s == "keep" || s == "demote" || s == "disable"):
			c.FormerAdmin = s
		case option == "former_admin":
			return d.Errf("former_admin: unknown value %q; use keep, demote or disable", s)
		default:
			return d.Errf("unrecognized option %q; admin knows env_prefix, user, email, name, password, password_file, password_hash, force_sync and former_admin", option)
		}
		return a.judgePasswords(d)
	})
}

// judgePasswords refuses two sources of one password.
func (a *App) judgePasswords(d *caddyfile.Dispenser) error {
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

// duration reads one positive duration.
func duration(d *caddyfile.Dispenser, to *caddy.Duration) error {
	option := d.Val()
	s, err := one(d)
	if err != nil {
		return err
	}
	v, err := caddy.ParseDuration(s)
	if err != nil || v <= 0 {
		return d.Errf("%s: %q is not a positive duration; write for example 30m, 12h or 7d", option, s)
	}
	*to = caddy.Duration(v)
	return nil
}

func (a *App) parseSession(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	a.Session = &SessionConfig{}
	return block(d, func(option string) (err error) {
		switch option {
		case "idle":
			return duration(d, &a.Session.Idle)
		case "absolute":
			return duration(d, &a.Session.Absolute)
		case "remember":
			return duration(d, &a.Session.Remember)
		case "cookie_domain":
			if a.Session.CookieDomain, err = one(d); err != nil {
				return err
			}
			return a.judge(d)
		case "store_grace":
			if err := duration(d, &a.Session.StoreGrace); err != nil {
				return err
			}
			return a.judge(d)
		}
		return d.Errf("unrecognized option %q; session knows idle, absolute, remember, cookie_domain and store_grace", option)
	})
}

func (a *App) parsePassword(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	a.Password = &PasswordConfig{}
	return block(d, func(option string) error {
		switch option {
		case "min_length":
			n, err := count(d)
			if err != nil {
				return err
			}
			a.Password.MinLength = n
			return a.judge(d)
		case "argon2id":
			c, err := argon2id(d)
			if err != nil {
				return err
			}
			a.Password.Argon2id = c
			return a.judge(d)
		}
		return d.Errf("unrecognized option %q; password knows min_length and argon2id", option)
	})
}

// count reads one positive whole number.
func count(d *caddyfile.Dispenser) (int, error) {
	option := d.Val()
	s, err := one(d)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, d.Errf("%s: %q is not a positive whole number", option, s)
	}
	return n, nil
}

func argon2id(d *caddyfile.Dispenser) (*Argon2idConfig, error) {
	var memory, passes, threads string
	if !d.AllArgs(&memory, &passes, &threads) {
		return nil, d.Err("argon2id takes memory, time and threads, such as: argon2id 64MiB 3 1")
	}
	bytes, err := humanize.ParseBytes(memory)
	if err != nil || bytes>>10 > math.MaxUint32 {
		return nil, d.Errf("argon2id: %q is not a size; write for example 64MiB", memory)
	}
	t, err := strconv.ParseUint(passes, 10, 32)
	if err != nil {
		return nil, d.Errf("argon2id: time %q is not a whole number", passes)
	}
	p, err := strconv.ParseUint(threads, 10, 8)
	if err != nil {
		return nil, d.Errf("argon2id: threads %q is not a whole number up to 255", threads)
	}
	return &Argon2idConfig{MemoryKiB: uint32(bytes >> 10), Time: uint32(t), Threads: uint8(p)}, nil
}

func (a *App) parseThrottle(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	a.Throttle = &ThrottleConfig{}
	return block(d, func(option string) (err error) {
		switch option {
		case "free":
			if a.Throttle.Free, err = count(d); err != nil {
				return err
			}
			return a.judge(d)
		case "longest":
			return duration(d, &a.Throttle.Longest)
		case "client":
			s, err := one(d)
			if err != nil {
				return err
			}
			if a.Throttle.ClientAttempts, a.Throttle.ClientWindow, err = rate(s); err != nil {
				return d.WrapErr(err)
			}
			return a.judge(d)
		}
		return d.Errf("unrecognized option %q; throttle knows free, longest and client", option)
	})
}

// rate reads "30/1m".
func rate(s string) (int, caddy.Duration, error) {
	count, window, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	w, err2 := caddy.ParseDuration(window)
	if !ok || err != nil || err2 != nil || n < 1 || w <= 0 {
		return 0, 0, fmt.Errorf("client: %q is not attempts per time; write for example 30/1m", s)
	}
	return n, caddy.Duration(w), nil
}

func (a *App) parseBrand(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	a.Brand = &BrandConfig{}
	lines := map[string]*string{"title": &a.Brand.Title, "logo": &a.Brand.Logo, "accent": &a.Brand.Accent, "support": &a.Brand.Support}
	return block(d, func(option string) (err error) {
		to := lines[option]
		if to == nil {
			return d.Errf("unrecognized option %q; brand knows title, logo, accent and support", option)
		}
		if *to, err = one(d); err != nil {
			return err
		}
		if err := braces(a.Brand.Logo); err != nil {
			return d.Errf("brand logo: %w", err)
		}
		b := *a.Brand
		b.Logo = "" // read in the server
		plain := App{Brand: &b}
		if err := plain.resolveBrand(&options{}); err != nil {
			return d.WrapErr(err)
		}
		return nil
	})
}
