package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// audit are the pages about the audit log.
type audit struct {
	*web.Deps
	Config
}

func (h audit) routes() []web.Route {
	return []web.Route{
		get("/admin/audit", h.list),
		get("/admin/audit/export.csv", h.exportCSV),
		get("/admin/audit/export.jsonl", h.exportJSONL),
		get("/admin/audit/{id}", h.event),
	}
}

func (h audit) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.EventQuery(q.Query, h.Clock())
	if err != nil {
		return err
	}
	if query.Limit, err = pageSize(q.Query); err != nil {
		return err
	}
	list, err := h.Store.Events(r.Context(), query)
	if err != nil {
		return err
	}
	t := eventTable(q, list.Items)
	t.Caption = q.Text("audit.caption")
	t.setPages(q, cursorLinks(q, "/admin/audit", list.Next))
	setNoMoreRows(q, t, query.Cursor)
	setSearchedUntil(q, t, list.Searched)
	f := filter(q.Query).suffix()
	s := &content{
		Lead:   h.retention(q),
		Search: auditSearch(q, query),
		Actions: []action{
			{Href: q.At("/admin/audit/export.csv" + f), Text: q.Text("table.csv")},
			{Href: q.At("/admin/audit/export.jsonl" + f), Text: q.Text("table.jsonl")},
		},
		Sections: []section{{Table: t}},
	}
	if f != "" {
		t.Clear = &ui.Link{Href: q.At("/admin/audit"), Text: q.Text("table.clear")}
		s.Search.Extra = []action{{Href: q.At("/admin/audit"), Text: q.Text("table.clear")}}
	}
	q.UI.Write(w, r, newPage(q, "audit", q.Text("admin.audit"), s))
	return nil
}

// retention says how long events are kept.
func (h audit) retention(q *web.Request) string {
	if keep := h.Effective().Retention; keep > 0 {
		return q.Text("audit.kept", "span", q.Span(keep))
	}
	return q.Text("audit.kept_all")
}

// auditActions are the acts that a search offers: groups first, then the acts that matter most by themselves.
var auditActions = []string{
	"session.", "password.", "user.", "link.", "identity.", "profile.", "audit.", "seed.",
	"session.sign_in", "session.throttle", "session.end", "user.create", "user.update", "user.delete", "password.reset",
}

func auditSearch(q *web.Request, query store.EventQuery) *search {
	s := &search{Action: q.At("/admin/audit"), Name: q.Text("audit.search"), Submit: q.Text("table.search")}
	act := field{
		Kind: "select", Field: ui.Field{ID: "action", Name: "action", Label: q.Text("audit.action")},
		Options: []option{{"", q.Text("table.any"), query.Action == ""}},
	}
	names := auditActions
	if query.Action != "" && !slices.Contains(names, query.Action) {
		names = append([]string{query.Action}, names...)
	}
	for _, name := range names {
		act.Options = append(act.Options, option{name, actionName(q, name), name == query.Action})
	}
	period := selectField(q, "since", q.Text("audit.since"), q.Query.Get("since"), "since.", api.Periods)
	s.Fields = []field{
		textField("q", q.Text("audit.text_in"), query.Text, "search"),
		textField("actor", q.Text("audit.actor"), query.Actor, ""),
		selectField(q, "actor_kind", q.Text("audit.actor_kind"), string(query.ActorKind), "audit.kind_", api.ActorKinds()),
		act,
		selectField(q, "outcome", q.Text("audit.outcome"), string(query.Outcome), "outcome.", api.Outcomes), period,
		textField("from", q.Text("audit.from"), q.Query.Get("from"), "date"),
		textField("to", q.Text("audit.to"), q.Query.Get("to"), "date"),
	}
	if query.UserID != "" {
		s.Hidden = []pair{{"user", query.UserID}}
	}
	return s
}

