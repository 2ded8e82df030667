package admin

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// invites are the pages about new users and their one-time links.
type invites struct{ *web.Deps }

func (h invites) routes() []web.Route {
	return append(
		change(h.Deps, "/admin/users/invite", "user.create", form{h.inviteForm, h.invite}),
		get("/admin/users/{id}/handover", h.handover),
		get("/admin/invites", h.list),
	)
}

// list shows the links that are still to be used.
func (h invites) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	list, err := h.Store.Links(r.Context(), store.LinkQuery{
		Purpose: store.LinkPassword, Now: h.Clock(),
		Cursor: q.Query.Get("cursor"), Limit: defaultPageSize,
	})
	if err != nil {
		return err
	}
	t := &table{ID: "invites", Caption: q.Text("invites.caption"), Empty: q.Text("invites.none")}
	for _, id := range []string{"users.user", "invites.by", "invites.made", "invites.until", "table.acts"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, l := range list.Items {
		u, err := h.Store.User(r.Context(), l.UserID)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted a moment ago, and its links with it
		}
		if err != nil {
			return err
		}
		at := q.At(userPath(u.ID))
		acts := []action{
			{Href: at + "/reset-link", Text: q.Text("invites.again"), More: q.Text("invites.for", "name", u.Username)},
			{Href: at + "/cancel-link", Text: q.Text("invites.cancel"), More: q.Text("invites.for", "name", u.Username)},
		}
		if !h.Login.Passwords.Of(u) {
			acts = acts[1:]
		}
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: u.Username, Href: at, Small: u.Name},
			{Text: q.ActorName("", l.CreatedBy)},
			{Time: l.CreatedAt},
			{Time: l.ExpiresAt},
			{Links: acts},
		}})
	}
	t.setPages(q, cursorLinks(q, "/admin/invites", list.Next))
	s := &content{
		Lead: q.Text("invites.lead"), Sections: []section{{Table: t}},
		Actions: []action{{Href: q.At("/admin/users/invite"), Text: q.Text("users.invite"), Main: true}},
	}
	q.UI.Write(w, r, newPage(q, "invites", q.Text("admin.invites"), s))
	return nil
}

func (h invites) inviteForm(_ *http.Request, q *web.Request, in input) (ui.Page, error) {
	if isService(q, in) {
		return serviceForm(q, in), nil
	}
	accepted := h.Login.Passwords.Of(store.User{})
	s := &content{Lead: q.Text("invite.lead")}
	if !accepted {
		s.Lead = q.Text("invite.lead_off")
	}
	p := newPage(q, "users", q.Text("users.invite"), s)
	role := store.RoleUser
	if q.Query.Get("role") == string(store.RoleAdmin) {
		role = store.RoleAdmin
	}
	fields := append(accountFields(q, store.User{Role: role, Active: true}, in), passwordFields(q, in, accepted)...)
	if !in.sent {
		fields[0].Focus = true
	}
	setForm(&p, s, &formView{
		Action: q.At("/admin/users/invite"), Submit: q.Text("invite.submit"), Fields: fields,
		Cancel: ui.Link{Href: q.At("/admin/users"), Text: q.Text("go.cancel")},
	}, in)
	return p, nil
}

func (h invites) invite(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	if isService(q, in) {
		return h.createService(r, q, in)
	}
	way, err := readPasswordChoice(q, in, h.Accounts.Policy.Min())
	if err != nil {
		return result{}, err
	}
	active, err := readActive(q, in)
	if err != nil {
		return result{}, err
	}
	u, link, err := h.Accounts.Create(r.Context(), q.Actor(), account.NewUser{
		Kind:     store.UserKind(in.Form.Get("kind")),
		Username: in.Form.Get("username"), Email: in.Form.Get("email"), Name: in.Form.Get("name"),
		Role: store.Role(in.Form.Get("role")), Groups: splitList(in.All("groups")),
		Password: way.password, MustChange: way.mustChange && way.password != "",
		Active: active == nil || *active, Expires: way.expires,
	})
	if err != nil {
		return result{}, err
	}
	return redirectToHandover(w, q, u.ID, way, link, "user_made"), nil
}
