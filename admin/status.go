package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// dashboard is where administrators begin: what there is, what is amiss, what failed lately.
func (a *admin) dashboard(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	var facts []fact
	for _, c := range []struct {
		id, href string
		q        store.UserQuery
	}{
		{"dashboard.users", "/admin/users", store.UserQuery{}},
		{"dashboard.admins", "/admin/users?role=admin", store.UserQuery{Role: store.RoleAdmin}},
		{"dashboard.pending", "/admin/users?status=pending", store.UserQuery{Status: "pending"}},
		{"dashboard.inactive", "/admin/users?status=inactive", store.UserQuery{Status: "inactive"}},
	} {
		c.q.Limit = countLimit
		n, err := a.Store.CountUsers(ctx, c.q)
		if err != nil {
			return err
		}
		facts = append(facts, fact{Name: a.text(c.id), Value: a.number(n, countLimit), Href: v.at(c.href)})
	}
	n, err := a.Store.CountSessions(ctx, a.Clock(), countLimit)
	if err != nil {
		return err
	}
	facts = append(facts, fact{Name: a.text("dashboard.sessions"), Value: a.number(n, countLimit), Href: v.at("/admin/sessions")})
	links, err := a.Store.CountLinks(ctx, store.LinkQuery{Purpose: store.LinkPassword, Now: a.Clock(), Limit: fewLimit})
	if err != nil {
		return err
	}
	facts = append(facts, fact{Name: a.text("dashboard.invites"), Value: a.number(links, fewLimit), Href: v.at("/admin/invites")})
	s := &screen{Sections: []section{{ID: "numbers", Title: a.text("dashboard.numbers"), Facts: facts}}}
	if s.Warnings, err = a.warnings(ctx, v); err != nil {
		return err
	}
	failed, err := a.Store.Events(ctx, store.EventQuery{Outcome: store.Failure, Limit: 5})
	if err != nil {
		return err
	}
	t := a.eventTable(v, failed.Items)
	t.Caption, t.Empty = a.text("dashboard.failures"), a.text("dashboard.no_failures")
	s.Sections = append(s.Sections, section{Table: t, Actions: []action{{Href: v.at("/admin/audit?outcome=failure"), Text: a.text("dashboard.all_failures")}}})
	a.ui.Write(w, r, a.page(v, "", a.text("admin.dashboard"), s))
	return nil
}

// warnings are what an operator should look at: what the configuration tells, and what only the store and this request
// can tell.
func (a *admin) warnings(ctx context.Context, v *visit) ([]string, error) {
	var list []string
	for _, w := range a.Effective().Warnings {
		list = append(list, a.ui.Say(w))
	}
	admins, err := a.Store.ActiveAdmins(ctx, 2)
	if err != nil {
		return nil, err
	}
	if len(admins) < 2 {
		list = append(list, a.text("warning.one_admin"))
	}
	if !v.q.Secure {
		list = append(list, a.text("warning.plain_http"))
	}
	for _, p := range a.Providers() {
		if p.Down {
			list = append(list, a.text("warning.provider_down", "name", p.Label))
		}
	}
	return list, nil
}

func (a *admin) showSettings(w http.ResponseWriter, r *http.Request, v *visit) error {
	set := a.Effective()
	s := &screen{Lead: a.text("settings.lead")}
	var err error
	if s.Warnings, err = a.warnings(r.Context(), v); err != nil {
		return err
	}
	s.Sections = []section{a.health(r.Context(), v, set)}
	t := &table{ID: "options", Caption: a.text("settings.caption"), Empty: a.text("settings.none")}
	for _, id := range []string{"settings.option", "settings.value", "settings.source"} {
		t.Columns = append(t.Columns, column{Text: a.text(id)})
	}
	for _, o := range set.Options {
		source := cell{Text: o.Source}
		if o.Source == "default" {
			source = cell{Marks: []mark{plain(a.text("settings.default"))}}
		}
		name := strings.TrimSpace(o.Section + " " + o.Name)
		t.Rows = append(t.Rows, row{Cells: []cell{{Head: true, Text: name}, {Text: o.Value}, source}})
	}
	s.Sections = append(s.Sections, section{Table: t})
	a.ui.Write(w, r, a.page(v, "settings", a.text("admin.settings"), s))
	return nil
}

