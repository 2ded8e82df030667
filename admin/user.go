package admin

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// user is the pages about one user.
type user struct {
	*web.Deps
	Config
}

func (h user) routes() []web.Route {
	change := func(page, action string, f form) []web.Route {
		return change(h.Deps, "/admin/users/{id}/"+page, action, f)
	}
	return slices.Concat(
		[]web.Route{
			get("/admin/users/{id}", h.profile),
			get("/admin/users/{id}/access", h.access),
			get("/admin/users/{id}/sign-in", h.ofPerson(h.signIn)),
			get("/admin/users/{id}/sessions", h.ofPerson(h.sessions)),
			get("/admin/users/{id}/activity", h.activity),
		},
		change("edit", "user.update", form{h.editForm, h.edit}),
		change("activate", "user.update", form{h.activateForm, h.activate}),
		change("deactivate", "user.update", form{h.deactivateForm, h.deactivate}),
		change("delete", "user.delete", form{h.deleteForm, h.delete}),
		change("reset-link", "password.reset", h.formOfPerson(form{h.resetForm, h.reset})),
		change("cancel-link", "link.cancel", h.formOfPerson(form{h.cancelLinkForm, h.cancelLink})),
		change("require-change", "password.require_change", h.formOfPerson(form{h.requireChangeForm, h.requireChange})),
		change("unlock", "user.unlock", h.formOfPerson(form{h.unlockForm, h.unlock})),
		change("reset-mfa", "mfa.reset", h.formOfPerson(form{h.resetMFAForm, h.resetMFA})),
		change("unlock-mfa", "mfa.unlock", h.formOfPerson(form{h.unlockMFAForm, h.unlockMFA})),
		change("end-sessions", "session.end_all", h.formOfPerson(form{h.endSessionsForm, h.endSessions})),
		change("identities/{identity}/unlink", "identity.unlink", h.formOfPerson(form{h.unlinkForm, h.unlink})),
		change("identities/{identity}/move", "identity.move", h.formOfPerson(form{h.moveForm, h.move})),
	)
}

// find returns the user that the path names.
func (h user) find(r *http.Request) (store.User, error) {
	return h.Store.User(r.Context(), r.PathValue("id"))
}

func userPath(id string) string { return "/admin/users/" + id }

// userTabs are the pages about one user; the first has no name of its own in the address.
var userTabs = [...]string{"", "access", "sign-in", "sessions", "tokens", "activity"}

// hasTab reports whether a user has that page.
func hasTab(q *web.Request, u store.User, tab string) bool {
	switch tab {
	case "sign-in", "sessions":
		return !u.IsService()
	case "tokens":
		return q.HasTokens()
	}
	return true
}

// userPage returns a page about a user.
func userPage(q *web.Request, u store.User, tab string) (ui.Page, *content) {
	s := &content{Marks: userMarks(q, u), TabsName: q.Text("user.tabs")}
	for _, name := range userTabs {
		if !hasTab(q, u, name) {
			continue
		}
		id, href := name, userPath(u.ID)+"/"+name
		if name == "" {
			id, href = "profile", userPath(u.ID)
		}
		s.Tabs = append(s.Tabs, ui.Link{Href: q.At(href), Text: q.Text("user." + id), Current: name == tab})
	}
	title := q.Text("user.title", "name", u.Username)
	if tab != "" {
		title = q.Text("user."+tab) + " - " + title // tabs and history tell pages apart by title (WCAG 2.4.2)
	}
	p := newPage(q, "users", title, s)
	p.Heading = u.Username
	return p, s
}

// userMarks returns the state of an account in words.
func userMarks(q *web.Request, u store.User) []mark {
	var list []mark
	switch {
	case u.Pending:
		list = append(list, warn(q.Text("mark.pending")))
	case !u.Active:
		list = append(list, bad(q.Text("mark.inactive")))
	case isInvited(u):
		list = append(list, warn(q.Text("mark.invited")))
	default:
		list = append(list, good(q.Text("mark.active")))
	}
	if u.IsService() {
		return append(list, plain(q.Text("kind.service")))
	}
	if u.Managed {
		list = append(list, plain(q.Text("mark.managed")))
	}
	switch u.Origin {
	case store.OriginOIDC:
		list = append(list, plain(q.Text("mark.oidc")))
	case store.OriginImported:
		list = append(list, plain(q.Text("mark.imported")))
	case store.OriginEnv, store.OriginLocal:
	}
	if u.LastLoginAt.IsZero() && !isInvited(u) {
		list = append(list, plain(q.Text("mark.never")))
	}
	if u.MustChange {
		list = append(list, warn(q.Text("mark.must_change")))
	}
	return list
}

