package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// dashboard is where administrators begin: what there is, what is amiss, what failed lately.
func (a *admin) dashboard(w http.ResponseWriter, r *http.Request, q *web.Request) error {
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
		n, err := a.Store.CountUsers(ctx, c.query)
		if err != nil {
			return err
		}
		facts = append(facts, fact{Name: q.Text(c.id), Value: a.number(q, n, countLimit), Href: q.At(c.href)})
	}
	n, err := a.Store.CountSessions(ctx, a.Clock(), countLimit)
	if err != nil {
		return err
	}
	facts = append(facts, fact{Name: q.Text("dashboard.sessions"), Value: a.number(q, n, countLimit), Href: q.At("/admin/sessions")})
	links, err := a.Store.CountLinks(ctx, store.LinkQuery{Purpose: store.LinkPassword, Now: a.Clock(), Limit: fewLimit})
	if err != nil {
		return err
	}
	facts = append(facts, fact{Name: q.Text("dashboard.invites"), Value: a.number(q, links, fewLimit), Href: q.At("/admin/invites")})
	s := &screen{Sections: []section{{ID: "numbers", Title: q.Text("dashboard.numbers"), Facts: facts}}}
	if s.Warnings, err = a.warnings(ctx, q); err != nil {
		return err
	}
	failed, err := a.Store.Events(ctx, store.EventQuery{Outcome: store.Failure, Limit: 5})
	if err != nil {
		return err
	}
	t := a.eventTable(q, failed.Items)
	t.Caption, t.Empty = q.Text("dashboard.failures"), q.Text("dashboard.no_failures")
	s.Sections = append(s.Sections, section{Table: t, Actions: []action{{Href: q.At("/admin/audit?outcome=failure"), Text: q.Text("dashboard.all_failures")}}})
	q.UI.Write(w, r, a.page(q, "", q.Text("admin.dashboard"), s))
	return nil
}

// warnings are what an operator should look at: what the configuration tells, and what only the store and this request
// can tell.
func (a *admin) warnings(ctx context.Context, q *web.Request) ([]string, error) {
	var list []string
	for _, w := range a.Effective().Warnings {
		list = append(list, q.UI.Say(w))
	}
	admins, err := a.Store.ActiveAdmins(ctx, 2)
	if err != nil {
		return nil, err
	}
	if len(admins) < 2 {
		list = append(list, q.Text("warning.one_admin"))
	}
	if !q.Secure {
		list = append(list, q.Text("warning.plain_http"))
	}
	for _, p := range a.Providers() {
		if p.Down {
			list = append(list, q.Text("warning.provider_down", "name", p.Label))
		}
	}
	return list, nil
}