// health says what is running and whether its store answers.
func (a *admin) health(ctx context.Context, v *visit, set Settings) section {
	info := a.Store.Info()
	begun := a.Clock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answers := good(a.text("health.answers"))
	if err := a.Store.Ping(ctx); err != nil {
		answers = bad(a.text("health.silent"))
	}
	facts := []fact{
		{Name: a.text("health.store"), Value: info.Engine, Marks: []mark{answers}},
		{Name: a.text("health.location"), Value: info.Location, Code: true},
		{Name: a.text("health.schema"), Value: strconv.FormatInt(info.Schema, 10)},
		{Name: a.text("health.prefix"), Value: v.q.Prefix, Code: true},
	}
	for _, f := range []fact{{Name: a.text("health.version"), Value: set.Version}, {Name: a.text("health.caddy"), Value: set.Caddy}} {
		if f.Value != "" {
			facts = append(facts, f)
		}
	}
	if !set.Started.IsZero() {
		facts = append(facts, fact{Name: a.text("health.started"), Time: set.Started},
			fact{Name: a.text("health.uptime"), Value: a.words.Span(max(time.Second, begun.Sub(set.Started)))})
	}
	return section{ID: "health", Title: a.text("health.title"), Facts: facts}
}

func (a *admin) listProviders(w http.ResponseWriter, r *http.Request, v *visit) error {
	s := &screen{Lead: a.text("idp.lead")}
	for _, p := range a.Providers() {
		s.Sections = append(s.Sections, a.providerSection(v, p))
	}
	if len(s.Sections) == 0 {
		s.Lead = a.text("idp.none")
	}
	a.ui.Write(w, r, a.page(v, "providers", a.text("admin.providers"), s))
	return nil
}

func (a *admin) providerSection(v *visit, p ProviderStatus) section {
	state := good(a.text("idp.up"))
	switch {
	case p.Down:
		state = bad(a.text("idp.down"))
	case p.DiscoveredAt.IsZero():
		state = plain(a.text("idp.unasked"))
	}
	facts := []fact{
		{Name: a.text("users.status"), Marks: []mark{state}},
		{Name: a.text("idp.name"), Value: p.Name, Code: true},
		{Name: a.text("idp.issuer"), Value: p.Issuer, Code: true},
		{Name: a.text("idp.scopes"), Value: strings.Join(p.Scopes, " "), Code: true},
		a.whenOr(a.text("idp.discovered"), p.DiscoveredAt, "idp.never"),
		a.whenOr(a.text("idp.keys_at"), p.KeysAt, "idp.never"),
		{Name: a.text("idp.keys"), Value: strconv.Itoa(p.Keys)},
		{Name: a.text("idp.skew"), Value: p.Skew.Round(time.Second).String()},
		a.whenOr(a.text("idp.success"), p.LastSuccess, "idp.never"),
	}
	if p.LastError != "" {
		facts = append(facts, fact{Name: a.text("idp.error"), Value: p.LastError}, fact{Name: a.text("idp.error_at"), Time: p.LastErrorAt})
	}
	if p.LogoutError != "" {
		facts = append(facts, fact{Name: a.text("idp.logout"), Value: p.LogoutError}, fact{Name: a.text("idp.logout_at"), Time: p.LogoutErrorAt})
	}
	sec := section{ID: "p-" + p.Name, Title: p.Label, Facts: facts}
	if p.RedirectURI != "" {
		sec.Secret = &secretView{ID: "uri-" + p.Name, Label: a.text("idp.redirect"), Value: v.absolute(p.RedirectURI), Copy: a.text("handover.copy"), Copied: a.text("handover.copied")}
	}
	if a.CheckProvider != nil {
		sec.Actions = []action{{Href: v.at("/admin/providers/" + p.Name + "/check"), Text: a.text("idp.check"), More: p.Label}}
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

func (a *admin) buildCheck(r *http.Request, v *visit, in input) (ui.Page, error) {
	pr, err := a.provider(r)
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: a.text("idp.check_text", "name", pr.Label)}
	p := a.page(v, "providers", a.text("idp.check"), s)
	a.finish(&p, s, a.question(v.at("/admin/providers/"+pr.Name+"/check"), a.text("idp.check"), v.at("/admin/providers"), false), in)
	return p, nil
}

// check asks the provider now. Its status page tells the rest.
func (a *admin) check(_ http.ResponseWriter, r *http.Request, v *visit, _ input) (next, error) {
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
	if err := a.Accounts.NoteCheck(r.Context(), v.actor, p.Name, problem); err != nil {
		return next{}, err
	}
	if err != nil {
		s := &screen{Notice: &notice{Kind: ui.Bad, Text: a.text("idp.failed", "why", err.Error())}, Sections: []section{a.providerSection(v, p)}}
		page := a.page(v, "providers", p.Label, s)
		page.Status, page.Failed = http.StatusBadGateway, true
		return next{page: &page}, nil
	}
	return next{to: "/admin/providers", flash: "provider_checked"}, nil
}
