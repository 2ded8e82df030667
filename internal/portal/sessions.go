package portal

import (
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
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

func (p *Portal) item(v *visit, s store.Session) sessionItem {
	device := p.device(s.UserAgent)
	if device == "" {
		device = p.ui.Text("device.unknown")
	}
	return sessionItem{
		ID: s.ID, Device: device, Agent: s.UserAgent, IP: s.IP, Host: s.Host, Method: p.method(s),
		First: s.CreatedAt, Last: s.LastSeenAt, Until: s.ExpiresAt, Current: s.ID == v.live.Session.ID,
	}
}

func (p *Portal) listSessions(w http.ResponseWriter, r *http.Request, v *visit) {
	cursor := r.URL.Query().Get("cursor")
	list, err := p.Store.Sessions(r.Context(), store.SessionQuery{UserID: v.live.User.ID, Now: p.Clock(), Cursor: cursor, Limit: perPage})
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	d := sessionsPage{Others: cursor != "" || list.Next != "", Next: nextPage(v.q.Prefix+"/account/sessions", list.Next)}
	for _, row := range list.Items {
		it := p.item(v, row.Session)
		if it.Current {
			it.Last = v.live.LastSeen() // the store learns of uses in batches
		}
		d.Others = d.Others || !it.Current
		d.Items = append(d.Items, it)
	}
	p.ui.Write(w, r, p.accountPage(v, "sessions", "sessions", d))
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
func (p *Portal) ownSession(r *http.Request, v *visit) (store.Session, error) {
	id := r.PathValue("id")
	if !store.ValidID(id) {
		return store.Session{}, store.ErrNotFound
	}
	s, u, err := p.Store.Session(r.Context(), id)
	if err == nil && u.ID != v.live.User.ID {
		err = store.ErrNotFound
	}
	return s, err
}

func (p *Portal) confirmRevoke(w http.ResponseWriter, r *http.Request, v *visit) {
	s, err := p.ownSession(r, v)
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	it := p.item(v, s)
	d := confirmPage{
		Text: p.ui.Text("revoke.text"), Button: p.ui.Text("revoke.button"),
		Action: v.q.Prefix + "/account/sessions/" + s.ID + "/revoke", Cancel: v.q.Prefix + "/account/sessions",
		Facts: []fact{{p.ui.Text("sessions.device"), it.Device}, {p.ui.Text("sessions.ip"), it.IP}, {p.ui.Text("sessions.host"), it.Host}},
	}
	if it.Current {
		d.Text = p.ui.Text("revoke.current")
	}
	page := p.accountPage(v, "sessions", "confirm", d)
	page.Title = p.ui.Text("revoke.title")
	p.ui.Write(w, r, page)
}

func (p *Portal) revoke(w http.ResponseWriter, r *http.Request, v *visit) {
	_, err := ui.ReadOptions(w, r)
	var s store.Session
	if err == nil {
		s, err = p.ownSession(r, v)
	}
	if err == nil {
		err = p.Accounts.EndOwnSession(r.Context(), v.actor(r), s.ID)
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	if s.ID == v.live.Session.ID {
		v.cookie.Clear(w)
		p.sendTo(w, r, v.q.Prefix+"/logged-out")
		return
	}
	p.ui.Flash(w, r, "session_ended")
	p.sendTo(w, r, v.q.Prefix+"/account/sessions")
}

func (p *Portal) confirmOthers(w http.ResponseWriter, r *http.Request, v *visit) {
	page := p.accountPage(v, "sessions", "confirm", confirmPage{
		Text: p.ui.Text("others.text"), Button: p.ui.Text("sessions.end_others"),
		Action: v.q.Prefix + "/account/sessions/others", Cancel: v.q.Prefix + "/account/sessions",
	})
	page.Title = p.ui.Text("others.title")
	p.ui.Write(w, r, page)
}

func (p *Portal) endOthers(w http.ResponseWriter, r *http.Request, v *visit) {
	_, err := ui.ReadOptions(w, r)
	if err == nil {
		_, err = p.Accounts.EndOtherSessions(r.Context(), v.actor(r))
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	p.ui.Flash(w, r, "others_ended")
	p.sendTo(w, r, v.q.Prefix+"/account/sessions")
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
func (p *Portal) activity(w http.ResponseWriter, r *http.Request, v *visit) {
	u := v.live.User
	list, err := p.Store.Events(r.Context(), store.EventQuery{UserID: u.ID, Cursor: r.URL.Query().Get("cursor"), Limit: perPage})
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	d := activityPage{Next: nextPage(v.q.Prefix+"/account/activity", list.Next)}
	for _, e := range list.Items {
		it := activityItem{Time: e.Time, What: p.action(e.Action), Outcome: e.Outcome, Result: p.ui.Text("outcome." + string(e.Outcome)), Who: p.actorName(e.ActorID, e.Actor)}
		if e.ActorID == u.ID || e.ActorID == "" {
			it.IP, it.Device = e.IP, p.device(e.UserAgent)
		}
		d.Items = append(d.Items, it)
	}
	p.ui.Write(w, r, p.accountPage(v, "activity", "activity", d))
}

// actorName returns who did something. What is no person has a name of the log's own, which is put into words here.
func (p *Portal) actorName(id, name string) string {
	switch {
	case id != "" && store.Ambiguous(name):
		return p.ui.Text("actor.account", "name", name)
	case id != "":
		return name
	}
	switch kind := store.ActorKindOf(name); kind {
	case store.ActorCommandLine, store.ActorStartUp, store.ActorEnvironment, store.ActorAnonymous:
		return p.ui.Text("actor." + string(kind))
	case store.ActorPerson, store.ActorProvider, store.ActorSystem:
	}
	return name
}

// action returns an audited action in words, or as it is where there are none.
func (p *Portal) action(name string) string {
	if id := "action." + name; p.ui.HasText(id) {
		return p.ui.Text(id)
	}
	return name
}
