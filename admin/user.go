package admin

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// target returns the user whom the address names.
func (a *admin) target(r *http.Request) (store.User, error) {
	return a.Store.User(r.Context(), r.PathValue("id"))
}

func userAt(id string) string { return "/admin/users/" + id }

// tabs are the pages about one user; the first has no name of its own in the address.
var tabs = [...]string{"", "access", "sign-in", "sessions", "activity"}

// userScreen begins a page about a user.
func (a *admin) userScreen(q *web.Request, u store.User, tab string) (ui.Page, *screen) {
	s := &screen{Marks: a.marks(q, u), TabsName: q.Text("user.tabs")}
	for _, name := range tabs {
		id, href := name, userAt(u.ID)+"/"+name
		if name == "" {
			id, href = "profile", userAt(u.ID)
		}
		s.Tabs = append(s.Tabs, ui.Link{Href: q.At(href), Text: q.Text("user." + id), Current: name == tab})
	}
	title := q.Text("user.title", "name", u.Username)
	if tab != "" {
		title = q.Text("user."+tab) + " - " + title // tabs and history tell pages apart by title (WCAG 2.4.2)
	}
	p := a.page(q, "users", title, s)
	p.Heading = u.Username
	return p, s
}

func (a *admin) showUser(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	p, s := a.userScreen(q, u, "")
	s.Sections = []section{{ID: "profile", Title: q.Text("user.profile"), Facts: a.userFacts(q, u)}}
	if u.Managed {
		s.Sections[0].Text = q.Text("user.managed", "env", a.Accounts.EnvPrefix)
	}
	s.Sections[0].Actions = a.userActions(q, u)
	q.UI.Write(w, r, p)
	return nil
}

func (a *admin) userFacts(q *web.Request, u store.User) []fact {
	facts := []fact{{Name: q.Text("users.username"), Value: u.Username}}
	if u.Name != "" {
		facts = append(facts, fact{Name: q.Text("users.name"), Value: u.Name})
	}
	email := fact{Name: q.Text("users.email"), Value: u.Email}
	switch {
	case u.Email == "":
		email.Value = q.Text("user.no_email")
	case !u.EmailVerified:
		email.Marks = []mark{warn(q.Text("user.unverified"))}
	}
	given := q.Text("user.role_provider")
	if u.RoleGranted {
		given = q.Text("user.role_given")
	}
	facts = append(facts, email,
		fact{Name: q.Text("users.role"), Value: q.Text("role." + string(u.Role)), Marks: []mark{plain(given)}})
	if len(u.Groups) > 0 {
		facts = append(facts, fact{Name: q.Text("users.groups"), Value: identifier.JoinGroups(u.Groups, ", ")})
	}
	facts = append(facts,
		fact{Name: q.Text("users.created"), Time: u.CreatedAt}, fact{Name: q.Text("users.updated"), Time: u.UpdatedAt})
	facts = append(facts, a.whenOr(q, q.Text("users.last_login"), u.LastLoginAt, "users.never"))
	return append(facts, fact{Name: q.Text("users.origin"), Value: q.Text("origin." + string(u.Origin))},
		fact{Name: q.Text("users.id"), Value: u.ID, Code: true})
}

// whenOr is a fact about a time that may not have come.
func (a *admin) whenOr(q *web.Request, name string, t time.Time, otherwise string) fact {
	if t.IsZero() {
		return fact{Name: name, Value: q.Text(otherwise)}
	}
	return fact{Name: name, Time: t}
}

func (a *admin) userActions(q *web.Request, u store.User) []action {
	at := func(verb, id string) action { return action{Href: q.At(userAt(u.ID) + "/" + verb), Text: q.Text(id)} }
	edit := at("edit", "user.edit")
	edit.Main = true
	list := []action{edit}
	self := u.ID == q.Live.User.ID
	if u.Managed || self {
		return list
	}
	switch {
	case u.Pending:
		list = append(list, at("activate", "user.admit"))
	case !u.Active:
		list = append(list, at("activate", "user.activate"))
	default:
		list = append(list, at("reset-link", "user.reset"), at("deactivate", "user.deactivate"))
	}
	remove := at("delete", "user.delete")
	remove.Danger = true
	return append(list, remove)
}

