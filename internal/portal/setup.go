package portal

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ready returns nil when there is an active administrator, and problem.ErrSetup when there is none yet. The store never loses
// its last one, so a yes holds for ever.
func (p *Portal) ready(ctx context.Context) error {
	if p.hasAdmin.Load() {
		return nil
	}
	admins, err := p.Store.ActiveAdmins(ctx, 1)
	if err != nil {
		return err
	}
	if len(admins) == 0 {
		return problem.ErrSetup
	}
	p.hasAdmin.Store(true)
	return nil
}

// Waiting reports whether there is no administrator yet, so that nobody could sign in. What cannot be found out is no:
// then the address answers as it would, and asks again where it matters.
func (p *Portal) Waiting(r *http.Request) bool {
	if p.hasAdmin.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTime)
	defer cancel()
	return errors.Is(p.ready(ctx), problem.ErrSetup)
}

// setupSteps are the ways to make the first administrator.
func (p *Portal) setupSteps() []string {
	return []string{p.ui.Text("setup.env", "env", p.Accounts.EnvPrefix), p.ui.Text("setup.link"), p.ui.Text("setup.init")}
}

// SetupNeeded responds to a request to a site whose store has no administrator yet: how to go on, and nothing else.
func (p *Portal) SetupNeeded(w http.ResponseWriter, r *http.Request, asPage bool) {
	p = p.in(r)
	v := p.visit(r, !asPage)
	f := problem.Problem{Status: http.StatusServiceUnavailable, Slug: "setup-needed", RetryAfter: problem.StoreRetry}
	p.begin(w, r, v, f, problem.ErrSetup)
	if !asPage {
		ui.HardenDecision(w, r)
		problem.Write(w, r, p.ui, p.problem(v, f))
		return
	}
	p.ui.WriteDecision(w, r, ui.Page{
		Template: "message", Status: f.Status, Title: f.Title(p.ui), Card: true, Wide: true,
		Data: messagePage{
			Paras: []string{f.Text(p.ui), p.ui.Text("setup.ways")},
			Steps: p.setupSteps(),
		},
	})
}

// Hold returns where a person has to go before anything else, and whether there is such a place: whoever was given a
// password by someone else sets an own one first, and then goes on to what r asked for. The gate lets nothing of
// theirs through until then.
func (p *Portal) Hold(r *http.Request, u store.User) (location string, held bool) {
	if !u.MustChange {
		return "", false
	}
	q := reqctx.From(r)
	location = q.Prefix + passwordPage
	if _, query, ok := strings.Cut(p.guard.LoginURL(q, r.URL), "?"); ok {
		location += "?" + query
	}
	return location, true
}
