package portal

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Fail is [Portal.Fail] for handlers behind [Config.Extra], which are made before the portal is.
func Fail(w http.ResponseWriter, r *http.Request, err error, asPage bool) {
	if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
		v.p.Fail(w, r, err, asPage)
		return
	}
	// Nobody handed this request on, so nobody checked it either.
	ui.Harden(w, r)
	w.WriteHeader(http.StatusServiceUnavailable)
}

// Words says what the store holds in the words of the account pages, for other pages that show it.
type Words struct{ p *Portal }

// NewWords takes a UI that has [Files] among its sources.
func NewWords(u *ui.UI) Words { return Words{&Portal{ui: u}} }

// Device names the browser and the system that a User-Agent claims.
func (w Words) Device(agent string) string { return w.p.device(agent) }

// Method says how a session was made.
func (w Words) Method(s store.Session) string { return w.p.method(s) }

// Action names an audited action; one without words is answered as it is.
func (w Words) Action(name string) string { return w.p.action(name) }

// Actor names who did something; id is "" for what is no person.
func (w Words) Actor(id, name string) string { return w.p.actorName(id, name) }

// Span says a duration, rounded up.
func (w Words) Span(d time.Duration) string { return problem.Span(w.p.ui, d) }

// APIRoute is an address of the portal's own JSON API, below the mount prefix, and the methods it takes.
type APIRoute struct {
	Path    string
	Methods []string
}

// APIRoutes returns the portal's own part of the JSON API, from the table that serves it.
func APIRoutes() []APIRoute {
	var list []APIRoute
	for _, rt := range new(Portal).routes() {
		if !rt.api() {
			continue
		}
		a := APIRoute{Path: rt.pattern}
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
			if rt.methods[m] != nil {
				a.Methods = append(a.Methods, m)
			}
		}
		list = append(list, a)
	}
	return list
}
