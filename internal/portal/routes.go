package portal

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// access says what a route wants to know of the person.
type access int

const (
	person   access = iota // someone signed in; the zero value
	held                   // someone signed in, also one who has to change the password first
	known                  // whoever it is; the session is looked at, but does not count as used
	anybody                // the session is not looked for
	separate               // a handler that makes its own checks
)

type handler func(w http.ResponseWriter, r *http.Request, v *visit)

// route is an address below the prefix and who answers there.
type route struct {
	pattern string // of http.ServeMux, without a method
	access  access
	methods map[string]handler
	foreign bool // takes posts from other sites, and protects itself
	early   bool // answers as ever while there is no administrator yet
}

func (rt route) api() bool { return isAPI(rt.pattern) }

// isAPI reports whether a path without the mount prefix is for programs.
func isAPI(path string) bool { return path == "/api" || strings.HasPrefix(path, "/api/") }

// allow returns the methods of a route for the Allow header.
func (rt route) allow() string {
	names := slices.Sorted(maps.Keys(rt.methods))
	if _, ok := rt.methods[http.MethodGet]; ok {
		names = append(names, http.MethodHead)
		slices.Sort(names)
	}
	return strings.Join(names, ", ")
}

// routes is the map of the portal.
func (p *Portal) routes() []route {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	page := func(g, post handler) map[string]handler {
		return map[string]handler{http.MethodGet: g, http.MethodPost: post}
	}
	list := []route{
		{pattern: "/{$}", access: known, methods: get(p.index)},
		{pattern: "/healthz", access: anybody, early: true, methods: get(p.healthz)},
		{pattern: "/assets/{name}", access: anybody, early: true, methods: get(p.asset)},

		{pattern: "/login", access: known, methods: page(p.showLogin, p.postLogin)},
		{pattern: "/login/help", access: anybody, methods: get(p.loginHelp)},
		{pattern: "/language", access: anybody, early: true, methods: map[string]handler{http.MethodPost: p.postLanguage}},
		{pattern: "/logout", access: known, early: true, methods: page(p.showLogout, p.postLogout)},
		{pattern: "/logged-out", access: known, methods: get(p.loggedOut)},
		{pattern: "/continue", access: anybody, methods: get(p.goOn)},
		{pattern: reauthPath, access: person, methods: page(p.showReauth, p.postReauth)},

		{pattern: "/link/{token}", access: anybody, early: true, methods: get(p.link)},
		{pattern: "/welcome", access: anybody, early: true, methods: page(p.showWelcome, p.postWelcome)},

		{pattern: "/account", access: person, methods: get(p.overview)},
		{pattern: "/account/profile", access: person, methods: page(p.showProfile, p.postProfile)},
		{pattern: "/account/password", access: held, methods: page(p.showPassword, p.postPassword)},
		{pattern: "/account/sessions", access: person, methods: get(p.listSessions)},
		{pattern: "/account/sessions/others", access: person, methods: page(p.confirmOthers, p.endOthers)},
		{pattern: "/account/sessions/{id}/revoke", access: person, methods: page(p.confirmRevoke, p.revoke)},
		{pattern: "/account/activity", access: person, methods: get(p.activity)},
		{pattern: "/account/appearance", access: person, methods: page(p.showAppearance, p.postAppearance)},

		{pattern: "/api/v1/session", access: known, methods: get(p.apiSession)},
		{pattern: "/api/v1/me", access: person, methods: map[string]handler{http.MethodGet: p.apiMe, http.MethodPatch: p.apiPatchMe}},
		{pattern: "/api/v1/me/password", access: held, methods: map[string]handler{http.MethodPost: p.apiPassword}},
		{pattern: "/api/v1/me/sessions", access: person, methods: get(p.apiSessions)},
		{pattern: "/api/v1/me/sessions/{id}", access: person, methods: map[string]handler{http.MethodDelete: p.apiEndSession}},

		{pattern: "/", access: separate},
	}
	if p.Extra != nil {
		// Each with and without the slash: where one is missing, ServeMux redirects to the other, on the app's own paths.
		for _, pattern := range []string{"/admin", "/admin/", "/api/v1", "/api/v1/"} {
			list = append(list, route{pattern: pattern})
		}
	}
	if p.OIDC != nil {
		list = append(list, p.oidcRoutes()...)
	}
	return list
}

