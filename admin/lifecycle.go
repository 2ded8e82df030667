package admin

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// userQuestion begins a page that asks before something is done to a user.
func (a *admin) userQuestion(r *http.Request, q *web.Request, in input, id, verb string, danger bool, fields ...field) (ui.Page, *screen, store.User, error) {
	u, err := a.target(r)
	if err != nil {
		return ui.Page{}, nil, u, err
	}
	s := &screen{Marks: a.marks(q, u), Lead: q.Text(id+".text", "name", u.Username)}
	p := a.page(q, "users", q.Text(id+".title", "name", u.Username), s)
	f := a.question(q, q.At(userAt(u.ID)+"/"+verb), q.Text(id+".submit"), q.At(userAt(u.ID)), danger)
	f.Fields = fields
	a.finish(&p, s, f, in)
	return p, s, u, nil
}

func (a *admin) noteField(q *web.Request, in input) field {
	return field{Field: ui.Field{ID: "note", Name: "note", Label: q.Text("note.label"), Hint: q.Text("note.hint"), Value: in.get("note", ""), Autocomplete: "off", Optional: true}}
}

func (a *admin) buildActivate(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, s, u, err := a.userQuestion(r, q, in, "activate", "activate", false)
	if err != nil {
		return p, err
	}
	s.Warnings, err = a.stillLinked(q, r, u, "linked.still")
	return p, err
}

func (a *admin) buildDeactivate(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	return a.recoveryQuestion(r, q, in, "deactivate", "deactivate", true, func(store.User) ([]field, bool) { return []field{a.noteField(q, in)}, false })
}

// recoveryQuestion is userQuestion for what takes an account back: it asks what becomes of identities at providers. fields
// returns the others, and whether identities go unless somebody says otherwise.
func (a *admin) recoveryQuestion(r *http.Request, q *web.Request, in input, id, verb string, danger bool, fields func(store.User) ([]field, bool)) (ui.Page, error) {
	u, err := a.target(r)
	if err != nil {
		return ui.Page{}, err
	}
	list, ticked := fields(u)
	linked, err := a.linkedField(q, r, in, u, ticked)
	if err != nil {
		return ui.Page{}, err
	}
	p, _, _, err := a.userQuestion(r, q, in, id, verb, danger, append(list, linked...)...)
	return p, err
}

func (a *admin) activate(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (next, error) {
	return a.setActive(r, q, true, account.Patch{})
}

func (a *admin) deactivate(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error) {
	return a.setActive(r, q, false, account.Patch{Note: strings.TrimSpace(in.Form.Get("note")), Unlink: in.Ticked("identities")})
}

func (a *admin) setActive(r *http.Request, q *web.Request, on bool, p account.Patch) (next, error) {
	id, flash := r.PathValue("id"), "deactivated"
	if on {
		flash = "activated"
	}
	p.Active = &on
	_, err := a.Accounts.Update(r.Context(), q.Actor(), id, p)
	return next{to: userAt(id), flash: flash}, err
}

// buildDelete names what goes and what stays, and offers the way that can be undone first.
func (a *admin) buildDelete(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	confirm := field{Field: ui.Field{ID: "confirm", Name: "confirm", Label: q.Text("delete.confirm"), Value: in.get("confirm", ""), Autocomplete: "off", Plain: true}}
	p, s, u, err := a.userQuestion(r, q, in, "delete", "delete", true, confirm)
	if err != nil {
		return p, err
	}
	sessions, err := a.Store.Sessions(r.Context(), store.SessionQuery{UserID: u.ID, Now: a.Clock(), Limit: 1000})
	if err != nil {
		return p, err
	}
	identities, err := a.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return p, err
	}
	n := strconv.Itoa(len(sessions.Items))
	if sessions.Next != "" {
		n += "+"
	}
	if u.Active {
		s.Actions = []action{{Href: q.At(userAt(u.ID) + "/deactivate"), Text: q.Text("delete.instead"), Main: true}}
	}
	s.Sections = []section{{ID: "goes", Title: q.Text("delete.goes"), Text: q.Text("delete.stays"), Facts: []fact{
		{Name: q.Text("users.username"), Value: u.Username},
		{Name: q.Text("user.sessions"), Value: n},
		{Name: q.Text("signin.providers"), Value: strconv.Itoa(len(identities))},
		{Name: q.Text("users.id"), Value: u.ID, Code: true},
	}}}
	return p, nil
}