// showSignIn shows how a person gets in: password, providers, links on the way.
func (a *admin) showSignIn(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	identities, err := a.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return err
	}
	link, open, err := a.openLink(r, u.ID)
	if err != nil {
		return err
	}
	p, s := a.userScreen(q, u, "sign-in")
	s.Sections = append(s.Sections, a.passwordSection(q, u))
	if open {
		s.Sections = append(s.Sections, section{ID: "link", Title: q.Text("signin.link"), Facts: []fact{
			{Name: q.Text("invites.by"), Value: q.ActorName("", link.CreatedBy)}, {Name: q.Text("invites.made"), Time: link.CreatedAt},
			{Name: q.Text("invites.until"), Time: link.ExpiresAt},
		}, Actions: []action{{Href: q.At(userAt(u.ID) + "/cancel-link"), Text: q.Text("invites.cancel")}}})
	}
	t := &table{ID: "identities", Caption: q.Text("signin.identities"), Empty: q.Text("signin.no_identities")}
	for _, id := range []string{"users.provider", "signin.subject", "users.email", "signin.linked", "users.last_login", "table.acts"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, i := range identities {
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: i.Provider, Small: i.Issuer}, {Text: i.Subject}, {Text: i.Email}, {Time: i.CreatedAt},
			{Time: i.LastLoginAt, Never: q.Text("users.never")},
			{Links: []action{{Href: q.At(userAt(u.ID) + "/identities/" + i.ID() + "/unlink"), Text: q.Text("unlink.link"),
				More: i.Provider + " " + i.Subject}}},
		}})
	}
	s.Sections = append(s.Sections, section{ID: "linked", Title: q.Text("signin.providers"), Table: t})
	q.UI.Write(w, r, p)
	return nil
}

func (a *admin) passwordSection(q *web.Request, u store.User) section {
	sec := section{ID: "password", Title: q.Text("signin.password")}
	switch {
	case u.PasswordHash == "":
		sec.Text = q.Text("signin.no_password")
	case u.PasswordChangedAt.IsZero():
		sec.Text = q.Text("signin.password_kept")
	default:
		sec.Facts = []fact{{Name: q.Text("signin.changed"), Time: u.PasswordChangedAt}}
	}
	if u.MustChange {
		sec.Facts = append(sec.Facts, fact{Name: q.Text("signin.next"), Value: q.Text("mark.must_change")})
	}
	if u.Managed || u.ID == q.Live.User.ID {
		return sec
	}
	if u.Active && !u.Pending {
		sec.Actions = append(sec.Actions, action{Href: q.At(userAt(u.ID) + "/reset-link"), Text: q.Text("user.reset")})
	}
	if u.PasswordHash != "" && !u.MustChange {
		sec.Actions = append(sec.Actions, action{Href: q.At(userAt(u.ID) + "/require-change"), Text: q.Text("user.require_change")})
	}
	return sec
}

// openLink returns the unspent link of a user, if there is one.
func (a *admin) openLink(r *http.Request, userID string) (store.Link, bool, error) {
	list, err := a.Store.Links(r.Context(), store.LinkQuery{Purpose: store.LinkPassword, UserID: userID, Now: a.Clock(), Limit: 1})
	if err != nil || len(list.Items) == 0 {
		return store.Link{}, false, err
	}
	return list.Items[0], true, nil
}

func (a *admin) showUserSessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	list, err := a.Store.Sessions(r.Context(), store.SessionQuery{UserID: u.ID, Now: a.Clock(), Cursor: q.Query.Get("cursor"), Limit: defaultSize})
	if err != nil {
		return err
	}
	p, s := a.userScreen(q, u, "sessions")
	t := a.sessionTable(q, list.Items, false)
	t.Caption, t.Empty = q.Text("live.of", "name", u.Username), q.Text("live.none_of")
	t.Pages = a.onward(q, userAt(u.ID)+"/sessions", list.Next)
	sec := section{Table: t}
	if len(list.Items) > 0 {
		sec.Actions = []action{{Href: q.At(userAt(u.ID) + "/end-sessions"), Text: q.Text("user.end_sessions")}}
	}
	s.Sections = []section{sec}
	q.UI.Write(w, r, p)
	return nil
}

func (a *admin) showActivity(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	list, err := a.Store.Events(r.Context(), store.EventQuery{UserID: u.ID, Cursor: q.Query.Get("cursor"), Limit: defaultSize})
	if err != nil {
		return err
	}
	p, s := a.userScreen(q, u, "activity")
	t := a.eventTable(q, list.Items)
	t.Caption = q.Text("audit.of", "name", u.Username)
	t.Pages = a.onward(q, userAt(u.ID)+"/activity", list.Next)
	s.Sections = []section{{Table: t}}
	q.UI.Write(w, r, p)
	return nil
}

// onward returns the ways from a page of a list that goes one way: to its beginning and on.
func (a *admin) onward(q *web.Request, path, cursor string) []ui.Link {
	var links []ui.Link
	f := filter(q.Query)
	if q.Query.Get("cursor") != "" {
		links = append(links, ui.Link{Href: q.At(path) + f.suffix(), Text: q.Text("table.newest")})
	}
	if cursor != "" {
		links = append(links, ui.Link{Href: q.At(path) + f.with(map[string][]string{"cursor": {cursor}}).suffix(), Text: q.Text("list.next")})
	}
	return links
}
