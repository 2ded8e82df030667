package admin

import (
	"context"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// dashboard is the page where administrators begin.
type dashboard struct {
	*web.Deps
	Config
}

func (h dashboard) routes() []web.Route { return []web.Route{get("/admin", h.show)} }

// show shows what is still to be set up, what needs attention, how many users there are, and what failed lately.
func (h dashboard) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	ctx := r.Context()
	tiles, err := h.tiles(ctx, q)
	if err != nil {
		return err
	}
	setup, err := h.setup(ctx, q)
	if err != nil {
		return err
	}
	attention, err := warnings(ctx, h.Deps, h.Config, q, len(setup) > 0)
	if err != nil {
		return err
	}
	failed, err := h.Store.Events(ctx, store.EventQuery{Outcome: store.Failure, Limit: 5})
	if err != nil {
		return err
	}
	s := &content{Tiles: tiles}
	if len(setup) > 0 {
		s.Sections = append(s.Sections, section{ID: "setup", Title: q.Text("setup.title"), List: setup})
	}
	s.Sections = append(s.Sections, warningSection(q, attention)...)
	t := eventTable(q, failed.Items)
	t.Caption, t.Empty = q.Text("dashboard.failures"), q.Text("dashboard.no_failures")
	s.Sections = append(s.Sections, section{Table: t, Actions: []action{{
		Href: q.At("/admin/audit?outcome=failure"),
		Text: q.Text("dashboard.all_failures"),
	}}})
	q.UI.Write(w, r, newPage(q, "", q.Text("admin.dashboard"), s))
	return nil
}

// tiles are numbers at a glance, each with the list that it counts.
func (h dashboard) tiles(ctx context.Context, q *web.Request) ([]fact, error) {
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
			return nil, err
		}
		facts = append(facts, fact{Name: q.Text(c.id), Value: countNumber(q, n, countLimit), Href: q.At(c.href)})
	}
	n, err := h.Store.CountSessions(ctx, h.Clock(), countLimit)
	if err != nil {
		return nil, err
	}
	links, err := h.Store.CountLinks(ctx, store.LinkQuery{
		Purpose: store.LinkPassword, Now: h.Clock(),
		Limit: unindexedLimit,
	})
	return append(facts,
		fact{
			Name: q.Text("dashboard.sessions"), Value: countNumber(q, n, countLimit),
			Href: q.At("/admin/sessions"),
		},
		fact{
			Name: q.Text("dashboard.invites"), Value: countNumber(q, links, unindexedLimit),
			Href: q.At("/admin/invites"),
		}), err
}

// setup is what is to be done on a new site, none when all of it is done. A provider is nobody's duty.
func (h dashboard) setup(ctx context.Context, q *web.Request) ([]item, error) {
	admins, err := h.Store.ActiveAdmins(ctx, 2)
	if err != nil {
		return nil, err
	}
	people, err := h.Store.CountUsers(ctx, store.UserQuery{Role: store.RoleUser, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(admins) > 1 && people > 0 {
		return nil, nil
	}
	done := good(q.Text("setup.done"))
	step := func(isDone bool, doneText, text string, m mark, link ui.Link) item {
		if isDone {
			return item{Mark: &done, Text: doneText}
		}
		return item{Mark: &m, Text: text, Link: &link}
	}
	todo, invite := warn(q.Text("setup.todo")), q.At("/admin/users/invite")
	return []item{
		{Mark: &done, Text: q.Text("setup.first")},
		step(len(admins) > 1, q.Text("setup.admins"), q.Text("warning.one_admin"), todo,
			ui.Link{Href: invite + "?role=admin", Text: q.Text("users.invite")}),
		step(people > 0, q.Text("setup.people_done"), q.Text("setup.people"), todo,
			ui.Link{Href: invite, Text: q.Text("users.invite")}),
		step(len(h.Providers()) > 0, q.Text("setup.provider_done"), q.Text("setup.provider"),
			plain(q.Text("setup.optional")), ui.Link{Href: q.At("/admin/providers"), Text: q.Text("admin.providers")}),
	}, nil
}

// warningSection shows warnings as one list, not at all where there are none.
func warningSection(q *web.Request, list []item) []section {
	if len(list) == 0 {
		return nil
	}
	return []section{{ID: "warnings", Title: q.Text("warnings.title"), List: list}}
}

// warnings returns what an operator should look at: what is known from the configuration, and what only the store and
// this request show. settingUp leaves out what the list of what is to be set up says.
func warnings(ctx context.Context, d *web.Deps, c Config, q *web.Request, settingUp bool) ([]item, error) {
	look := warn(q.Text("warnings.look"))
	var list []item
	add := func(text string, link *ui.Link) { list = append(list, item{Mark: &look, Text: text, Link: link}) }
	to := func(href, id string) *ui.Link { return &ui.Link{Href: q.At(href), Text: q.Text(id)} }
	if !q.Secure {
		add(q.Text("warning.plain_http"), nil)
	}
	for _, p := range c.Providers() {
		if p.Down {
			add(q.Text("warning.provider_down", "name", p.Label), to("/admin/providers", "admin.providers"))
		}
	}
	pending, err := d.Store.CountUsers(ctx, store.UserQuery{Status: "pending", Limit: countLimit})
	if err != nil {
		return nil, err
	}
	if pending > 0 {
		add(countText(q, "warning.pending", "warning.pending_more", pending, countLimit),
			to("/admin/users?status=pending", "warning.pending_link"))
	}
	if !settingUp {
		admins, err := d.Store.ActiveAdmins(ctx, 2)
		if err != nil {
			return nil, err
		}
		if len(admins) < 2 {
			add(q.Text("warning.one_admin"), to("/admin/users/invite?role=admin", "users.invite"))
		}
	}
	set := c.Effective()
	for _, w := range set.Warnings {
		add(q.UI.Say(w), to("/admin/settings", "admin.settings"))
	}
	for _, n := range set.Notes {
		list = append(list, item{Mark: &look, Text: n.Text, Place: n.Place, Lang: ui.English})
	}
	return list, nil
}
