package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

var outcomes = []string{string(store.Success), string(store.Failure), string(store.Denied)}

func actorKinds() []string {
	names := make([]string, len(store.ActorKinds))
	for i, kind := range store.ActorKinds {
		names[i] = string(kind)
	}
	return names
}

// spans are periods that end now.
var spans = map[string]time.Duration{"24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}

// eventQuery reads what events an address asks for.
func (a *admin) eventQuery(q url.Values) (store.EventQuery, error) {
	out := store.EventQuery{Text: q.Get("q"), UserID: q.Get("user"), Actor: q.Get("actor"), Action: q.Get("action"), Cursor: q.Get("cursor")}
	if out.UserID != "" && !store.ValidID(out.UserID) {
		return out, store.ErrNotFound
	}
	outcome, err := choice(q, "outcome", outcomes...)
	if err != nil {
		return out, err
	}
	out.Outcome = store.Outcome(outcome)
	kind, err := choice(q, "actor_kind", actorKinds()...)
	if err != nil {
		return out, err
	}
	out.ActorKind = store.ActorKind(kind)
	if out.From, err = readTime(q, "from", false); err != nil {
		return out, err
	}
	if out.To, err = readTime(q, "to", true); err != nil {
		return out, err
	}
	since, err := choice(q, "since", "24h", "7d", "30d")
	if err == nil && since != "" {
		out.From = a.Clock().Add(-spans[since])
	}
	return out, err
}

// readTime reads a moment (RFC 3339) or a day in UTC. The day that a period ends with belongs to it.
func readTime(q url.Values, name string, end bool) (time.Time, error) {
	s := q.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, ui.BadInput(http.StatusBadRequest, "input.address_date", ui.Fault(name, "input.date"))
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}

func (a *admin) listAudit(w http.ResponseWriter, r *http.Request, v *visit) error {
	q, err := a.eventQuery(v.query)
	if err != nil {
		return err
	}
	if q.Limit, err = pageSize(v.query); err != nil {
		return err
	}
	list, err := a.Store.Events(r.Context(), q)
	if err != nil {
		return err
	}
	t := a.eventTable(v, list.Items)
	t.Caption, t.PagesAs = a.text("audit.caption"), a.text("table.pages")
	t.Pages = a.onward(v, "/admin/audit", list.Next)
	a.atEnd(t, q.Cursor)
	a.searchedTo(t, list.Searched)
	f := filter(v.query).suffix()
	s := &screen{
		Lead:   a.retention(),
		Search: a.auditSearch(v, q),
		Actions: []action{
			{Href: v.at("/admin/audit/export.csv" + f), Text: a.text("table.csv")},
			{Href: v.at("/admin/audit/export.jsonl" + f), Text: a.text("table.jsonl")},
		},
		Sections: []section{{Table: t}},
	}
	if f != "" {
		t.Clear = &ui.Link{Href: v.at("/admin/audit"), Text: a.text("table.clear")}
		s.Search.Extra = []action{{Href: v.at("/admin/audit"), Text: a.text("table.clear")}}
	}
	a.ui.Write(w, r, a.page(v, "audit", a.text("admin.audit"), s))
	return nil
}

// retention says how long events are kept.
func (a *admin) retention() string {
	if keep := a.Effective().Retention; keep > 0 {
		return a.text("audit.kept", "span", a.words.Span(keep))
	}
	return a.text("audit.kept_all")
}

// auditActions are the acts that a search offers: groups first, then the acts that matter most by themselves.
var auditActions = []string{"session.", "password.", "user.", "link.", "identity.", "profile.", "audit.", "seed.", "session.sign_in", "session.throttle", "session.end", "user.create", "user.update", "user.delete", "password.reset"}

func (a *admin) auditSearch(v *visit, q store.EventQuery) *search {
	s := &search{Action: v.at("/admin/audit"), Name: a.text("audit.search"), Submit: a.text("table.search")}
	act := field{Kind: "select", Field: ui.Field{ID: "action", Name: "action", Label: a.text("audit.action")}, Options: []option{{"", a.text("table.any"), q.Action == ""}}}
	names := auditActions
	if q.Action != "" && !slices.Contains(names, q.Action) {
		names = append([]string{q.Action}, names...)
	}
	for _, name := range names {
		act.Options = append(act.Options, option{name, a.actionName(name), name == q.Action})
	}
	period := a.selectField("since", a.text("audit.since"), v.query.Get("since"), "since.", []string{"24h", "7d", "30d"})
	s.Fields = []field{
		textField("q", a.text("audit.text_in"), q.Text, "search"),
		textField("actor", a.text("audit.actor"), q.Actor, ""),
		a.selectField("actor_kind", a.text("audit.actor_kind"), string(q.ActorKind), "audit.kind_", actorKinds()), act,
		a.selectField("outcome", a.text("audit.outcome"), string(q.Outcome), "outcome.", outcomes), period,
		textField("from", a.text("audit.from"), v.query.Get("from"), "date"), textField("to", a.text("audit.to"), v.query.Get("to"), "date"),
	}
	if q.UserID != "" {
		s.Hidden = []pair{{"user", q.UserID}}
	}
	return s
}

// actionName says an act, or a group of acts that ends in a dot, in words.
func (a *admin) actionName(name string) string {
	if group, ok := strings.CutSuffix(name, "."); ok {
		if id := "audit.group_" + group; a.ui.HasText(id) {
			return a.text(id)
		}
	}
	return a.words.Action(name)
}

func (a *admin) eventTable(v *visit, events []store.Event) *table {
	t := &table{ID: "log", Empty: a.text("audit.none"), PagesAs: a.text("table.pages")}
	for _, id := range []string{"audit.time", "audit.action", "audit.actor", "audit.target", "audit.outcome", "sessions.ip", "sessions.device"} {
		t.Columns = append(t.Columns, column{Text: a.text(id)})
	}
	for _, e := range events {
		target := cell{Text: e.Target}
		if e.TargetID != "" && store.ValidID(e.TargetID) && e.Target != "" && e.Action != "user.delete" {
			target.Href = v.at(userAt(e.TargetID))
		}
		device := ""
		if e.UserAgent != "" {
			device = a.words.Device(e.UserAgent)
		}
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Time: e.Time}, {Head: true, Text: a.words.Action(e.Action), Href: v.at("/admin/audit/" + e.ID), Small: e.Action},
			a.actorCell(v, e), target, {Marks: []mark{a.outcome(e.Outcome)}}, {Text: e.IP}, {Text: device},
		}})
	}
	return t
}