// isInvited reports whether somebody was given an account, and has not chosen a password yet.
func isInvited(u store.User) bool {
	return u.Active && !u.Pending && u.Local && u.PasswordHash == "" && u.LastLoginAt.IsZero()
}

// listMarks returns the state of an account for a list, which has a column for the last sign-in.
func listMarks(q *web.Request, u store.User) []mark {
	never := q.Text("mark.never")
	return slices.DeleteFunc(userMarks(q, u), func(m mark) bool { return m.Text == never })
}

func (h user) profile(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := h.find(r)
	if err != nil {
		return err
	}
	p, s := userPage(q, u, "")
	s.Sections = []section{{ID: "profile", Title: q.Text("user.profile"), Facts: userFacts(q, u)}}
	if u.Managed {
		s.Sections[0].Text = q.Text("user.managed", "env", h.Accounts.EnvPrefix)
	}
	s.Sections[0].Actions = h.userActions(q, u)
	q.UI.Write(w, r, p)
	return nil
}

func userFacts(q *web.Request, u store.User) []fact {
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
	if u.IsService() {
		facts = append(facts, fact{Name: q.Text("kind.kind"), Value: q.Text("kind.service")})
	} else {
		facts = append(facts, email,
			fact{Name: q.Text("users.role"), Value: q.Text("role." + string(u.Role)), Marks: []mark{plain(given)}})
	}
	if len(u.Groups) > 0 {
		facts = append(facts, fact{Name: q.Text("users.groups"), Value: identifier.JoinGroups(u.Groups, ", ")})
	}
	facts = append(facts,
		fact{Name: q.Text("users.created"), Time: u.CreatedAt}, fact{Name: q.Text("users.updated"), Time: u.UpdatedAt})
	if !u.IsService() {
		facts = append(facts, timeFact(q, q.Text("users.last_login"), u.LastLoginAt, "users.never"))
	}
	return append(facts,
		fact{Name: q.Text("users.origin"), Value: q.Text("origin." + string(u.Origin))},
		fact{Name: q.Text("users.id"), Value: u.ID, Code: true})
}

func (h user) userActions(q *web.Request, u store.User) []action {
	at := func(verb, id string) action { return action{Href: q.At(userPath(u.ID) + "/" + verb), Text: q.Text(id)} }
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
		if h.Login.Passwords.Of(u) {
			list = append(list, at("reset-link", "user.reset"))
		}
		list = append(list, at("deactivate", "user.deactivate"))
	}
	remove := at("delete", "user.delete")
	remove.Danger = true
	return append(list, remove)
}

func (h user) sessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := h.find(r)
	if err != nil {
		return err
	}
	list, err := h.Store.Sessions(r.Context(), store.SessionQuery{
		UserID: u.ID, Now: h.Clock(),
		Cursor: q.Query.Get("cursor"), Limit: defaultPageSize,
	})
	if err != nil {
		return err
	}
	p, s := userPage(q, u, "sessions")
	t := sessionTable(q, list.Items, false)
	t.Caption, t.Empty = q.Text("live.of", "name", u.Username), q.Text("live.none_of")
	t.setPages(q, cursorLinks(q, userPath(u.ID)+"/sessions", list.Next))
	sec := section{Table: t}
	if len(list.Items) > 0 {
		sec.Actions = []action{{Href: q.At(userPath(u.ID) + "/end-sessions"), Text: q.Text("user.end_sessions")}}
	}
	s.Sections = []section{sec}
	q.UI.Write(w, r, p)
	return nil
}

func (h user) activity(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := h.find(r)
	if err != nil {
		return err
	}
	list, err := h.Store.Events(r.Context(), store.EventQuery{
		UserID: u.ID, Cursor: q.Query.Get("cursor"),
		Limit: defaultPageSize,
	})
	if err != nil {
		return err
	}
	p, s := userPage(q, u, "activity")
	t := eventTable(q, list.Items)
	t.Caption = q.Text("audit.of", "name", u.Username)
	t.setPages(q, cursorLinks(q, userPath(u.ID)+"/activity", list.Next))
	s.Sections = []section{{Table: t}}
	q.UI.Write(w, r, p)
	return nil
}
