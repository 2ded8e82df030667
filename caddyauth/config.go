package caddyauth

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// The fields of these structs are the configuration: the Caddyfile is read into them, they are written as JSON, and
// nothing is parsed twice. Values that may be secret hold placeholders; what they stand for is kept elsewhere
// (resolve.go), so that Caddy's /config/ never shows it.

// StoreConfig says where users and sessions are kept.
type StoreConfig struct {
	// Engine: `sqlite` (default) or `postgres`.
	Engine string `json:"engine,omitempty"`
	// Path of the SQLite file. Default: gatehouse/gatehouse.db in Caddy's data directory. Placeholders are allowed.
	Path string `json:"path,omitempty"`
	// DSN of the PostgreSQL database, as a URL or as key=value pairs. Use a placeholder: it holds a password.
	DSN string `json:"dsn,omitempty"`
}

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

// SessionConfig says how long a sign-in lasts.
type SessionConfig struct {
	// Idle ends a session that was not used for this long; default 12h. Capped by Absolute.
	Idle caddy.Duration `json:"idle,omitempty"`
	// Absolute ends a session after this long, whatever happens; default 7d.
	Absolute caddy.Duration `json:"absolute,omitempty"`
	// Remember is both for "keep me signed in"; default 30d.
	Remember caddy.Duration `json:"remember,omitempty"`
	// CookieDomain shares the session with the hosts below this domain. Default: this host alone.
	CookieDomain string `json:"cookie_domain,omitempty"`
	// StoreGrace is how long requests with sessions that were in use go on when the store cannot be reached, at most
	// 10s; default 0: not at all. An ending elsewhere is not seen meanwhile.
	StoreGrace caddy.Duration `json:"store_grace,omitempty"`
}

// PasswordConfig bounds passwords and the cost of their hashes.
type PasswordConfig struct {
	// MinLength in characters; default 12, never under 8.
	MinLength int `json:"min_length,omitempty"`
	// Argon2id is the cost of a password hash; default 64 MiB, 3, 1.
	Argon2id *Argon2idConfig `json:"argon2id,omitempty"`
}

// Argon2idConfig is the cost of a password hash (RFC 9106, section 3.1). Never under 19 MiB, 2, 1.
type Argon2idConfig struct {
	// MemoryKiB is the memory in KiB.
	MemoryKiB uint32 `json:"memory_kib,omitempty"`
	// Time is the number of passes.
	Time uint32 `json:"time,omitempty"`
	// Threads is the degree of parallelism.
	Threads uint8 `json:"threads,omitempty"`
}

// ThrottleConfig bounds how fast passwords may be tried.
type ThrottleConfig struct {
	// Free wrong passwords for one account before it gets slower; default 5.
	Free int `json:"free,omitempty"`
	// Longest is the longest wait; default 15m.
	Longest caddy.Duration `json:"longest,omitempty"`
	// ClientAttempts of one client address in ClientWindow; default 30 in 1m.
	ClientAttempts int `json:"client_attempts,omitempty"`
	// ClientWindow is the time for ClientAttempts.
	ClientWindow caddy.Duration `json:"client_window,omitempty"`
}

// AuditConfig says how long the audit log is kept.
type AuditConfig struct {
	// Keep entries for this long; never under 24h. Default: for ever.
	Keep caddy.Duration `json:"keep,omitempty"`
}

// BrandConfig makes the pages look like the operator's.
type BrandConfig struct {
	// Title of the site on our pages; default Gatehouse.
	Title string `json:"title,omitempty"`
	// Logo file: PNG, JPEG, WebP or SVG, at most 64 KiB.
	Logo string `json:"logo,omitempty"`
	// Accent color, #rrggbb.
	Accent string `json:"accent,omitempty"`
	// Support is an https: or mailto: address that pages offer for help.
	Support string `json:"support,omitempty"`
}

// HeaderConfig sends one identity value upstream.
type HeaderConfig struct {
	// Name of the request header.
	Name string `json:"name"`
	// Value: user, id, email, name, groups, role or provider.
	Value string `json:"value"`
}

// Rule is one require line, see [policy.Rule].
type Rule = policy.Rule
