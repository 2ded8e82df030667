package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// roles is the page about roles and groups.
type roles struct {
	*web.Deps
	Config
}

func (h roles) routes() []web.Route { return []web.Route{get("/admin/roles", h.list)} }

// list shows roles and groups: how many people have them, and what asks for them.
func (h roles) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	sites := h.Sites()
	t := &table{ID: "roles", Caption: q.Text("roles.caption")}
	g := &table{ID: "groups", Caption: q.Text("roles.groups_caption"), Empty: q.Text("roles.no_groups")}
	for _, id := range []string{"roles.name", "roles.people", "roles.asked_by"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
		g.Columns = append(g.Columns, column{Text: q.Text(id)})
	}
	for _, name := range api.Roles {
		n, err := h.Store.CountUsers(r.Context(), store.UserQuery{Role: store.Role(name), Limit: countLimit})
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: q.Text("role." + name), Small: q.Text("roles.about_" + name)},
			{Text: countText(q, "roles.n", "roles.n_more", n, countLimit), Href: q.At("/admin/users?role=" + name)},
			{Text: requiredBy(q, sites, policy.FieldRole, name)},
		}})
	}
	for _, name := range requiredGroups(sites) {
		query := store.UserQuery{Group: name, Limit: unindexedLimit}
		n, err := h.Store.CountUsers(r.Context(), query)
		if err != nil {
			return err
		}
		g.Rows = append(g.Rows, row{Cells: []cell{
			{Head: true, Text: name},
			{
				Text: countText(q, "roles.n", "roles.n_more", n, unindexedLimit),
				Href: q.At("/admin/users") + params{"group": {name}}.suffix(),
			},
			{Text: requiredBy(q, sites, policy.FieldGroup, name)},
		}})
	}
	s := &content{Lead: q.Text("roles.lead"), Sections: []section{{Table: t}, {Table: g}}}
	q.UI.Write(w, r, newPage(q, "roles", q.Text("admin.roles"), s))
	return nil
}

// requiredGroups returns the groups that any rule names, sorted.
func requiredGroups(sites []SiteRules) []string {
	var names []string
	for _, s := range sites {
		for _, rule := range s.Require {
			if rule.Field == policy.FieldGroup {
				names = append(names, rule.Values...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// requiredBy returns the sites with a rule for that value.
func requiredBy(q *web.Request, sites []SiteRules, field policy.Field, value string) string {
	var names []string
	for _, s := range sites {
		asksFor := func(r policy.Rule) bool { return r.Field == field && slices.Contains(r.Values, value) }
		if slices.ContainsFunc(s.Require, asksFor) {
			names = append(names, siteName(q, s))
		}
	}
	return strings.Join(names, ", ")
}