// actorCell names who did something. A person is a link to their account, and what is none says so.
func (a *admin) actorCell(v *visit, e store.Event) cell {
	c := cell{Text: a.words.Actor(e.ActorID, e.Actor)}
	switch {
	case e.ActorKind() != store.ActorPerson:
		c.Small = a.text("audit.no_account")
	case store.ValidID(e.ActorID):
		c.Href = v.at(userAt(e.ActorID))
	}
	return c
}

func (a *admin) showEvent(w http.ResponseWriter, r *http.Request, v *visit) error {
	e, err := a.Store.Event(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	facts := []fact{
		{Name: a.text("audit.time"), Time: e.Time}, {Name: a.text("audit.utc"), Value: e.Time.UTC().Format(time.RFC3339Nano), Code: true},
		{Name: a.text("audit.action"), Value: a.words.Action(e.Action)}, {Name: a.text("audit.code"), Value: e.Action, Code: true},
		{Name: a.text("audit.outcome"), Marks: []mark{a.outcome(e.Outcome)}},
		{Name: a.text("audit.actor"), Value: a.words.Actor(e.ActorID, e.Actor)},
		{Name: a.text("audit.actor_kind"), Value: a.text("audit.kind_" + string(e.ActorKind()))}, {Name: a.text("audit.target"), Value: e.Target},
		{Name: a.text("sessions.ip"), Value: e.IP}, {Name: a.text("sessions.agent"), Value: e.UserAgent},
		{Name: a.text("audit.request"), Value: e.RequestID, Code: true}, {Name: a.text("audit.id"), Value: e.ID, Code: true},
	}
	facts = slices.DeleteFunc(facts, func(f fact) bool { return f.Value == "" && f.Time.IsZero() && f.Marks == nil })
	s := &screen{Actions: []action{{Href: v.at("/admin/audit"), Text: a.text("audit.back")}},
		Sections: []section{{Facts: facts}, {Table: a.detailTable(e)}}}
	a.ui.Write(w, r, a.page(v, "audit", a.text("audit.event"), s))
	return nil
}

// detailTable puts what was before beside what is after, and everything else below.
func (a *admin) detailTable(e store.Event) *table {
	t := &table{ID: "details", Caption: a.text("audit.details"), Empty: a.text("audit.no_details")}
	for _, id := range []string{"audit.what", "audit.before", "audit.after"} {
		t.Columns = append(t.Columns, column{Text: a.text(id)})
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
