package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// visit is what is known of the request being answered.
type visit struct {
	q     *reqctx.Request
	live  *session.Live
	actor account.Actor
	query url.Values
}

// at returns an address of ours, with the mount prefix.
func (v *visit) at(path string) string { return v.q.Prefix + path }

// absolute returns an address that may be a path on the site itself.
func (v *visit) absolute(address string) string {
	if strings.HasPrefix(address, "/") {
		return v.q.Origin() + address
	}
	return address
}

func (a *admin) mount() {
	byPattern := make(map[string][]route)
	for _, rt := range a.table {
		byPattern[rt.pattern] = append(byPattern[rt.pattern], rt)
	}
	for pattern, list := range byPattern {
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, list) })
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, nil) })
}

// serve responds to a request for an address that takes the methods in list.
func (a *admin) serve(w http.ResponseWriter, r *http.Request, list []route) {
	asPage := !strings.HasPrefix(r.URL.Path, "/api/")
	if err := a.admit(w, r, list, asPage); err != nil {
		portal.Fail(w, r, err, asPage)
	}
}

func (a *admin) admit(w http.ResponseWriter, r *http.Request, list []route, asPage bool) error {
	v := &visit{q: reqctx.From(r), live: portal.LiveFrom(r), actor: portal.ActorFrom(r)}
	if v.live == nil {
		return session.ErrNone
	}
	rt, found := find(list, r.Method)
	if !v.live.User.IsActiveAdmin() {
		return a.noRole(r, v, rt)
	}
	if asPage {
		if err := a.addressBarOnly(r); err != nil {
			return err
		}
	}
	switch {
	case len(list) == 0:
		return store.ErrNotFound
	case !found:
		w.Header().Set("Allow", allow(list))
		return problem.ErrMethod
	}
	// One row, one address: another spelling of an id is not found, whatever the store would make of it.
	if id := r.PathValue("id"); strings.Contains(rt.pattern, "{id}") && !store.ValidID(id) {
		return store.ErrNotFound
	}
	var err error
	if v.query, err = readQuery(r); err != nil {
		return err
	}
	if rt.need == fresh && !asPage {
		if err := a.Accounts.Authorize(r.Context(), v.actor, rt.action, r.PathValue("id")); err != nil {
			return err
		}
	}
	return rt.handle(w, r, v)
}

// noRole refuses a person who is no administrator. Attempts to change something are audited.
func (a *admin) noRole(r *http.Request, v *visit, rt route) error {
	if rt.action == "" {
		return &account.ForbiddenError{Code: account.CodeRole, Text: a.text("admin.no_role")}
	}
	if err := a.Accounts.Authorize(r.Context(), v.actor, rt.action, r.PathValue("id")); err != nil {
		return err
	}
	// The store has made them an administrator since the session was looked at: the next request will see it.
	return &account.ForbiddenError{Code: account.CodeRole, Text: a.text("admin.no_role")}
}

// addressBarOnly refuses requests for a page that a browser makes for a script or a frame (Fetch Metadata). A script
// that runs in the app behind the gate has our origin where they share a host, and must not read what is shown here.
// Browsers without these headers and programs send neither.
func (a *admin) addressBarOnly(r *http.Request) error {
	for name, want := range map[string]string{"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"} {
		if got, sent := r.Header[name]; sent && (len(got) != 1 || got[0] != want) {
			return &account.ForbiddenError{Code: "not-a-navigation", Text: a.text("admin.not_a_navigation")}
		}
	}
	return nil
}

func find(list []route, method string) (route, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	i := slices.IndexFunc(list, func(rt route) bool { return rt.method == method })
	if i < 0 {
		return route{}, false
	}
	return list[i], true
}

// allow returns the methods of an address for the Allow header.
func allow(list []route) string {
	var names []string
	for _, rt := range list {
		names = append(names, rt.method)
		if rt.method == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// repeated parameters may stand in an address more than once.
var repeated = []string{"id"}

// readQuery refuses what two readers could take for two different questions.
func readQuery(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, ui.BadInput(http.StatusBadRequest, "input.address")
	}
	for name, values := range q {
		if len(values) > 1 && !slices.Contains(repeated, name) {
			return nil, ui.BadInput(http.StatusBadRequest, "input.address_twice")
		}
	}
	return q, nil
}

// choice returns a parameter that must be one of a few values, or "" when it was not given.
func choice(q url.Values, name string, values ...string) (string, error) {
	got := q.Get(name)
	if got == "" || slices.Contains(values, got) {
		return got, nil
	}
	return "", ui.BadInput(http.StatusBadRequest, "input.address_choice", ui.Fault(name, "input.one_of", "values", strings.Join(values, ", ")))
}

// refusal returns the guard's refusal in err, nil when err is something else.
func refusal(err error) *account.ForbiddenError {
	var refused *account.ForbiddenError
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}
