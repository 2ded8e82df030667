package portal

import (
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// perPage is how many rows a list of one's own shows.
const perPage = 25

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
	First   time.Time
	Last    time.Time
	Until   time.Time
	Current bool
}

func (p *Portal) item(q *web.Request, s store.Session) sessionItem {
	device := q.Device(s.UserAgent)
	if device == "" {
		device = q.Text("device.unknown")
	}
	return sessionItem{
		ID: s.ID, Device: device, Agent: s.UserAgent, IP: s.IP, Host: s.Host, Method: q.Method(s, q.ProviderLabel(s.Provider)),
		First: s.CreatedAt, Last: s.LastSeenAt, Until: s.ExpiresAt, Current: s.ID == q.Live.Session.ID,
	}
}

func (p *Portal) listSessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	cursor := r.URL.Query().Get("cursor")
	list, err := p.Store.Sessions(r.Context(), store.SessionQuery{UserID: q.Live.User.ID, Now: p.Clock(), Cursor: cursor, Limit: perPage})
	if err != nil {
		return err
	}
	d := sessionsPage{Others: cursor != "" || list.Next != "", Next: nextPage(q.Prefix+"/account/sessions", list.Next)}
	for _, row := range list.Items {
		it := p.item(q, row.Session)
		if it.Current {
			it.Last = q.Live.LastSeen() // the store learns of uses in batches
		}
		d.Others = d.Others || !it.Current
		d.Items = append(d.Items, it)
	}
	q.UI.Write(w, r, p.accountPage(q, "sessions", "sessions", d))
	return nil
}

func nextPage(at, cursor string) string {
	if cursor == "" {
		return ""
	}
	return at + "?cursor=" + url.QueryEscape(cursor)
}

// confirmPage is the data of the "confirm" page: a question, and a form that answers it.
type confirmPage struct {
	Text   string
	Facts  []fact
	Action string
	Button string
	Cancel string
}

type fact struct{ Name, Value string }

// ownSession returns the session that the address names, if it is the person's own. Somebody else's is not found.
func (p *Portal) ownSession(r *http.Request, q *web.Request) (store.Session, error) {
	id := r.PathValue("id")
	if !store.ValidID(id) {
		return store.Session{}, store.ErrNotFound
	}
	s, u, err := p.Store.Session(r.Context(), id)
	if err == nil && u.ID != q.Live.User.ID {
		err = store.ErrNotFound
	}
	return s, err
}

func (p *Portal) confirmRevoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s, err := p.ownSession(r, q)
	if err != nil {
		return err
	}
	it := p.item(q, s)
	d := confirmPage{
		Text: q.Text("revoke.text"), Button: q.Text("revoke.button"),
		Action: q.Prefix + "/account/sessions/" + s.ID + "/revoke", Cancel: q.Prefix + "/account/sessions",
		Facts: []fact{{q.Text("sessions.device"), it.Device}, {q.Text("sessions.ip"), it.IP}, {q.Text("sessions.host"), it.Host}},
	}
	if it.Current {
		d.Text = q.Text("revoke.current")
	}
	page := p.accountPage(q, "sessions", "confirm", d)
	page.Title = q.Text("revoke.title")
	q.UI.Write(w, r, page)
	return nil
}

func (p *Portal) revoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadOptions(w, r)
	var s store.Session
	if err == nil {
		s, err = p.ownSession(r, q)
	}
	if err == nil {
		err = p.Accounts.EndOwnSession(r.Context(), q.Actor(), s.ID)
	}
	if err != nil {
		return err
	}
	if s.ID == q.Live.Session.ID {
		q.Cookie.Clear(w)
		p.sendTo(w, r, q.Prefix+"/logged-out")
		return nil
	}
	q.UI.Flash(w, r, "session_ended")
	p.sendTo(w, r, q.Prefix+"/account/sessions")
	return nil
}

func (p *Portal) confirmOthers(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	page := p.accountPage(q, "sessions", "confirm", confirmPage{
		Text: q.Text("others.text"), Button: q.Text("sessions.end_others"),
		Action: q.Prefix + "/account/sessions/others", Cancel: q.Prefix + "/account/sessions",
	})
	page.Title = q.Text("others.title")
	q.UI.Write(w, r, page)
	return nil
}

func (p *Portal) endOthers(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadOptions(w, r)
	if err == nil {
		_, err = p.Accounts.EndOtherSessions(r.Context(), q.Actor())
	}
	if err != nil {
		return err
	}
	q.UI.Flash(w, r, "others_ended")
	p.sendTo(w, r, q.Prefix+"/account/sessions")
	return nil
}

// activityPage is the data of the "activity" page.
type activityPage struct {
	Items []activityItem
	Next  string
}

type activityItem struct {
	Time    time.Time
	What    string
	Outcome store.Outcome
	Result  string
	Who     string
	IP      string
	Device  string
}

// activity shows the person's own part of the audit log. Of what others did to the account it tells who and when, but
// not from where.
func (p *Portal) activity(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u := q.Live.User
	list, err := p.Store.Events(r.Context(), store.EventQuery{UserID: u.ID, Cursor: r.URL.Query().Get("cursor"), Limit: perPage})
	if err != nil {
		return err
	}
	d := activityPage{Next: nextPage(q.Prefix+"/account/activity", list.Next)}
	for _, e := range list.Items {
		it := activityItem{Time: e.Time, What: q.Action(e.Action), Outcome: e.Outcome, Result: q.Text("outcome." + string(e.Outcome)), Who: q.ActorName(e.ActorID, e.Actor)}
		if e.ActorID == u.ID || e.ActorID == "" {
			it.IP, it.Device = e.IP, q.Device(e.UserAgent)
		}
		d.Items = append(d.Items, it)
	}
	q.UI.Write(w, r, p.accountPage(q, "activity", "activity", d))
	return nil
}
