package admin

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// listSessions shows who is signed in.
func (a *admin) listSessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.SessionQuery(q.Query, a.Clock())
	if err != nil {
		return err
	}
	if query.Limit, err = pageSize(q.Query); err != nil {
		return err
	}
	list, err := a.Store.Sessions(r.Context(), query)
	if err != nil {
		return err
	}
	n, err := a.Store.CountSessions(r.Context(), query.Now, countLimit)
	if err != nil {
		return err
	}
	t := a.sessionTable(q, list.Items, true)
	t.Caption, t.Empty = a.counted(q, "live.caption", "live.caption_more", n, countLimit), q.Text("table.no_match")
	t.Pages = a.onward(q, "/admin/sessions", list.Next)
	a.atEnd(q, t, query.Cursor)
	a.goOn(q, t, len(list.Items) < query.Limit && list.Next != "")
	s := &screen{
		Actions:  []action{{Href: q.At("/admin/sessions/everyone"), Text: q.Text("everyone.link"), Danger: true}},
		Search:   &search{Action: q.At("/admin/sessions"), Name: q.Text("live.search"), Submit: q.Text("table.search"), Fields: []field{textField("q", q.Text("live.text_in"), query.Text, "search")}},
		Sections: []section{{Table: t}},
	}
	if len(filter(q.Query)) > 0 {
		s.Search.Extra = []action{{Href: q.At("/admin/sessions"), Text: q.Text("table.clear")}}
	}
	p := a.page(q, "sessions", q.Text("admin.sections")+" - "+q.Text("admin.sessions"), s)
	p.Heading = q.Text("admin.sessions")
	q.UI.Write(w, r, p)
	return nil
}

// sessionTable shows sessions, with whose they are or without.
func (a *admin) sessionTable(q *web.Request, list []store.SessionRow, whose bool) *table {
	t := &table{ID: "sessions", PagesAs: q.Text("table.pages")}
	columns := []string{"sessions.device", "live.place", "live.method", "sessions.first", "sessions.last", "table.acts"}
	if whose {
		columns = append([]string{"users.user"}, columns...)
	}
	for _, id := range columns {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, s := range list {
		device := q.Device(s.UserAgent)
		seen := s.LastSeenAt
		first := cell{Text: device, Small: s.UserAgent, Head: !whose}
		if s.ID == q.Live.Session.ID {
			first.Marks = []mark{good(q.Text("sessions.current"))}
			seen = q.Live.LastSeen() // the store learns of uses in batches
		}
		cells := []cell{first, {Text: s.IP, Small: s.Host}, {Text: q.Method(s.Session, s.Session.Provider)}, {Time: s.CreatedAt}, {Time: seen},
			{Links: []action{{Href: q.At("/admin/sessions/" + s.ID + "/revoke"), Text: q.Text("live.revoke"),
				More: q.Text("live.whose", "name", s.Username, "device", device)}}}}
		if whose {
			cells = append([]cell{{Head: true, Text: s.Username, Href: q.At(userAt(s.UserID))}}, cells...)
		}
		t.Rows = append(t.Rows, row{Cells: cells})
	}
	return t
}

func (a *admin) buildRevoke(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	session, u, err := a.Store.Session(r.Context(), r.PathValue("id"))
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: q.Text("revoke_any.text", "name", u.Username)}
	if session.ID == q.Live.Session.ID {
		s.Lead = q.Text("revoke.current")
	}
	p := a.page(q, "sessions", q.Text("revoke.title"), s)
	s.Sections = []section{{Facts: []fact{
		{Name: q.Text("users.user"), Value: u.Username, Href: q.At(userAt(u.ID))},
		{Name: q.Text("sessions.device"), Value: q.Device(session.UserAgent)},
		{Name: q.Text("sessions.agent"), Value: session.UserAgent},
		{Name: q.Text("sessions.ip"), Value: session.IP}, {Name: q.Text("sessions.host"), Value: session.Host},
		{Name: q.Text("sessions.first"), Time: session.CreatedAt}, {Name: q.Text("sessions.until"), Time: session.ExpiresAt},
	}}}
	a.finish(&p, s, a.question(q, q.At("/admin/sessions/"+session.ID+"/revoke"), q.Text("revoke.button"), q.At("/admin/sessions"), true), in)
	return p, nil
}

func (a *admin) revoke(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (next, error) {
	id := r.PathValue("id")
	if err := a.Accounts.EndSession(r.Context(), q.Actor(), id); err != nil {
		return next{}, err
	}
	if id == q.Live.Session.ID {
		return next{to: "/logged-out"}, nil
	}
	return next{to: "/admin/sessions", flash: "sessions_ended"}, nil
}

// everyoneWord has to be typed before everybody is signed out.
const everyoneWord = "everyone"

func (a *admin) buildEveryone(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	n, err := a.Store.CountSessions(r.Context(), a.Clock(), countLimit)
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: a.counted(q, "everyone.text", "everyone.text_more", n, countLimit)}
	p := a.page(q, "sessions", q.Text("everyone.title"), s)
	f := a.question(q, q.At("/admin/sessions/everyone"), q.Text("everyone.submit"), q.At("/admin/sessions"), true)
	f.Fields = []field{{Field: ui.Field{ID: "confirm", Name: "confirm", Label: q.Text("everyone.confirm", "word", everyoneWord), Value: in.get("confirm", ""), Autocomplete: "off", Plain: true}}}
	a.finish(&p, s, f, in)
	return p, nil
}

func (a *admin) endEveryone(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error) {
	if strings.TrimSpace(in.Form.Get("confirm")) != everyoneWord {
		return next{}, fieldError("confirm", q.Text("everyone.confirm", "word", everyoneWord))
	}
	if _, err := a.Accounts.EndEveryone(r.Context(), q.Actor()); err != nil {
		return next{}, err
	}
	return next{to: "/logged-out"}, nil
}
