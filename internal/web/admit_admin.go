package web

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// admitAdmin lets active administrators through to a route of theirs. Somebody is signed in.
func (rt *Router) admitAdmin(w http.ResponseWriter, r *http.Request, q *Request, e *endpoint, route Route,
	found bool,
) error {
	if !onAdminHost(rt.deps, r, q) {
		return store.ErrNotFound
	}
	if q.Live == nil {
		return session.ErrNone
	}
	switch {
	case q.Live.Held:
		return rt.holdBack(r, q, route)
	case !q.Live.User.IsActiveAdmin():
		return rt.refuseRole(r, q, route)
	}
	if !q.API {
		if err := navigationOnly(r, q); err != nil {
			return err
		}
	}
	switch {
	case !e.exists():
		return store.ErrNotFound
	case !found:
		w.Header().Set("Allow", e.allow())
		return problem.ErrMethod
	}
	// One row, one address: another spelling of an id is not found, whatever the store would make of it.
	if id := r.PathValue("id"); strings.Contains(e.pattern, "{id}") && !store.ValidID(id) {
		return store.ErrNotFound
	}
	if err := q.checkQuery(); err != nil {
		return err
	}
	return rt.checkFresh(r, q, route)
}

// onAdminHost reports whether the admin pages are on the host that was asked. It goes by the Host header alone: script
// in an app on another host can send any X-Forwarded-Host through a proxy that does not set it, and would reach the
// administration with the person's cookie.
func onAdminHost(d *Deps, r *http.Request, q *Request) bool {
	if len(d.AdminHosts) == 0 {
		return true
	}
	asked, ok := reqctx.RequestedHost(r)
	return ok && slices.ContainsFunc(d.AdminHosts, func(h reqctx.Host) bool { return h.Matches(asked, q.Secure) })
}

// refuseRole refuses a person who is no administrator. Attempts to change something are audited.
func (rt *Router) refuseRole(r *http.Request, q *Request, route Route) error {
	if route.Audit != "" {
		if err := rt.deps.Accounts.Authorize(r.Context(), q.Actor(), route.Audit, r.PathValue("id")); err != nil {
			return err
		}
		// The store has made them an administrator since the session was looked up: the next request will see it.
	}
	return &account.ForbiddenError{Code: account.CodeRole, Text: q.Text("error.role.text")}
}

// holdBack refuses an administrator whose rights wait for a second factor. Attempts to change something are audited. A
// browser is led to where it is proved, and nothing else is told of the page.
func (rt *Router) holdBack(r *http.Request, q *Request, route Route) error {
	err := error(&account.ForbiddenError{Code: account.CodeMFA, Message: i18n.New("refused.mfa")})
	if route.Audit != "" {
		refused := rt.deps.Accounts.Authorize(r.Context(), q.Actor(), route.Audit, r.PathValue("id"))
		var forbidden *account.ForbiddenError
		if refused != nil && !errors.As(refused, &forbidden) {
			return refused
		}
	}
	if q.API {
		return err
	}
	return &redirect{q.StepUpURL(returnto.Target{}, q.here())}
}

// here returns the address of a page of ours that was asked for, or, of a form, of the page that it was sent from.
func (q *Request) here() string {
	if !safe(q.http.Method) {
		return cmp.Or(q.pageBefore(), q.At("/account"))
	}
	to := q.At(q.http.URL.EscapedPath())
	if q.http.URL.RawQuery != "" {
		to += "?" + q.http.URL.RawQuery
	}
	return to
}

// navigationOnly refuses requests for an admin page that a browser makes for a script or a frame (Fetch Metadata). A
// script that runs in the app behind the gate has our origin where they share a host, and must not read what is shown
// here. Browsers without these headers and programs send neither.
func navigationOnly(r *http.Request, q *Request) error {
	for name, want := range map[string]string{"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"} {
		if got, sent := r.Header[name]; sent && (len(got) != 1 || got[0] != want) {
			return &account.ForbiddenError{Code: "not-a-navigation", Text: q.Text("error.not-a-navigation.text")}
		}
	}
	return nil
}

// checkFresh asks for a recent sign-in where the route changes something. A browser that loads the page confirms it
// first and comes back, before anything is typed.
func (rt *Router) checkFresh(r *http.Request, q *Request, route Route) error {
	switch {
	case route.Access != AdminFresh, route.ChecksFresh:
	case q.API, route.Method != http.MethodGet:
		return rt.deps.Accounts.Authorize(r.Context(), q.Actor(), route.Audit, r.PathValue("id"))
	case !q.Confirmed():
		return &redirect{q.StepUpURL(returnto.Target{}, q.here())}
	}
	return nil
}

// repeated parameters may stand in an admin page's address more than once.
var repeated = []string{"id"}

// checkQuery refuses what two readers could take for two different questions.
func (q *Request) checkQuery() error {
	if q.badQuery != nil {
		return ui.BadInput(http.StatusBadRequest, "input.address")
	}
	for name, values := range q.Query {
		if len(values) > 1 && !slices.Contains(repeated, name) {
			return ui.BadInput(http.StatusBadRequest, "input.address_twice")
		}
	}
	return nil
}
