package web

import (
	"context"
	"net/http"
	"strconv"

	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// health tells whether the gate can do its work.
type health struct {
	*Deps
	pings singleflight.Group
}

// Routes returns the addresses that belong to no page.
func Routes(d *Deps) []Route {
	routes := []Route{
		Get("/healthz", Public, (&health{Deps: d}).serve),
		Get("/assets/{name}", Public, asset),
	}
	if d.PublicKeys != nil {
		routes = append(routes, Get("/jwks.json", Public, (&publicKeys{d}).serve))
	}
	for i := range routes {
		routes[i].DuringSetup, routes[i].Programs = true, true // no person is behind them
	}
	return routes
}

// ping asks the store whether it works. Anybody may ask for the health, so those who do at the same time share one
// look: a flood costs the store no more than one after the other.
func (h *health) ping(ctx context.Context) error {
	_, err, _ := h.pings.Do("", func() (any, error) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTime)
		defer cancel()
		return nil, h.Store.Ping(bounded)
	})
	return err
}

// serve tells load balancers whether the gate can do its work, and nothing else.
func (h *health) serve(w http.ResponseWriter, r *http.Request, _ *Request) error {
	status, text := http.StatusOK, "ok\n"
	if err := h.ping(r.Context()); err != nil {
		status, text = http.StatusServiceUnavailable, "unavailable\n"
		w.Header().Set("Retry-After", strconv.Itoa(int(problem.StoreRetry.Seconds())))
	}
	ui.Harden(w, r)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(text)) // the client went away: nobody to report to
	}
	return nil
}

func asset(w http.ResponseWriter, r *http.Request, q *Request) error {
	if !q.UI.Asset(w, r, r.PathValue("name")) {
		return problem.ErrNoPage
	}
	return nil
}
