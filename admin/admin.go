package admin

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Files are the template and the texts of the admin pages, for tests that check them.
//
//go:embed templates lang
var Files embed.FS

// Config of the admin pages. Store, Accounts and Clock are required.
type Config struct {
	Store    store.Store
	Accounts *account.Service
	Brand    ui.Brand
	Language string // for those who ask for none that there is; English when empty
	Clock    func() time.Time
	Log      *zap.Logger // nil means none

	// Pages render the admin pages; [Files] and the portal's are among their sources. Nil makes some from Brand and
	// Language.
	Pages *ui.Set
	// Providers returns how the providers are doing, in the order of the configuration. Nil: none are configured.
	Providers func() []ProviderStatus
	// CheckProvider asks a provider for its metadata and keys at once; the error is a sentence for people. Nil: there is
	// nothing to check with.
	CheckProvider func(ctx context.Context, name string) error
	// Effective returns the configuration in force, for the settings page. Nil: nothing is known of it.
	Effective func() Settings
	// Sites returns what each gate asks for, to explain who passes. Nil: nothing is known of it.
	Sites func() []SiteRules
}

// ProviderStatus is how the sign-in through one provider is doing. It holds no secret. Zero times mean "not yet".
type ProviderStatus struct {
	Name        string // in the configuration and in addresses
	Label       string // on the button
	Issuer      string
	RedirectURI string // to register at the provider; a path means: on the site that the page is shown on
	Scopes      []string

	Down         bool      // sign-ins through it fail at the moment
	DiscoveredAt time.Time // when its metadata was read last
	KeysAt       time.Time // when its keys were read last
	Keys         int
	Skew         time.Duration // of its clock against ours; positive when it is ahead
	LastSuccess  time.Time     // of a sign-in
	LastError    string        // in words, cleaned
	LastErrorAt  time.Time
	// LogoutError is why a logout token was refused last. Anybody can send one, so it is no failure of the provider.
	LogoutError   string
	LogoutErrorAt time.Time
}

// Settings is the configuration in force. Options never hold a secret: what gives it leaves values out, or says "set".
type Settings struct {
	Version   string // of Gatehouse
	Caddy     string // version of Caddy
	Started   time.Time
	Retention time.Duration // of the audit log; 0 keeps everything
	Options   []Option      // in the order to show them
	Warnings  []i18n.Text   // sentences for the operator
}

// Option is one value of the configuration.
type Option struct {
	Section string // such as "session"
	Name    string // directive, as in the Caddyfile
	Value   string
	Source  string // "default", "Caddyfile", or the name of an environment variable
}

// SiteRules is what one gate asks for.
type SiteRules struct {
	Site     string   // such as "path /reports/*"; "" for every request of the site
	Also     []string // further requests that it is for
	Public   []string
	Optional []string
	Require  []policy.Rule // all must hold; none: every signed-in user passes
}

// admin responds to everything below "/admin" and the administrators' part of "/api/v1/", in one language. ServeHTTP hands
// a request to the one of its own language; they differ in nothing else.
type admin struct {
	Config
	ui     *ui.UI
	voices *ui.PerLanguage[*admin]
	words  portal.Words
	mux    *http.ServeMux
	table  []route
	api    map[string]any // openapi.json, without the server
}

// New makes the handler of the admin pages and their API, for portal.Config.Extra. It fails on a template or a text
// that is wrong.
func New(c Config) (http.Handler, error) {
	if c.Store == nil || c.Accounts == nil || c.Clock == nil {
		return nil, errors.New("admin: Store, Accounts and Clock are required")
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Providers == nil {
		c.Providers = func() []ProviderStatus { return nil }
	}
	if c.Effective == nil {
		c.Effective = func() Settings { return Settings{} }
	}
	if c.Sites == nil {
		c.Sites = func() []SiteRules { return nil }
	}
	var err error
	if c.Pages == nil {
		sources := []ui.Source{portal.Files, Files}
		if c.Pages, err = ui.NewSet(ui.Config{Brand: c.Brand, Language: c.Language, Log: c.Log, Sources: sources}); err != nil {
			return nil, err
		}
	}
	a := &admin{Config: c}
	a.speak(c.Pages.Default())
	if a.api, err = openAPI(a.table); err != nil {
		return nil, err
	}
	a.voices = ui.NewPerLanguage(c.Pages, a, func(u *ui.UI) *admin {
		b := *a
		b.speak(u)
		return &b
	})
	return a, nil
}

// speak gives the pages their language.
func (a *admin) speak(u *ui.UI) {
	a.ui, a.words, a.mux = u, portal.NewWords(u), http.NewServeMux()
	a.table = a.routes()
	a.mount()
}

// ServeHTTP responds to requests that the portal has handed on; their paths have no mount prefix.
func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.voices.For(r).mux.ServeHTTP(w, r)
}

// tell returns what an error says to people: say in the language of the page, or text where there is no more than that.
func (a *admin) tell(text string, t i18n.Text) string {
	if t.IsZero() {
		return text
	}
	return a.ui.Say(t)
}

func (a *admin) text(id string, args ...any) string { return a.ui.Text(id, args...) }
