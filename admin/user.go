package admin

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
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
func (a *admin) userScreen(v *visit, u store.User, tab string) (ui.Page, *screen) {
	s := &screen{Marks: a.marks(u), TabsName: a.text("user.tabs")}
	for _, name := range tabs {
		id, href := name, userAt(u.ID)+"/"+name
		if name == "" {
			id, href = "profile", userAt(u.ID)
		}
		s.Tabs = append(s.Tabs, ui.Link{Href: v.at(href), Text: a.text("user." + id), Current: name == tab})
	}
	title := a.text("user.title", "name", u.Username)
	if tab != "" {
		title = a.text("user."+tab) + " - " + title // tabs and history tell pages apart by title (WCAG 2.4.2)
	}
	p := a.page(v, "users", title, s)
	p.Heading = u.Username
	return p, s
}

func (a *admin) showUser(w http.ResponseWriter, r *http.Request, v *visit) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	p, s := a.userScreen(v, u, "")
	s.Sections = []section{{ID: "profile", Title: a.text("user.profile"), Facts: a.userFacts(u)}}
	if u.Managed {
		s.Sections[0].Text = a.text("user.managed", "env", a.Accounts.EnvPrefix)
	}
	s.Sections[0].Actions = a.userActions(v, u)
	a.ui.Write(w, r, p)
	return nil
}

func (a *admin) userFacts(u store.User) []fact {
	facts := []fact{{Name: a.text("users.username"), Value: u.Username}}
	if u.Name != "" {
		facts = append(facts, fact{Name: a.text("users.name"), Value: u.Name})
	}
	email := fact{Name: a.text("users.email"), Value: u.Email}
	switch {
	case u.Email == "":
		email.Value = a.text("user.no_email")
	case !u.EmailVerified:
		email.Marks = []mark{warn(a.text("user.unverified"))}
	}
	given := a.text("user.role_provider")
	if u.RoleGranted {
		given = a.text("user.role_given")
	}
	facts = append(facts, email,
		fact{Name: a.text("users.role"), Value: a.text("role." + string(u.Role)), Marks: []mark{plain(given)}})
	if len(u.Groups) > 0 {
		facts = append(facts, fact{Name: a.text("users.groups"), Value: identifier.JoinGroups(u.Groups, ", ")})
	}
	facts = append(facts,
		fact{Name: a.text("users.created"), Time: u.CreatedAt}, fact{Name: a.text("users.updated"), Time: u.UpdatedAt})
	facts = append(facts, a.whenOr(a.text("users.last_login"), u.LastLoginAt, "users.never"))
	return append(facts, fact{Name: a.text("users.origin"), Value: a.text("origin." + string(u.Origin))},
		fact{Name: a.text("users.id"), Value: u.ID, Code: true})
}

// whenOr is a fact about a time that may not have come.
func (a *admin) whenOr(name string, t time.Time, otherwise string) fact {
	if t.IsZero() {
		return fact{Name: name, Value: a.text(otherwise)}
	}
	return fact{Name: name, Time: t}
}

func (a *admin) userActions(v *visit, u store.User) []action {
	at := func(verb, id string) action { return action{Href: v.at(userAt(u.ID) + "/" + verb), Text: a.text(id)} }
	edit := at("edit", "user.edit")
	edit.Main = true
	list := []action{edit}
	self := u.ID == v.live.User.ID
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
func (a *admin) showSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
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
	p, s := a.userScreen(v, u, "sign-in")
	s.Sections = append(s.Sections, a.passwordSection(v, u))
	if open {
		s.Sections = append(s.Sections, section{ID: "link", Title: a.text("signin.link"), Facts: []fact{
			{Name: a.text("invites.by"), Value: a.words.Actor("", link.CreatedBy)}, {Name: a.text("invites.made"), Time: link.CreatedAt},
			{Name: a.text("invites.until"), Time: link.ExpiresAt},
		}, Actions: []action{{Href: v.at(userAt(u.ID) + "/cancel-link"), Text: a.text("invites.cancel")}}})
	}
	t := &table{ID: "identities", Caption: a.text("signin.identities"), Empty: a.text("signin.no_identities")}
	for _, id := range []string{"users.provider", "signin.subject", "users.email", "signin.linked", "users.last_login", "table.acts"} {
		t.Columns = append(t.Columns, column{Text: a.text(id)})
	}
	for _, i := range identities {
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: i.Provider, Small: i.Issuer}, {Text: i.Subject}, {Text: i.Email}, {Time: i.CreatedAt},
			{Time: i.LastLoginAt, Never: a.text("users.never")},
			{Links: []action{{Href: v.at(userAt(u.ID) + "/identities/" + i.ID() + "/unlink"), Text: a.text("unlink.link"),
				More: i.Provider + " " + i.Subject}}},
		}})
	}
	s.Sections = append(s.Sections, section{ID: "linked", Title: a.text("signin.providers"), Table: t})
	a.ui.Write(w, r, p)
	return nil
}