func (a *admin) showSettings(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	set := a.Effective()
	s := &screen{Lead: q.Text("settings.lead")}
	var err error
	if s.Warnings, err = a.warnings(r.Context(), q); err != nil {
		return err
	}
	s.Sections = []section{a.health(r.Context(), q, set)}
	t := &table{ID: "options", Caption: q.Text("settings.caption"), Empty: q.Text("settings.none")}
	for _, id := range []string{"settings.option", "settings.value", "settings.source"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, o := range set.Options {
		source := cell{Text: o.Source}
		if o.Source == "default" {
			source = cell{Marks: []mark{plain(q.Text("settings.default"))}}
		}
		name := strings.TrimSpace(o.Section + " " + o.Name)
		t.Rows = append(t.Rows, row{Cells: []cell{{Head: true, Text: name}, {Text: o.Value}, source}})
	}
	s.Sections = append(s.Sections, section{Table: t})
	q.UI.Write(w, r, a.page(q, "settings", q.Text("admin.settings"), s))
	return nil
}

// health says what is running and whether its store answers.
func (a *admin) health(ctx context.Context, q *web.Request, set Settings) section {
	info := a.Store.Info()
	begun := a.Clock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answers := good(q.Text("health.answers"))
	if err := a.Store.Ping(ctx); err != nil {
		answers = bad(q.Text("health.silent"))
	}
	facts := []fact{
		{Name: q.Text("health.store"), Value: info.Engine, Marks: []mark{answers}},
		{Name: q.Text("health.location"), Value: info.Location, Code: true},
		{Name: q.Text("health.schema"), Value: strconv.FormatInt(info.Schema, 10)},
		{Name: q.Text("health.prefix"), Value: q.Prefix, Code: true},
	}
	for _, f := range []fact{{Name: q.Text("health.version"), Value: set.Version}, {Name: q.Text("health.caddy"), Value: set.Caddy}} {
		if f.Value != "" {
			facts = append(facts, f)
		}
	}
	if !set.Started.IsZero() {
		facts = append(facts, fact{Name: q.Text("health.started"), Time: set.Started},
			fact{Name: q.Text("health.uptime"), Value: q.Span(max(time.Second, begun.Sub(set.Started)))})
	}
	return section{ID: "health", Title: q.Text("health.title"), Facts: facts}
}

func (a *admin) listProviders(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s := &screen{Lead: q.Text("idp.lead")}
	for _, p := range a.Providers() {
		s.Sections = append(s.Sections, a.providerSection(q, p))
	}
	if len(s.Sections) == 0 {
		s.Lead = q.Text("idp.none")
	}
	q.UI.Write(w, r, a.page(q, "providers", q.Text("admin.providers"), s))
	return nil
}

func (a *admin) providerSection(q *web.Request, p ProviderStatus) section {
	state := good(q.Text("idp.up"))
	switch {
	case p.Down:
		state = bad(q.Text("idp.down"))
	case p.DiscoveredAt.IsZero():
		state = plain(q.Text("idp.unasked"))
	}
	facts := []fact{
		{Name: q.Text("users.status"), Marks: []mark{state}},
		{Name: q.Text("idp.name"), Value: p.Name, Code: true},
		{Name: q.Text("idp.issuer"), Value: p.Issuer, Code: true},
		{Name: q.Text("idp.scopes"), Value: strings.Join(p.Scopes, " "), Code: true},
		a.whenOr(q, q.Text("idp.discovered"), p.DiscoveredAt, "idp.never"),
		a.whenOr(q, q.Text("idp.keys_at"), p.KeysAt, "idp.never"),
		{Name: q.Text("idp.keys"), Value: strconv.Itoa(p.Keys)},
		{Name: q.Text("idp.skew"), Value: p.Skew.Round(time.Second).String()},
		a.whenOr(q, q.Text("idp.success"), p.LastSuccess, "idp.never"),
	}
	if p.LastError != "" {
		facts = append(facts, fact{Name: q.Text("idp.error"), Value: p.LastError}, fact{Name: q.Text("idp.error_at"), Time: p.LastErrorAt})
	}
	if p.LogoutError != "" {
		facts = append(facts, fact{Name: q.Text("idp.logout"), Value: p.LogoutError}, fact{Name: q.Text("idp.logout_at"), Time: p.LogoutErrorAt})
	}
	sec := section{ID: "p-" + p.Name, Title: p.Label, Facts: facts}
	if p.RedirectURI != "" {
		sec.Secret = &secretView{ID: "uri-" + p.Name, Label: q.Text("idp.redirect"), Value: q.Absolute(p.RedirectURI), Copy: q.Text("handover.copy"), Copied: q.Text("handover.copied")}
	}
	if a.CheckProvider != nil {
		sec.Actions = []action{{Href: q.At("/admin/providers/" + p.Name + "/check"), Text: q.Text("idp.check"), More: p.Label}}
	}
	return sec
}

// provider answers the provider that the address names.
func (a *admin) provider(r *http.Request) (ProviderStatus, error) {
	for _, p := range a.Providers() {
		if p.Name == r.PathValue("name") && a.CheckProvider != nil {
			return p, nil
		}
	}
	return ProviderStatus{}, store.ErrNotFound
}

func (a *admin) buildCheck(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	pr, err := a.provider(r)
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: q.Text("idp.check_text", "name", pr.Label)}
	p := a.page(q, "providers", q.Text("idp.check"), s)
	a.finish(&p, s, a.question(q, q.At("/admin/providers/"+pr.Name+"/check"), q.Text("idp.check"), q.At("/admin/providers"), false), in)
	return p, nil
}

// check asks the provider now. Its status page tells the rest.
func (a *admin) check(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (next, error) {
	p, err := a.provider(r)
	if err != nil {
		return next{}, err
	}
	err = a.CheckProvider(r.Context(), p.Name)
	if errors.Is(err, context.Canceled) {
		return next{}, err
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if err := a.Accounts.NoteCheck(r.Context(), q.Actor(), p.Name, problem); err != nil {
		return next{}, err
	}
	if err != nil {
		s := &screen{Notice: &notice{Kind: ui.Bad, Text: q.Text("idp.failed", "why", err.Error())}, Sections: []section{a.providerSection(q, p)}}
		page := a.page(q, "providers", p.Label, s)
		page.Status, page.Failed = http.StatusBadGateway, true
		return next{page: &page}, nil
	}
	return next{to: "/admin/providers", flash: "provider_checked"}, nil
}
