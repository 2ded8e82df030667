package account

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// perPage is how many rows a list of one's own shows.
const perPage = 25

// Sessions lists and ends one's own sessions.
type Sessions struct{ *web.Deps }

// sessionsPage is the data of the "sessions" page.
type sessionsPage struct {
	Items  []sessionItem
	Others bool // there are others than this one, or there may be
	Next   string
}

// sessionItem is a session in a list.
type sessionItem struct {
	ID      string
	Device  string // "Firefox on Windows"
	Agent   string // the User-Agent it was read from
	IP      string
	Host    string
	Method  string
	Which   string // what tells its button from others, for screen readers
	First   time.Time
	Last    time.Time
	Until   time.Time
	Current bool
}

func (h *Sessions) item(q *web.Request, s store.Session) sessionItem {
	device := q.DeviceName(s.UserAgent)
	return sessionItem{
		ID: s.ID, Device: device, Agent: s.UserAgent, IP: s.IP, Host: s.Host,
		Method: q.Method(s, q.ProviderLabel(s.Provider)),
		Which:  q.Text("sessions.on", "device", device, "ip", s.IP, "time", q.UI.Time(s.CreatedAt)),
		First:  s.CreatedAt, Last: s.LastSeenAt, Until: s.ExpiresAt, Current: s.ID == q.Live.Session.ID,
	}
}

func (h *Sessions) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	cursor := r.URL.Query().Get("cursor")
	list, err := h.Store.Sessions(r.Context(), store.SessionQuery{
		UserID: q.Live.User.ID, Now: h.Clock(), Cursor: cursor,
		Limit: perPage,
	})
	if err != nil {
		return err
	}
	d := sessionsPage{Others: cursor != "" || list.Next != "", Next: nextPage(q.At("/account/sessions"), list.Next)}
	for _, row := range list.Items {
		it := h.item(q, row.Session)
		if it.Current {
			it.Last = q.Live.LastSeen() // the store learns of uses in batches
		}
		d.Others = d.Others || !it.Current
		d.Items = append(d.Items, it)
	}
	q.UI.Write(w, r, accountPage(h.Deps, q, "sessions", "sessions", d))
	return nil
}

func nextPage(at, cursor string) string {
	if cursor == "" {
		return ""
	}
	return at + "?cursor=" + url.QueryEscape(cursor)
}

// confirmPage is the data of the "confirm" page: a question, and a form with the button.
type confirmPage struct {
	Text   string
	Facts  []fact
	Action string
	Button string
	Cancel string
}

type fact struct{ Name, Value string }

func (h *Sessions) confirmRevoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s, err := q.OwnSession(r)
	if err != nil {
		return err
	}
	it := h.item(q, s)
	d := confirmPage{
		Text: q.Text("revoke.text"), Button: q.Text("revoke.button"),
		Action: q.At("/account/sessions/" + s.ID + "/revoke"), Cancel: q.At("/account/sessions"),
		Facts: []fact{
			{q.Text("sessions.device"), it.Device},
			{q.Text("sessions.ip"), it.IP},
			{q.Text("sessions.host"), it.Host},
		},
	}
	if it.Current {
		d.Text = q.Text("revoke.current")
	}
	page := accountPage(h.Deps, q, "sessions", "confirm", d)
	page.Title = q.Text("revoke.title")
	q.UI.Write(w, r, page)
	return nil
}

func (h *Sessions) revoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadOptions(w, r)
	var s store.Session
	if err == nil {
		s, err = q.OwnSession(r)
	}
	if err == nil {
		err = h.Accounts.EndOwnSession(r.Context(), q.Actor(), s.ID)
	}
	if err != nil {
		return err
	}
	if s.ID == q.Live.Session.ID {
		q.ClearSession(w)
		web.Redirect(w, r, q.At("/logged-out"))
		return nil
	}
	q.UI.Flash(w, r, "session_ended")
	web.Redirect(w, r, q.At("/account/sessions"))
	return nil
}

func (h *Sessions) confirmOthers(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	page := accountPage(h.Deps, q, "sessions", "confirm", confirmPage{
		Text: strings.TrimSpace(q.Text("others.text") + " " + q.TokensStay()), Button: q.Text("sessions.end_others"),
		Action: q.At("/account/sessions/others"), Cancel: q.At("/account/sessions"),
	})
	page.Title = q.Text("others.title")
	q.UI.Write(w, r, page)
	return nil
}

func (h *Sessions) endOthers(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadOptions(w, r)
	if err == nil {
		_, err = h.Accounts.EndOtherSessions(r.Context(), q.Actor())
	}
	if err != nil {
		return err
	}
	q.UI.Flash(w, r, "others_ended")
	web.Redirect(w, r, q.At("/account/sessions"))
	return nil
}
