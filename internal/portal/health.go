package portal

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// pingTime bounds a health check.
const pingTime = 2 * time.Second

// ping asks the store whether it works. Anybody may ask for the health, so those who do at the same time share one
// look: a flood costs the store no more than one after the other.
func (p *Portal) ping(ctx context.Context) error {
	_, err, _ := p.pings.Do("", func() (any, error) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTime)
		defer cancel()
		return nil, p.Store.Ping(bounded)
	})
	return err
}

// healthz tells load balancers whether the gate can do its work, and nothing else.
func (p *Portal) healthz(w http.ResponseWriter, r *http.Request, _ *web.Request) error {
	status, text := http.StatusOK, "ok\n"
	if err := p.ping(r.Context()); err != nil {
		status, text = http.StatusServiceUnavailable, "unavailable\n"
		w.Header().Set("Retry-After", strconv.Itoa(int(problem.StoreRetry.Seconds())))
	}
	ui.Harden(w, r)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(text)) // the client went away: nobody to tell
	}
	return nil
}

func (p *Portal) asset(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if !q.UI.Asset(w, r, r.PathValue("name")) {
		return problem.ErrNoPage
	}
	return nil
}
