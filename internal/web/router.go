package web

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Router responds to everything below the mount prefix.
type Router struct {
	deps      *Deps
	cross     ui.CrossOrigin
	mux       *http.ServeMux
	routes    []Route
	endpoints map[string]*endpoint // by pattern
}

// NewRouter makes the router of a list of routes. It panics where two of them contradict each other.
func NewRouter(d *Deps, routes []Route) *Router {
	rt := &Router{deps: d, mux: http.NewServeMux(), routes: routes, endpoints: make(map[string]*endpoint)}
	for _, route := range routes {
		e := rt.endpoints[route.Pattern]
		if e == nil {
			e = &endpoint{pattern: route.Pattern}
			rt.endpoints[route.Pattern] = e
			rt.mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { rt.serve(w, r, e) })
		}
		e.add(route)
	}
	rt.mux.HandleFunc("/", rt.notFound)
	return rt
}

// Routes returns all routes, for tests of what holds for each of them.
func (rt *Router) Routes() []Route { return rt.routes }

// ServeHTTP responds to everything below the mount prefix.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := reqctx.From(r)
	rest, ok := below(q.Prefix, r)
	if programOf(r) != nil && (!ok || !rt.takesPrograms(rest)) { // before anything else responds, such as a redirect
		Responses{rt.deps}.RefuseToken(w, r, TokenOutOfScope, false)
		return
	}
	if !ok {
		rt.notFound(w, r)
		return
	}
	if dir := strings.TrimSuffix(rest.URL.Path, "/"); dir != "" && dir != rest.URL.Path && safe(r.Method) &&
		rest.URL.RawPath == "" {
		// People type a slash at the end. dir is clean and goes behind our own prefix: it stays on this host.
		to := url.URL{Path: q.Prefix + dir, RawQuery: r.URL.RawQuery}
		ui.Redirect(w, r, http.StatusPermanentRedirect, to.RequestURI())
		return
	}
	rt.mux.ServeHTTP(w, rest)
}

// takesPrograms reports whether a request may come with a token of a program: only where a route says so, in the one
// spelling of its address and with its method. Everything else is closed to tokens, whether there is something or not.
func (rt *Router) takesPrograms(r *http.Request) bool {
	_, pattern := rt.mux.Handler(r)
	e := rt.endpoints[pattern]
	if e == nil {
		return false
	}
	route, found := e.find(r.Method)
	return found && route.Programs
}

// serve responds to a request for one pattern.
func (rt *Router) serve(w http.ResponseWriter, r *http.Request, e *endpoint) {
	q := rt.deps.newRequest(r)
	q.parseQuery()
	q.API = q.API || e.json
	if err := rt.handle(w, r, q, e); err != nil {
		q.WriteError(w, r, err)
	}
}

func (rt *Router) handle(w http.ResponseWriter, r *http.Request, q *Request, e *endpoint) error {
	if !e.duringSetup && rt.deps.Setup.Waiting(r) {
		return problem.ErrSetup
	}
	route, found := e.find(r.Method)
	// Only administrators learn which methods the admin pages have.
	if !found && !e.admin && e.exists() {
		w.Header().Set("Allow", e.allow())
		return problem.ErrMethod
	}
	if err := rt.checkOrigin(r, q, route); err != nil {
		return err
	}
	if err := rt.admit(r, q, e.access); err != nil {
		return err
	}
	if e.admin {
		if err := rt.admitAdmin(w, r, q, e, route, found); err != nil {
			return err
		}
	}
	if !e.exists() {
		return store.ErrNotFound
	}
	if q.Live != nil && e.access < Optional {
		r = ui.WithAbout(r, q.Live.User.ID)
	}
	return route.Handle(w, r, q)
}

func (rt *Router) notFound(w http.ResponseWriter, r *http.Request) {
	q := rt.deps.newRequest(r)
	rest, _ := strings.CutPrefix(r.URL.Path, q.Prefix)
	q.API = q.API || isAPI(rest)
	q.WriteError(w, r, q.NotFound())
}

// NotFound returns the error for an address without a page. While there is no administrator, that comes first.
func (q *Request) NotFound() error {
	if q.deps.Setup.Waiting(q.http) {
		return problem.ErrSetup
	}
	return problem.ErrNoPage
}

// endpoint is one pattern with its methods. What does not depend on the method is the same for all of them.
type endpoint struct {
	pattern     string
	admin       bool
	duringSetup bool
	json        bool
	access      Access
	routes      []Route
}

// add takes another method. A pattern whose methods differ in who may come is a mistake in the list of routes.
func (e *endpoint) add(rt Route) {
	if len(e.routes) == 0 {
		e.admin, e.duringSetup, e.json, e.access = rt.Access.admin(), rt.DuringSetup, rt.JSON, rt.Access
	}
	same := e.admin && rt.Access.admin() || e.access == rt.Access
	if _, twice := e.find(rt.Method); twice || !same || e.duringSetup != rt.DuringSetup || e.json != rt.JSON ||
		(rt.Handle == nil) != (rt.Method == "") {
		panic(fmt.Sprintf("web: the routes of %s contradict each other", rt.Pattern))
	}
	if e.admin && rt.Handle != nil && rt.Method != http.MethodGet && rt.Audit == "" {
		panic(fmt.Sprintf("web: %s %s has no name for the audit log", rt.Method, rt.Pattern))
	}
	e.routes = append(e.routes, rt)
}

// find returns the route of a method.
func (e *endpoint) find(method string) (Route, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	i := slices.IndexFunc(e.routes, func(rt Route) bool { return rt.Method == method && rt.Handle != nil })
	if i < 0 {
		return Route{}, false
	}
	return e.routes[i], true
}

// exists reports whether there is anything at the pattern.
func (e *endpoint) exists() bool {
	return slices.ContainsFunc(e.routes, func(rt Route) bool { return rt.Handle != nil })
}

// allow returns the methods for the Allow header.
func (e *endpoint) allow() string {
	var names []string
	for _, rt := range e.routes {
		names = append(names, rt.Method)
		if rt.Method == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
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

// Redirect responds 303 to a location that the caller has built or checked.
func Redirect(w http.ResponseWriter, r *http.Request, location string) {
	ui.Redirect(w, r, http.StatusSeeOther, location)
}