// handler wraps a route in what holds for all of them.
func (p *Portal) handler(rt route) http.Handler {
	if rt.access == separate {
		return http.HandlerFunc(p.notFound)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rt.early && p.Waiting(r) {
			p.SetupNeeded(w, r, !rt.api())
			return
		}
		v := p.visit(r, rt.api())
		h, ok := rt.find(r.Method)
		if rt.methods == nil {
			h, ok = func(w http.ResponseWriter, r *http.Request, v *visit) { p.Extra.ServeHTTP(w, withVisit(r, v)) }, true
		}
		if !ok {
			w.Header().Set("Allow", rt.allow())
			p.fail(w, r, v, problem.ErrMethod)
			return
		}
		err := p.cross.Check(r)
		if err == nil && rt.api() {
			err = p.cross.CheckRead(r)
		}
		if err != nil && !rt.foreign {
			p.fail(w, r, v, err)
			return
		}
		if !p.admit(w, r, v, rt.access) {
			return
		}
		if v.live != nil && (rt.access == person || rt.access == held) {
			r = ui.WithAbout(r, v.live.User.ID)
		}
		h(w, r, v)
	})
}

func (rt route) find(method string) (handler, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, ok := rt.methods[method]
	return h, ok
}

// admit looks for the session as far as the route wants it, and reports whether the request may go on. Otherwise it
// has been answered.
func (p *Portal) admit(w http.ResponseWriter, r *http.Request, v *visit, a access) bool {
	if a == anybody {
		return true
	}
	if err := v.resolve(r, a != known); err != nil {
		p.fail(w, r, v, err)
		return false
	}
	if a == known {
		return true
	}
	if err := p.ready(r.Context()); err != nil {
		p.fail(w, r, v, err)
		return false
	}
	if v.live == nil {
		p.signInFirst(w, r, v)
		return false
	}
	if v.live.User.MustChange && a != held {
		if v.api {
			p.fail(w, r, v, &account.ForbiddenError{Code: account.CodeMustChange, Text: p.ui.Text("error.must_change")})
			return false
		}
		p.sendTo(w, r, v.q.Prefix+passwordPage)
		return false
	}
	return true
}

// signInFirst responds to a request for a page of ours from somebody who is not signed in (any more).
func (p *Portal) signInFirst(w http.ResponseWriter, r *http.Request, v *visit) {
	switch {
	case v.api:
		p.Unauthorized(w, r, v.q.Prefix+"/login")
	case safe(r.Method) && r.URL.Path == reauthPath: // to sign in is to prove it: go on from there
		p.sendTo(w, r, p.guard.LoginURLTo(v.q, v.reauthBack(r, nil)))
	case safe(r.Method):
		p.sendTo(w, r, p.guard.OwnLoginURL(v.q, r.URL))
	default:
		p.SessionEnded(w, r)
	}
}

// passwordPage is where somebody who has to change the password is sent, below the prefix.
const passwordPage = "/account/password"

func (p *Portal) sendTo(w http.ResponseWriter, r *http.Request, location string) {
	ui.Redirect(w, r, http.StatusSeeOther, location)
}

func (p *Portal) notFound(w http.ResponseWriter, r *http.Request) {
	rest, _ := strings.CutPrefix(r.URL.Path, reqctx.From(r).Prefix)
	api := isAPI(rest) || isAPI(r.URL.Path)
	if p.Waiting(r) {
		p.SetupNeeded(w, r, !api)
		return
	}
	p.fail(w, r, p.visit(r, api), problem.ErrNoPage)
}
