package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// sessions are the pages about the sessions of everybody.
type sessions struct{ *web.Deps }

func (h sessions) routes() []web.Route {
	return slices.Concat(
		[]web.Route{get("/admin/sessions", h.list)},
		change(h.Deps, "/admin/sessions/{id}/revoke", "session.end", form{h.revokeForm, h.revoke}),
		change(h.Deps, "/admin/sessions/everyone", "session.end_everyone", form{h.endEveryoneForm, h.endEveryone}),
	)
}

// list shows who is signed in.
func (h sessions) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.SessionQuery(q.Query, h.Clock())
	if err != nil {
		return err
	}
	if query.Limit, err = pageSize(q.Query); err != nil {
		return err
	}
	list, err := h.Store.Sessions(r.Context(), query)
	if err != nil {
		return err
	}
	n, err := h.Store.CountSessions(r.Context(), query.Now, countLimit)
	if err != nil {
		return err
	}
	t := sessionTable(q, list.Items, true)
	t.Caption, t.Empty = countText(q, "live.caption", "live.caption_more", n, countLimit), q.Text("table.no_match")
	t.setPages(q, cursorLinks(q, "/admin/sessions", list.Next))
	setNoMoreRows(q, t, query.Cursor)
	setPartial(q, t, len(list.Items) < query.Limit && list.Next != "")
	s := &content{
		Actions: []action{{Href: q.At("/admin/sessions/everyone"), Text: q.Text("everyone.link"), Danger: true}},
		Search: &search{
			Action: q.At("/admin/sessions"), Name: q.Text("live.search"), Submit: q.Text("table.search"),
			Fields: []field{textField("q", q.Text("live.text_in"), query.Text, "search")},
		},
		Sections: []section{{Table: t}},
	}
	if len(filter(q.Query)) > 0 {
		s.Search.Extra = []action{{Href: q.At("/admin/sessions"), Text: q.Text("table.clear")}}
	}
	p := newPage(q, "sessions", q.Text("admin.sections")+" - "+q.Text("admin.sessions"), s)
	p.Heading = q.Text("admin.sessions")
	q.UI.Write(w, r, p)
	return nil
}

// sessionTable returns the table of sessions, with a column for their users or without.
func sessionTable(q *web.Request, list []store.SessionRow, withUser bool) *table {
	t := &table{ID: "sessions"}
	columns := []string{"sessions.device", "live.place", "live.method", "sessions.first", "sessions.last", "table.acts"}
	if withUser {
		columns = append([]string{"users.user"}, columns...)
	}
	for _, id := range columns {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, s := range list {
		device := q.DeviceName(s.UserAgent)
		seen := s.LastSeenAt
		first := cell{Text: device, Head: !withUser}
		if s.ID == q.Live.Session.ID {
			first.Marks = []mark{good(q.Text("sessions.current"))}
			seen = q.Live.LastSeen() // the store learns of uses in batches
		}
		cells := []cell{
			first,
			{Text: s.IP, Small: s.Host},
			{Text: q.Method(s.Session, s.Session.Provider)},
			{Time: s.CreatedAt},
			{Time: seen},
			{Links: []action{{
				Href: q.At("/admin/sessions/" + s.ID + "/revoke"), Text: q.Text("live.revoke"),
				More: q.Text("live.whose", "name", s.Username, "device", device, "ip", s.IP, "time", q.UI.Time(s.CreatedAt)),
			}}},
		}
		if withUser {
			cells = append([]cell{{Head: true, Text: s.Username, Href: q.At(userPath(s.UserID))}}, cells...)
		}
		t.Rows = append(t.Rows, row{Cells: cells})
	}
	return t
}

func (h sessions) revokeForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	session, u, err := h.Store.Session(r.Context(), r.PathValue("id"))
	if err != nil {
		return ui.Page{}, err
	}
	s := &content{Lead: q.Text("revoke_any.text", "name", u.Username)}
	if session.ID == q.Live.Session.ID {
		s.Lead = q.Text("revoke.current")
	}
	p := newPage(q, "sessions", q.Text("revoke.title"), s)
	s.Sections = []section{{Facts: []fact{
		{Name: q.Text("users.user"), Value: u.Username, Href: q.At(userPath(u.ID))},
		{Name: q.Text("sessions.device"), Value: q.Device(session.UserAgent)},
		{Name: q.Text("sessions.agent"), Value: session.UserAgent},
		{Name: q.Text("sessions.ip"), Value: session.IP},
		{Name: q.Text("sessions.host"), Value: session.Host},
		{Name: q.Text("sessions.first"), Time: session.CreatedAt},
		{Name: q.Text("sessions.until"), Time: session.ExpiresAt},
	}}}
	setForm(&p, s, confirmForm(q, q.At("/admin/sessions/"+session.ID+"/revoke"), q.Text("revoke.button"),
		q.At("/admin/sessions"), true), in)
	return p, nil
}

func (h sessions) revoke(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	id := r.PathValue("id")
	if err := h.Accounts.EndSession(r.Context(), q.Actor(), id); err != nil {
		return result{}, err
	}
	if id == q.Live.Session.ID {
		return result{redirect: "/logged-out"}, nil
	}
	return result{redirect: "/admin/sessions", flash: "sessions_ended"}, nil
}

// everyoneWord has to be typed before everybody is signed out.
const everyoneWord = "everyone"

func (h sessions) endEveryoneForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	n, err := h.Store.CountSessions(r.Context(), h.Clock(), countLimit)
	if err != nil {
		return ui.Page{}, err
	}
	s := &content{Lead: countText(q, "everyone.text", "everyone.text_more", n, countLimit)}
	p := newPage(q, "sessions", q.Text("everyone.title"), s)
	if q.HasTokens() {
		tokens, err := h.Store.Tokens(r.Context(), store.TokenQuery{Limit: 1})
		if err != nil {
			return ui.Page{}, err
		}
		if len(tokens.Items) > 0 {
			s.Warnings = []string{q.Text("everyone.tokens")}
		}
	}
	f := confirmForm(q, q.At("/admin/sessions/everyone"), q.Text("everyone.submit"), q.At("/admin/sessions"), true)
	f.Fields = []field{{Field: ui.Field{
		ID: "confirm", Name: "confirm", Label: q.Text("everyone.confirm", "word", everyoneWord),
		Value: in.get("confirm", ""), Autocomplete: "off", Plain: true,
	}}}
	setForm(&p, s, f, in)
	return p, nil
}

func (h sessions) endEveryone(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	if strings.TrimSpace(in.Form.Get("confirm")) != everyoneWord {
		return result{}, fieldError("confirm", q.Text("everyone.confirm", "word", everyoneWord))
	}
	if _, err := h.Accounts.EndAllSessions(r.Context(), q.Actor()); err != nil {
		return result{}, err
	}
	return result{redirect: "/logged-out"}, nil
}