func (a *admin) passwordSection(v *visit, u store.User) section {
	sec := section{ID: "password", Title: a.text("signin.password")}
	switch {
	case u.PasswordHash == "":
		sec.Text = a.text("signin.no_password")
	case u.PasswordChangedAt.IsZero():
		sec.Text = a.text("signin.password_kept")
	default:
		sec.Facts = []fact{{Name: a.text("signin.changed"), Time: u.PasswordChangedAt}}
	}
	if u.MustChange {
		sec.Facts = append(sec.Facts, fact{Name: a.text("signin.next"), Value: a.text("mark.must_change")})
	}
	if u.Managed || u.ID == v.live.User.ID {
		return sec
	}
	if u.Active && !u.Pending {
		sec.Actions = append(sec.Actions, action{Href: v.at(userAt(u.ID) + "/reset-link"), Text: a.text("user.reset")})
	}
	if u.PasswordHash != "" && !u.MustChange {
		sec.Actions = append(sec.Actions, action{Href: v.at(userAt(u.ID) + "/require-change"), Text: a.text("user.require_change")})
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

func (a *admin) showUserSessions(w http.ResponseWriter, r *http.Request, v *visit) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	list, err := a.Store.Sessions(r.Context(), store.SessionQuery{UserID: u.ID, Now: a.Clock(), Cursor: v.query.Get("cursor"), Limit: defaultSize})
	if err != nil {
		return err
	}
	p, s := a.userScreen(v, u, "sessions")
	t := a.sessionTable(v, list.Items, false)
	t.Caption, t.Empty = a.text("live.of", "name", u.Username), a.text("live.none_of")
	t.Pages = a.onward(v, userAt(u.ID)+"/sessions", list.Next)
	sec := section{Table: t}
	if len(list.Items) > 0 {
		sec.Actions = []action{{Href: v.at(userAt(u.ID) + "/end-sessions"), Text: a.text("user.end_sessions")}}
	}
	s.Sections = []section{sec}
	a.ui.Write(w, r, p)
	return nil
}

func (a *admin) showActivity(w http.ResponseWriter, r *http.Request, v *visit) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	list, err := a.Store.Events(r.Context(), store.EventQuery{UserID: u.ID, Cursor: v.query.Get("cursor"), Limit: defaultSize})
	if err != nil {
		return err
	}
	p, s := a.userScreen(v, u, "activity")
	t := a.eventTable(v, list.Items)
	t.Caption = a.text("audit.of", "name", u.Username)
	t.Pages = a.onward(v, userAt(u.ID)+"/activity", list.Next)
	s.Sections = []section{{Table: t}}
	a.ui.Write(w, r, p)
	return nil
}

// onward returns the ways from a page of a list that goes one way: to its beginning and on.
func (a *admin) onward(v *visit, path, cursor string) []ui.Link {
	var links []ui.Link
	f := filter(v.query)
	if v.query.Get("cursor") != "" {
		links = append(links, ui.Link{Href: v.at(path) + f.suffix(), Text: a.text("table.newest")})
	}
	if cursor != "" {
		links = append(links, ui.Link{Href: v.at(path) + f.with(map[string][]string{"cursor": {cursor}}).suffix(), Text: a.text("list.next")})
	}
	return links
}
