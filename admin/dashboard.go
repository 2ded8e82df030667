package admin

import (
	"context"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// dashboard is the page where administrators begin.
type dashboard struct {
	*web.Deps
	Config
}

func (h dashboard) routes() []web.Route { return []web.Route{get("/admin", h.show)} }

// show shows how many users there are, what needs attention, and what failed lately.
func (h dashboard) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	ctx := r.Context()
	var facts []fact
	for _, c := range []struct {
		id, href string
		query    store.UserQuery
	}{
		{"dashboard.users", "/admin/users", store.UserQuery{}},
		{"dashboard.admins", "/admin/users?role=admin", store.UserQuery{Role: store.RoleAdmin}},
		{"dashboard.pending", "/admin/users?status=pending", store.UserQuery{Status: "pending"}},
		{"dashboard.inactive", "/admin/users?status=inactive", store.UserQuery{Status: "inactive"}},
	} {
		c.query.Limit = countLimit
		n, err := h.Store.CountUsers(ctx, c.query)
		if err != nil {
			return err
		}
		facts = append(facts, fact{Name: q.Text(c.id), Value: countNumber(q, n, countLimit), Href: q.At(c.href)})
	}
	n, err := h.Store.CountSessions(ctx, h.Clock(), countLimit)
	if err != nil {
		return err
	}
	facts = append(facts, fact{
		Name: q.Text("dashboard.sessions"), Value: countNumber(q, n, countLimit),
		Href: q.At("/admin/sessions"),
	})
	links, err := h.Store.CountLinks(ctx, store.LinkQuery{
		Purpose: store.LinkPassword, Now: h.Clock(),
		Limit: unindexedLimit,
	})
	if err != nil {
		return err
	}
	facts = append(facts, fact{
		Name: q.Text("dashboard.invites"), Value: countNumber(q, links, unindexedLimit),
		Href: q.At("/admin/invites"),
	})
	s := &content{Sections: []section{{ID: "numbers", Title: q.Text("dashboard.numbers"), Facts: facts}}}
	if s.Warnings, err = warnings(ctx, h.Deps, h.Config, q); err != nil {
		return err
	}
	failed, err := h.Store.Events(ctx, store.EventQuery{Outcome: store.Failure, Limit: 5})
	if err != nil {
		return err
	}
	t := eventTable(q, failed.Items)
	t.Caption, t.Empty = q.Text("dashboard.failures"), q.Text("dashboard.no_failures")
	s.Sections = append(s.Sections, section{Table: t, Actions: []action{{
		Href: q.At("/admin/audit?outcome=failure"),
		Text: q.Text("dashboard.all_failures"),
	}}})
	q.UI.Write(w, r, newPage(q, "", q.Text("admin.dashboard"), s))
	return nil
}

// warnings returns what an operator should look at: what is known from the configuration, and what only the store and
// this request show.
func warnings(ctx context.Context, d *web.Deps, c Config, q *web.Request) ([]string, error) {
	var list []string
	for _, w := range c.Effective().Warnings {
		list = append(list, q.UI.Say(w))
	}
	admins, err := d.Store.ActiveAdmins(ctx, 2)
	if err != nil {
		return nil, err
	}
	if len(admins) < 2 {
		list = append(list, q.Text("warning.one_admin"))
	}
	if !q.Secure {
		list = append(list, q.Text("warning.plain_http"))
	}
	for _, p := range c.Providers() {
		if p.Down {
			list = append(list, q.Text("warning.provider_down", "name", p.Label))
		}
	}
	return list, nil
}
