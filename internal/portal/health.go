package portal

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// pingTime bounds a health check.
const pingTime = 2 * time.Second

// healthz tells load balancers whether the gate can do its work, and nothing else.
func (p *Portal) healthz(w http.ResponseWriter, r *http.Request, _ *visit) {
	ctx, cancel := context.WithTimeout(r.Context(), pingTime)
	defer cancel()
	status, text := http.StatusOK, "ok\n"
	if err := p.Store.Ping(ctx); err != nil {
		status, text = http.StatusServiceUnavailable, "unavailable\n"
		w.Header().Set("Retry-After", strconv.Itoa(int(storeRetry.Seconds())))
	}
	ui.Harden(w, r)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(text)) // the client went away: nobody to tell
	}
}

func (p *Portal) asset(w http.ResponseWriter, r *http.Request, v *visit) {
	if !p.ui.Asset(w, r, r.PathValue("name")) {
		p.fail(w, r, v, errNoPage)
	}
}
