package web

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Files are the templates and texts that all pages share: errors, what the gate says, words about stored values.
//
//go:embed templates lang
var Files embed.FS

// Config is what the pages and the API of one configuration are made from. Everything but CookieDomain, TrustReturn,
// AdminHosts, Log, OIDC, Needs, PublicKeys and Device is required.
type Config struct {
	Store    store.Store
	Sessions *session.Manager
	Login    *login.Service
	Accounts *account.Service
	OIDC     *login.OIDC // the sign-in through providers; nil when none is configured
	SignIn   SignIn      // what the sign-in page offers; zero for everything
	Pages    *ui.Set     // templates and texts of every package with pages are among its sources
	// Needs returns what the gates ask of a session on a page of this site, as the request for one of our own pages shows
	// the site; see [Request.StepUpNeed]. nil: nothing.
	Needs func(r *http.Request, page *url.URL, l *session.Live) assurance.Need
	// PublicKeys returns the JWK Set with which apps verify signed identities; nil: there is none.
	PublicKeys func(context.Context) ([]byte, error)
	// Device bounds what programs ask of the device sign-in; nil: there is none.
	Device *device.Limits

	CookieDomain string        // of the session cookie; "" keeps it to one host
	TrustReturn  []string      // other hosts a sign-in may return to
	AdminHosts   []reqctx.Host // the only hosts with the admin pages and their API; empty for every host
	Clock        func() time.Time
	Log          *zap.Logger
}

// SignIn is what the sign-in page offers. Whose passwords are accepted is not decided here: see login.Passwords.
type SignIn struct {
	First         string // provider that page loads go on to at once, "" for none
	HidePasswords bool   // the form for passwords is behind a link
}

// Deps are what handlers share.
type Deps struct {
	Config
	Guard *returnto.Guard
	Setup *Setup

	seal *seal.Sealer
}

// NewDeps checks a configuration. It fails on a trusted host that is none.
func NewDeps(c Config) (*Deps, error) {
	if c.Store == nil || c.Sessions == nil || c.Login == nil || c.Accounts == nil || c.Clock == nil || c.Pages == nil {
		return nil, errors.New("web: Store, Sessions, Login, Accounts, Pages and Clock are required")
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	guard, err := returnto.New(c.TrustReturn)
	if err != nil {
		return nil, err
	}
	return &Deps{Config: c, Guard: guard, Setup: &Setup{store: c.Store}, seal: seal.New(c.Store)}, nil
}
