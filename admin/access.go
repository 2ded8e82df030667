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

// verdict is what a gate does with a person.
type verdict struct {
	passes []string     // ways to sign in with which they pass
	fails  []string     // ways with which they do not
	rule   *policy.Rule // the first that refuses a way of fails
}

// judge asks a gate's rules about a user, for each way in which they can sign in: a rule may be about the provider.
// It asks the same function that the gate asks.
func judge(u *store.User, ways []string, rules []policy.Rule) verdict {
	var v verdict
	for _, way := range ways {
		if failed := policy.Failed(rules, policy.Subject{User: u, Provider: way}); failed != nil {
			v.fails = append(v.fails, way)
			if v.rule == nil {
				v.rule = failed
			}
			continue
		}
		v.passes = append(v.passes, way)
	}
	return v
}

// waysIn returns how a user can sign in: "local" and the names of providers.
func waysIn(u store.User, identities []store.Identity) []string {
	var ways []string
	if u.PasswordHash != "" {
		ways = append(ways, policy.LocalProvider)
	}
	for _, i := range identities {
		if i.Provider != "" && !slices.Contains(ways, i.Provider) {
			ways = append(ways, i.Provider)
		}
	}
	return ways
}

// showAccess explains, for every gate, whether the user passes and which rule decides.
func (a *admin) showAccess(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	identities, err := a.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return err
	}
	ways := waysIn(u, identities)
	p, s := a.userScreen(q, u, "access")
	s.Lead = q.Text("access.lead")
	switch {
	case u.Pending:
		s.Warnings = []string{q.Text("access.pending")}
	case !u.Active:
		s.Warnings = []string{q.Text("access.inactive")}
	case len(ways) == 0:
		s.Warnings = []string{q.Text("access.no_way")}
	}
	t := &table{ID: "sites", Caption: q.Text("access.caption"), Empty: q.Text("access.none")}
	for _, id := range []string{"access.site", "access.verdict", "access.rule", "access.open"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, site := range a.Sites() {
		t.Rows = append(t.Rows, a.accessRow(q, u, ways, site))
	}
	s.Sections = []section{{Table: t}}
	q.UI.Write(w, r, p)
	return nil
}

func (a *admin) accessRow(q *web.Request, u store.User, ways []string, site SiteRules) row {
	says, why := cell{Marks: []mark{bad(q.Text("access.refused"))}}, ""
	switch {
	case u.Pending:
		why = q.Text("access.pending")
	case !u.Active:
		why = q.Text("access.inactive")
	default:
		// Somebody who cannot sign in yet is judged as if with a password: what would decide is the question.
		ask := ways
		if len(ask) == 0 {
			ask = []string{policy.LocalProvider}
		}
		v := judge(&u, ask, site.Require)
		switch {
		case v.rule == nil:
			says.Marks = []mark{good(q.Text("access.passes"))}
			why = q.Text("access.no_rules")
			if n := len(site.Require); n > 0 {
				why = q.Text("access.all_rules", "n", n)
			}
		case len(v.passes) > 0:
			says.Marks = []mark{warn(q.Text("access.depends"))}
			why = q.Text("access.with", "ways", strings.Join(v.passes, ", "), "rule", ruleText(*v.rule))
		default:
			why = ruleText(*v.rule)
		}
	}
	open := slices.Concat(site.Public, site.Optional)
	return row{Cells: []cell{{Head: true, Text: a.siteName(q, site)}, says, {Text: why}, {Text: strings.Join(open, " ")}}}
}

// siteName says which requests a gate is for.
func (a *admin) siteName(q *web.Request, s SiteRules) string {
	if s.Site == "" {
		return q.Text("access.everything")
	}
	return strings.Join(append([]string{s.Site}, s.Also...), q.Text("list.or"))
}

// ruleText writes a rule as it stands in the Caddyfile.
func ruleText(r policy.Rule) string {
	return "require " + string(r.Field) + " " + strings.Join(r.Values, " ")
}

// listRoles shows roles and groups: how many people have them, and what asks for them.
func (a *admin) listRoles(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	sites := a.Sites()
	t := &table{ID: "roles", Caption: q.Text("roles.caption")}
	g := &table{ID: "groups", Caption: q.Text("roles.groups_caption"), Empty: q.Text("roles.no_groups")}
	for _, id := range []string{"roles.name", "roles.people", "roles.asked_by"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
		g.Columns = append(g.Columns, column{Text: q.Text(id)})
	}
	for _, name := range api.Roles {
		n, err := a.Store.CountUsers(r.Context(), store.UserQuery{Role: store.Role(name), Limit: countLimit})
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: q.Text("role." + name), Small: q.Text("roles.about_" + name)},
			{Text: a.counted(q, "roles.n", "roles.n_more", n, countLimit), Href: q.At("/admin/users?role=" + name)},
			{Text: a.askedBy(q, sites, policy.FieldRole, name)},
		}})
	}
	for _, name := range askedGroups(sites) {
		query := store.UserQuery{Group: name, Limit: fewLimit}
		n, err := a.Store.CountUsers(r.Context(), query)
		if err != nil {
			return err
		}
		g.Rows = append(g.Rows, row{Cells: []cell{
			{Head: true, Text: name},
			{Text: a.counted(q, "roles.n", "roles.n_more", n, fewLimit), Href: q.At("/admin/users") + params{"group": {name}}.suffix()},
			{Text: a.askedBy(q, sites, policy.FieldGroup, name)},
		}})
	}
	s := &screen{Lead: q.Text("roles.lead"), Sections: []section{{Table: t}, {Table: g}}}
	q.UI.Write(w, r, a.page(q, "roles", q.Text("admin.roles"), s))
	return nil
}

// askedGroups returns the groups that any rule names, sorted.
func askedGroups(sites []SiteRules) []string {
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

// askedBy returns the sites with a rule for that value.
func (a *admin) askedBy(q *web.Request, sites []SiteRules, field policy.Field, value string) string {
	var names []string
	for _, s := range sites {
		if slices.ContainsFunc(s.Require, func(r policy.Rule) bool { return r.Field == field && slices.Contains(r.Values, value) }) {
			names = append(names, a.siteName(q, s))
		}
	}
	return strings.Join(names, ", ")
}
