package portal

import (
	"embed"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Files are the portal's templates and texts, for tests that render them.
//
//go:embed templates lang
var Files embed.FS

// Config of a Portal. Everything but CookieDomain, Brand, TrustReturn, Log, OIDC and Extra is required.
type Config struct {
	Store        store.Store
	Sessions     *session.Manager
	Login        *login.Service
	Accounts     *account.Service
	CookieDomain string // of the session cookie; "" keeps it to one host
	Brand        ui.Brand
	Language     string   // for those who ask for none that there is; English when empty
	TrustReturn  []string // other hosts a sign-in may return to
	Clock        func() time.Time
	Log          *zap.Logger

	// Pages render the portal's; [Files] are among their sources. Nil makes some from Brand and Language.
	Pages *ui.Set
	// OIDC is the sign-in through providers; nil when none is configured.
	OIDC *login.OIDC
	// Extra returns what is below "/admin" and what of "/api/v1/" is not the portal's own. It sees paths without the
	// mount prefix, and is called for signed-in people only, after the checks that every page makes; [LiveFrom] and
	// [ActorFrom] tell who it is. Roles are its own matter. It may be nil.
	Extra http.Handler
}

// Portal responds to everything below the mount prefix, in one language. Whatever comes from outside goes through [Portal.in]
// first, which hands it to the portal of the request's own language; they differ in nothing else.
type Portal struct {
	Config
	ui       *ui.UI
	voices   *ui.PerLanguage[*Portal]
	guard    *returnto.Guard
	cross    *ui.CrossOrigin
	mux      *http.ServeMux
	pings    *singleflight.Group
	hasAdmin *atomic.Bool // there is, or was, an active administrator: never asked again
}

// New makes a portal. It fails on a template or text that is wrong, and on a trusted host that is none.
func New(c Config) (*Portal, error) {
	switch {
	case c.Store == nil, c.Sessions == nil, c.Login == nil, c.Accounts == nil, c.Clock == nil:
		return nil, errors.New("portal: Store, Sessions, Login, Accounts and Clock are required")
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	guard, err := returnto.New(c.TrustReturn)
	if err != nil {
		return nil, err
	}
	if c.Pages == nil {
		if c.Pages, err = ui.NewSet(ui.Config{Brand: c.Brand, Language: c.Language, Log: c.Log, Sources: []ui.Source{Files}}); err != nil {
			return nil, err
		}
	}
	p := &Portal{Config: c, guard: guard, cross: new(ui.CrossOrigin), pings: new(singleflight.Group), hasAdmin: new(atomic.Bool)}
	p.speak(c.Pages.Default())
	p.voices = ui.NewPerLanguage(c.Pages, p, func(u *ui.UI) *Portal {
		q := *p
		q.speak(u)
		return &q
	})
	return p, nil
}

// speak gives the portal its language.
func (p *Portal) speak(u *ui.UI) {
	p.ui, p.mux = u, http.NewServeMux()
	for _, rt := range p.routes() {
		p.mux.Handle(rt.pattern, p.handler(rt))
	}
}

// in returns the portal in the language of a request.
func (p *Portal) in(r *http.Request) *Portal { return p.voices.For(r) }

// UI returns the renderer of the portal's pages in the default language.
func (p *Portal) UI() *ui.UI { return p.ui }

// Guard returns the judge of return-to values, for sign-ins that come back from a provider.
func (p *Portal) Guard() *returnto.Guard { return p.guard }

// ServeHTTP responds to everything below the mount prefix.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p = p.in(r)
	q := reqctx.From(r)
	rest, ok := below(q.Prefix, r)
	if !ok {
		p.notFound(w, r)
		return
	}
	if dir := strings.TrimSuffix(rest.URL.Path, "/"); dir != "" && dir != rest.URL.Path && safe(r.Method) && rest.URL.RawPath == "" {
		// People type a slash at the end. dir is clean and goes behind our own prefix: it stays on this host.
		to := url.URL{Path: q.Prefix + dir, RawQuery: r.URL.RawQuery}
		ui.Redirect(w, r, http.StatusPermanentRedirect, to.RequestURI())
		return
	}
	p.mux.ServeHTTP(w, rest)
}

// below returns a copy of r whose path has no prefix any more. ok is false when the path is not below it, or is not
// written the one way in which we write it: ServeMux would redirect to a clean path, and forget the prefix.
func below(prefix string, r *http.Request) (*http.Request, bool) {
	rest, ok := strings.CutPrefix(r.URL.Path, prefix)
	if !ok || (rest != "" && rest[0] != '/') {
		return nil, false
	}
	raw := ""
	if r.URL.RawPath != "" {
		if raw, ok = strings.CutPrefix(r.URL.RawPath, prefix); !ok || (raw != "" && raw[0] != '/') {
			return nil, false
		}
	}
	if rest == "" {
		rest = "/"
	}
	if p := strings.TrimSuffix(rest, "/"); p != "" && path.Clean(p) != p {
		return nil, false
	}
	u := *r.URL
	u.Path, u.RawPath = rest, raw
	if e := u.EscapedPath(); strings.Contains(e, "//") {
		return nil, false
	}
	out := *r
	out.URL = &u
	return &out, true
}

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// LoginURL returns the address of the sign-in page that returns to u, what the browser asked for.
func (p *Portal) LoginURL(q *reqctx.Request, u *url.URL) string { return p.guard.LoginURL(q, u) }