// actionName says an act, or a group of acts that ends in a dot, in words.
func actionName(q *web.Request, name string) string {
	if group, ok := strings.CutSuffix(name, "."); ok {
		if id := "audit.group_" + group; q.UI.HasText(id) {
			return q.Text(id)
		}
	}
	return q.Action(name)
}

func eventTable(q *web.Request, events []store.Event) *table {
	t := &table{ID: "log", Empty: q.Text("audit.none")}
	for _, id := range []string{
		"audit.time", "audit.action", "audit.actor", "audit.target", "audit.outcome",
		"sessions.ip", "sessions.device",
	} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, e := range events {
		target := cell{Text: e.Target}
		if e.TargetID != "" && store.ValidID(e.TargetID) && e.Target != "" && e.Action != "user.delete" {
			target.Href = q.At(userPath(e.TargetID))
		}
		device := ""
		if e.UserAgent != "" {
			device = q.Device(e.UserAgent)
		}
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Time: e.Time, Exact: true},
			{Head: true, Text: q.Action(e.Action), Href: q.At("/admin/audit/" + e.ID), Small: e.Action},
			actorCell(q, e), target,
			{Marks: []mark{outcomeMark(q, e.Outcome)}},
			{Text: e.IP},
			{Text: device},
		}})
	}
	return t
}

// actorCell names who did something. A person is a link to their account, and what is none says so.
func actorCell(q *web.Request, e store.Event) cell {
	c := cell{Text: q.ActorName(e.ActorID, e.Actor)}
	switch {
	case e.ActorKind() != store.ActorPerson:
		c.Small = q.Text("audit.no_account")
	case store.ValidID(e.ActorID):
		c.Href = q.At(userPath(e.ActorID))
	}
	return c
}

func (h audit) event(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	e, err := h.Store.Event(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	facts := []fact{
		{Name: q.Text("audit.time"), Time: e.Time},
		{
			Name: q.Text("audit.utc"), Value: e.Time.UTC().Format(time.RFC3339Nano),
			Code: true,
		},
		{Name: q.Text("audit.action"), Value: q.Action(e.Action)},
		{Name: q.Text("audit.code"), Value: e.Action, Code: true},
		{Name: q.Text("audit.outcome"), Marks: []mark{outcomeMark(q, e.Outcome)}},
		{Name: q.Text("audit.actor"), Value: q.ActorName(e.ActorID, e.Actor)},
		{Name: q.Text("audit.actor_kind"), Value: q.Text("audit.kind_" + string(e.ActorKind()))},
		{Name: q.Text("audit.target"), Value: e.Target},
		{Name: q.Text("sessions.ip"), Value: e.IP},
		{Name: q.Text("sessions.agent"), Value: e.UserAgent},
		{Name: q.Text("audit.request"), Value: e.RequestID, Code: true},
		{Name: q.Text("audit.id"), Value: e.ID, Code: true},
	}
	facts = slices.DeleteFunc(facts, func(f fact) bool { return f.Value == "" && f.Time.IsZero() && f.Marks == nil })
	s := &content{
		Actions:  []action{{Href: q.At("/admin/audit"), Text: q.Text("audit.back")}},
		Sections: []section{{Facts: facts}, {Table: detailTable(q, e)}},
	}
	q.UI.Write(w, r, newPage(q, "audit", q.Text("audit.event"), s))
	return nil
}

// detailTable puts what was before beside what is after, and everything else below.
func detailTable(q *web.Request, e store.Event) *table {
	t := &table{ID: "details", Caption: q.Text("audit.details"), Empty: q.Text("audit.no_details")}
	for _, id := range []string{"audit.what", "audit.before", "audit.after"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	var names []string
	for k := range e.Details {
		names = append(names, strings.TrimPrefix(strings.TrimPrefix(k, "before."), "after."))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before, after := e.Details["before."+name], e.Details["after."+name]
		if plain, ok := e.Details[name]; ok {
			after = plain
		}
		t.Rows = append(t.Rows, row{Cells: []cell{{Head: true, Text: name}, {Text: before}, {Text: after}}})
	}
	return t
}
