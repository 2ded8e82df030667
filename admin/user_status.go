package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// confirmPage returns a page that asks before something is done to a user.
func (h user) confirmPage(
	r *http.Request, q *web.Request, in input, id, verb string, danger bool, fields ...field,
) (ui.Page, *content, store.User, error) {
	u, err := h.find(r)
	if err != nil {
		return ui.Page{}, nil, u, err
	}
	s := &content{Marks: userMarks(q, u), Lead: q.Text(id+".text", "name", u.Username)}
	if u.IsService() {
		s.Lead = q.Text("service."+id, "name", u.Username)
	}
	p := newPage(q, "users", q.Text(id+".title", "name", u.Username), s)
	f := confirmForm(q, q.At(userPath(u.ID)+"/"+verb), q.Text(id+".submit"), q.At(userPath(u.ID)), danger)
	f.Fields = fields
	setForm(&p, s, f, in)
	return p, s, u, nil
}

// recoveryPage is confirmPage for what takes an account back: it asks what becomes of identities at providers. fields
// returns the other fields, and whether identities are unlinked by default.
func (h user) recoveryPage(
	r *http.Request, q *web.Request, in input, id, verb string, danger bool, fields func(store.User) ([]field, bool),
) (ui.Page, *content, store.User, error) {
	u, err := h.find(r)
	if err != nil {
		return ui.Page{}, nil, u, err
	}
	list, ticked := fields(u)
	linked, err := h.unlinkField(q, r, in, u, ticked)
	if err != nil {
		return ui.Page{}, nil, u, err
	}
	return h.confirmPage(r, q, in, id, verb, danger, append(list, linked...)...)
}

func (h user) activateForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, s, u, err := h.confirmPage(r, q, in, "activate", "activate", false)
	if err != nil {
		return p, err
	}
	s.Warnings, err = accessWarnings(h.Deps, q, r, u, "linked.still", "")
	return p, err
}

func (h user) activate(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	return h.setActive(r, q, true, account.Patch{})
}

func (h user) deactivateForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, _, _, err := h.recoveryPage(r, q, in, "deactivate", "deactivate", true,
		func(store.User) ([]field, bool) { return []field{noteField(q, in)}, false })
	return p, err
}

func (h user) deactivate(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	return h.setActive(r, q, false, account.Patch{
		Note:   strings.TrimSpace(in.Form.Get("note")),
		Unlink: in.Ticked("identities"),
	})
}

func (h user) setActive(r *http.Request, q *web.Request, on bool, p account.Patch) (result, error) {
	id, flash := r.PathValue("id"), "deactivated"
	p.Active = &on
	u, err := h.Accounts.Update(r.Context(), q.Actor(), id, p)
	switch {
	case on:
		flash = "activated"
	case u.IsService():
		flash = "service_off"
	}
	return result{redirect: userPath(id), flash: flash}, err
}

// deleteForm shows what is deleted and what is kept, and offers deactivating first, which can be undone.
func (h user) deleteForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	confirm := field{Field: ui.Field{
		ID: "confirm", Name: "confirm", Label: q.Text("delete.confirm"),
		Value: in.get("confirm", ""), Autocomplete: "off", Plain: true,
	}}
	p, s, u, err := h.confirmPage(r, q, in, "delete", "delete", true, confirm)
	if err != nil {
		return p, err
	}
	sessions, err := h.Store.Sessions(r.Context(), store.SessionQuery{UserID: u.ID, Now: h.Clock(), Limit: 1000})
	if err != nil {
		return p, err
	}
	identities, err := h.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return p, err
	}
	n := strconv.Itoa(len(sessions.Items))
	if sessions.Next != "" {
		n += "+"
	}
	if u.Active {
		s.Actions = []action{{Href: q.At(userPath(u.ID) + "/deactivate"), Text: q.Text("delete.instead"), Main: true}}
	}
	s.Sections = []section{{ID: "goes", Title: q.Text("delete.goes"), Text: q.Text("delete.stays"), Facts: []fact{
		{Name: q.Text("users.username"), Value: u.Username},
		{Name: q.Text("user.sessions"), Value: n},
		{Name: q.Text("signin.providers"), Value: strconv.Itoa(len(identities))},
		{Name: q.Text("users.id"), Value: u.ID, Code: true},
	}}}
	if u.IsService() {
		goes := &s.Sections[0]
		goes.Text, goes.Facts = q.Text("service.stays"), slices.Delete(goes.Facts, 1, 3)
	}
	return p, nil
}

func (h user) delete(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	u, err := h.find(r)
	if err != nil {
		return result{}, err
	}
	if strings.TrimSpace(in.Form.Get("confirm")) != u.Username {
		return result{}, fieldError("confirm", q.Text("delete.mismatch", "name", u.Username))
	}
	// At this version: the name that was typed is this account's, and not one that it had a moment ago.
	if err := h.Accounts.DeleteVersion(r.Context(), q.Actor(), u.ID, u.Version); err != nil {
		return result{}, err
	}
	return result{redirect: "/admin/users", flash: "user_deleted"}, nil
}

func (h user) endSessionsForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, s, u, err := h.recoveryPage(r, q, in, "end_sessions", "end-sessions", true,
		func(store.User) ([]field, bool) { return nil, false })
	if err != nil {
		return p, err
	}
	warning := "left.tokens"
	if len(s.Form.Fields) > 0 { // the box that takes identities takes tokens along
		warning = "left.tokens_unlink"
	}
	s.Warnings, err = accessWarnings(h.Deps, q, r, u, "", warning)
	return p, err
}

func (h user) endSessions(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	id := r.PathValue("id")
	if _, err := h.Accounts.RevokeAccess(r.Context(), q.Actor(), id, in.Ticked("identities")); err != nil {
		return result{}, err
	}
	if id == q.Live.User.ID { // the administrator's own session was among them
		return result{redirect: "/logged-out"}, nil
	}
	return result{redirect: userPath(id) + "/sessions", flash: "sessions_ended"}, nil
}