func (a *admin) deleteUser(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error) {
	u, err := a.target(r)
	if err != nil {
		return next{}, err
	}
	if strings.TrimSpace(in.Form.Get("confirm")) != u.Username {
		return next{}, fieldError("confirm", q.Text("delete.mismatch", "name", u.Username))
	}
	// At this version: the name that was typed is this account's, and not one that it had a moment ago.
	if err := a.Accounts.DeleteVersion(r.Context(), q.Actor(), u.ID, u.Version); err != nil {
		return next{}, err
	}
	return next{to: "/admin/users", flash: "user_deleted"}, nil
}

func (a *admin) buildReset(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	block := field{Kind: "check", Field: ui.Field{ID: "block", Name: "block", Label: q.Text("reset.block")}, Checked: in.sent && in.Ticked("block")}
	keep := field{Kind: "check", Field: ui.Field{ID: "keep_sessions", Name: "keep_sessions", Label: q.Text("reset.keep")}, Checked: in.sent && in.Ticked("keep_sessions")}
	fields := a.passwordFields(q, in)
	fields = append(fields[:2:2], append([]field{block, keep}, fields[2:]...)...)
	// Of an account with a password a reset mostly is a recovery. Of one without, providers are the only way in.
	return a.recoveryQuestion(r, q, in, "reset", "reset-link", false, func(u store.User) ([]field, bool) { return fields, u.PasswordHash != "" })
}

func (a *admin) reset(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error) {
	way, err := a.chosenWay(q, in)
	if err != nil {
		return next{}, err
	}
	id := r.PathValue("id")
	link, err := a.Accounts.ResetPassword(r.Context(), q.Actor(), id, account.Reset{
		Password: way.password, MustChange: way.mustChange && way.password != "", Expires: way.expires,
		BlockNow: in.Ticked("block") && way.password == "", KeepSessions: in.Ticked("keep_sessions") && way.password == "",
		Identities: in.Ticked("identities"),
	})
	if err != nil {
		return next{}, err
	}
	return a.handOver(w, q, id, way, link, "password_set"), nil
}

func (a *admin) buildCancelLink(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, _, _, err := a.userQuestion(r, q, in, "cancel_link", "cancel-link", true)
	return p, err
}

func (a *admin) cancelLink(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (next, error) {
	if err := a.Accounts.CancelLink(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return next{}, err
	}
	return next{to: "/admin/invites", flash: "link_canceled"}, nil
}

func (a *admin) buildRequireChange(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, _, _, err := a.userQuestion(r, q, in, "require_change", "require-change", false)
	return p, err
}

func (a *admin) requireChange(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (next, error) {
	id := r.PathValue("id")
	return next{to: userAt(id) + "/sign-in", flash: "admin_saved"}, a.Accounts.RequireChange(r.Context(), q.Actor(), id)
}

func (a *admin) buildEndSessions(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	return a.recoveryQuestion(r, q, in, "end_sessions", "end-sessions", true, func(store.User) ([]field, bool) { return nil, false })
}

func (a *admin) endSessions(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error) {
	id := r.PathValue("id")
	if _, err := a.Accounts.EndWays(r.Context(), q.Actor(), id, in.Ticked("identities")); err != nil {
		return next{}, err
	}
	if id == q.Live.User.ID { // the administrator's own session was among them
		return next{to: "/logged-out"}, nil
	}
	return next{to: userAt(id) + "/sessions", flash: "sessions_ended"}, nil
}
