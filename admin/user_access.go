package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// access explains, for every gate, whether the user passes and which rule decides.
func (h user) access(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := h.find(r)
	if err != nil {
		return err
	}
	identities, err := h.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return err
	}
	ways := signInMethods(h.Login.Passwords, u, identities)
	if u.IsService() {
		ways = []string{policy.LocalProvider} // what rules take a token of a service account for
	}
	p, s := userPage(q, u, "access")
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
	for _, site := range h.Sites() {
		t.Rows = append(t.Rows, accessRow(q, u, ways, site))
	}
	s.Sections = []section{{Table: t}}
	q.UI.Write(w, r, p)
	return nil
}

func accessRow(q *web.Request, u store.User, ways []string, site SiteRules) row {
	verdict := cell{Marks: []mark{bad(q.Text("access.refused"))}}
	var why string
	switch {
	case u.Pending:
		why = q.Text("access.pending")
	case !u.Active:
		why = q.Text("access.inactive")
	default:
		// Somebody who cannot sign in yet is treated as if with a password: the question is which rule would decide.
		ask := ways
		if len(ask) == 0 {
			ask = []string{policy.LocalProvider}
		}
		d := evaluate(&u, ask, site.Require)
		switch {
		case d.rule == nil:
			verdict.Marks = []mark{good(q.Text("access.passes"))}
			why = q.Text("access.no_rules")
			proof := proofRules(site.Require)
			if n := len(site.Require) - len(proof); n > 0 {
				why = q.Text("access.all_rules", "n", n)
			}
			if len(proof) > 0 {
				why = q.Text("access.proof", "rules", strings.Join(proof, ", "))
			}
		case len(d.passes) > 0:
			verdict.Marks = []mark{warn(q.Text("access.depends"))}
			why = q.Text("access.with", "ways", strings.Join(d.passes, ", "), "rule", ruleText(*d.rule))
		default:
			why = ruleText(*d.rule)
		}
	}
	open := slices.Concat(site.Public, site.Optional)
	return row{Cells: []cell{{Head: true, Text: siteName(q, site)}, verdict, {Text: why}, {Text: strings.Join(open, " ")}}}
}

// decision is what the rules of a gate say about a user.
type decision struct {
	passes []string     // ways to sign in with which they pass
	fails  []string     // ways with which they do not
	rule   *policy.Rule // the first that refuses a way of fails
}

// evaluate applies a gate's rules to a user, for each way of signing in: a rule may be about the provider. It calls the
// same function as the gate.
func evaluate(u *store.User, ways []string, rules []policy.Rule) decision {
	var d decision
	for _, way := range ways {
		if failed := policy.FirstUnsatisfied(rules, policy.Subject{User: u, Provider: way}); failed != nil {
			d.fails = append(d.fails, way)
			if d.rule == nil {
				d.rule = failed
			}
			continue
		}
		d.passes = append(d.passes, way)
	}
	return d
}

// signInMethods returns how a user can sign in: "local" and the names of providers.
func signInMethods(passwords login.Passwords, u store.User, identities []store.Identity) []string {
	var ways []string
	if passwords.Has(u) {
		ways = append(ways, policy.LocalProvider)
	}
	for _, i := range identities {
		if i.Provider != "" && !slices.Contains(ways, i.Provider) {
			ways = append(ways, i.Provider)
		}
	}
	return ways
}

// siteName returns which requests a gate is for.
func siteName(q *web.Request, s SiteRules) string {
	hosts, guards := strings.Join(s.Hosts, ", "), strings.Join(s.Guards, q.Text("list.or"))
	switch {
	case hosts == "" && guards == "":
		return q.Text("access.everything")
	case hosts == "" || guards == "":
		return hosts + guards
	}
	return hosts + ": " + guards
}

// ruleText returns a rule as it is written in the Caddyfile.
func ruleText(r policy.Rule) string {
	return strings.Join(append([]string{"require", string(r.Field)}, r.Values...), " ")
}

// proofRules returns the rules that ask for what a session has proved.
func proofRules(rules []policy.Rule) []string {
	var list []string
	for _, r := range rules {
		if r.AboutSession() {
			list = append(list, ruleText(r))
		}
	}
	return list
}
