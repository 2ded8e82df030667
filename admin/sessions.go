package admin

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// sessionQuery reads what sessions an address asks for.
func (a *admin) sessionQuery(v *visit) (store.SessionQuery, error) {
	q := store.SessionQuery{UserID: v.query.Get("user"), Text: v.query.Get("q"), Now: a.Clock(), Cursor: v.query.Get("cursor")}
	if q.UserID != "" && !store.ValidID(q.UserID) {
		return q, store.ErrNotFound
	}
	return q, nil
}

// listSessions shows who is signed in.
func (a *admin) listSessions(w http.ResponseWriter, r *http.Request, v *visit) error {
	q, err := a.sessionQuery(v)
	if err != nil {
		return err
	}
	if q.Limit, err = pageSize(v.query); err != nil {
		return err
	}
	list, err := a.Store.Sessions(r.Context(), q)
	if err != nil {
		return err
	}
	n, err := a.Store.CountSessions(r.Context(), q.Now, countLimit)
	if err != nil {
		return err
	}
	t := a.sessionTable(v, list.Items, true)
	t.Caption, t.Empty = a.counted("live.caption", "live.caption_more", n, countLimit), a.text("table.no_match")
	t.Pages = a.onward(v, "/admin/sessions", list.Next)
	a.atEnd(t, q.Cursor)
	a.goOn(t, len(list.Items) < q.Limit && list.Next != "")
	s := &screen{
		Actions:  []action{{Href: v.at("/admin/sessions/everyone"), Text: a.text("everyone.link"), Danger: true}},
		Search:   &search{Action: v.at("/admin/sessions"), Name: a.text("live.search"), Submit: a.text("table.search"), Fields: []field{textField("q", a.text("live.text_in"), q.Text, "search")}},
		Sections: []section{{Table: t}},
	}
	if len(filter(v.query)) > 0 {
		s.Search.Extra = []action{{Href: v.at("/admin/sessions"), Text: a.text("table.clear")}}
	}
	p := a.page(v, "sessions", a.text("admin.sections")+" - "+a.text("admin.sessions"), s)
	p.Heading = a.text("admin.sessions")
	a.ui.Write(w, r, p)
	return nil
}

// sessionTable shows sessions, with whose they are or without.
func (a *admin) sessionTable(v *visit, list []store.SessionRow, whose bool) *table {
	t := &table{ID: "sessions", PagesAs: a.text("table.pages")}
	columns := []string{"sessions.device", "live.place", "live.method", "sessions.first", "sessions.last", "table.acts"}
	if whose {
		columns = append([]string{"users.user"}, columns...)
	}
	for _, id := range columns {
		t.Columns = append(t.Columns, column{Text: a.text(id)})
	}
	for _, s := range list {
		device := a.words.Device(s.UserAgent)
		seen := s.LastSeenAt
		first := cell{Text: device, Small: s.UserAgent, Head: !whose}
		if s.ID == v.live.Session.ID {
			first.Marks = []mark{good(a.text("sessions.current"))}
			seen = v.live.LastSeen() // the store learns of uses in batches
		}
		cells := []cell{first, {Text: s.IP, Small: s.Host}, {Text: a.words.Method(s.Session)}, {Time: s.CreatedAt}, {Time: seen},
			{Links: []action{{Href: v.at("/admin/sessions/" + s.ID + "/revoke"), Text: a.text("live.revoke"),
				More: a.text("live.whose", "name", s.Username, "device", device)}}}}
		if whose {
			cells = append([]cell{{Head: true, Text: s.Username, Href: v.at(userAt(s.UserID))}}, cells...)
		}
		t.Rows = append(t.Rows, row{Cells: cells})
	}
	return t
}

func (a *admin) buildRevoke(r *http.Request, v *visit, in input) (ui.Page, error) {
	session, u, err := a.Store.Session(r.Context(), r.PathValue("id"))
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: a.text("revoke_any.text", "name", u.Username)}
	if session.ID == v.live.Session.ID {
		s.Lead = a.text("revoke.current")
	}
	p := a.page(v, "sessions", a.text("revoke.title"), s)
	s.Sections = []section{{Facts: []fact{
		{Name: a.text("users.user"), Value: u.Username, Href: v.at(userAt(u.ID))},
		{Name: a.text("sessions.device"), Value: a.words.Device(session.UserAgent)},
		{Name: a.text("sessions.agent"), Value: session.UserAgent},
		{Name: a.text("sessions.ip"), Value: session.IP}, {Name: a.text("sessions.host"), Value: session.Host},
		{Name: a.text("sessions.first"), Time: session.CreatedAt}, {Name: a.text("sessions.until"), Time: session.ExpiresAt},
	}}}
	a.finish(&p, s, a.question(v.at("/admin/sessions/"+session.ID+"/revoke"), a.text("revoke.button"), v.at("/admin/sessions"), true), in)
	return p, nil
}

func (a *admin) revoke(_ http.ResponseWriter, r *http.Request, v *visit, _ input) (next, error) {
	id := r.PathValue("id")
	if err := a.Accounts.EndSession(r.Context(), v.actor, id); err != nil {
		return next{}, err
	}
	if id == v.live.Session.ID {
		return next{to: "/logged-out"}, nil
	}
	return next{to: "/admin/sessions", flash: "sessions_ended"}, nil
}

// everyoneWord has to be typed before everybody is signed out.
const everyoneWord = "everyone"

func (a *admin) buildEveryone(r *http.Request, v *visit, in input) (ui.Page, error) {
	n, err := a.Store.CountSessions(r.Context(), a.Clock(), countLimit)
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: a.counted("everyone.text", "everyone.text_more", n, countLimit)}
	p := a.page(v, "sessions", a.text("everyone.title"), s)
	f := a.question(v.at("/admin/sessions/everyone"), a.text("everyone.submit"), v.at("/admin/sessions"), true)
	f.Fields = []field{{Field: ui.Field{ID: "confirm", Name: "confirm", Label: a.text("everyone.confirm", "word", everyoneWord), Value: in.get("confirm", ""), Autocomplete: "off", Plain: true}}}
	a.finish(&p, s, f, in)
	return p, nil
}

func (a *admin) endEveryone(_ http.ResponseWriter, r *http.Request, v *visit, in input) (next, error) {
	if strings.TrimSpace(in.Form.Get("confirm")) != everyoneWord {
		return next{}, fieldError("confirm", a.text("everyone.confirm", "word", everyoneWord))
	}
	if _, err := a.Accounts.EndEveryone(r.Context(), v.actor); err != nil {
		return next{}, err
	}
	return next{to: "/logged-out"}, nil
}
