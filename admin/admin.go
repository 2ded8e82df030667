package admin

import (
	"context"
	"embed"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// Files are the template and the texts of the admin pages, for tests that check them.
//
//go:embed templates lang
var Files embed.FS

// Config of the admin pages.
type Config struct {
	// Providers returns how the providers are doing, in the order of the configuration. Nil: none are configured.
	Providers func() []api.ProviderStatus
	// CheckProvider asks a provider for its metadata and keys at once; the error is a sentence for people. Nil: there is
	// nothing to check with.
	CheckProvider func(ctx context.Context, name string) error
	// Effective returns the configuration in force, for the settings page. Nil: nothing is known of it.
	Effective func() Settings
	// Sites returns what each gate asks for, to explain who passes. Nil: nothing is known of it.
	Sites func() []SiteRules
}

// Settings is the configuration in force. Options never hold a secret: what gives it leaves values out, or says "set".
type Settings struct {
	Version   string // of Gatehouse
	Caddy     string // version of Caddy
	Started   time.Time
	Retention time.Duration // of the audit log; 0 keeps everything
	Options   []Option      // in the order to show them
	Warnings  []i18n.Text   // sentences for the operator
	Notes     []Note        // what was warned of when the configuration was loaded
}

// Note is a warning about the configuration, in English as in the log.
type Note struct{ Place, Text string }

// Option is one value of the configuration.
type Option struct {
	Section string // such as "session"
	Name    string // directive, as in the Caddyfile
	Value   string
	Source  string // "default", "Caddyfile", or the name of an environment variable
}

// SiteRules is what one gate asks for.
type SiteRules struct {
	Hosts    []string // of the site; none for every host
	Guards   []string // such as "path /reports/*", each of which is enough; none for every request of the site
	Public   []string
	Optional []string
	Require  []policy.Rule // all must hold; none: every signed-in user passes
}
