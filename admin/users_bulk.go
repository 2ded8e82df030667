package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// bulkActions are what can be done to several users at once. Deleting is not: it asks for a name to be typed.
var bulkActions = []string{"deactivate", "activate", "make_admin", "make_user", "end_sessions", "require_change"}

// maxBulkUsers bounds how many users one form names: as many as a page can show.
const maxBulkUsers = 100

// bulkForm asks for confirmation, with the names of all selected users.
func (h users) bulkForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	ids, do := q.Query["id"], q.Query.Get("do")
	if in.sent {
		ids, do = in.All("id"), in.Form.Get("do")
	}
	users, err := h.selected(q, r, ids, do)
	if err != nil {
		return ui.Page{}, err
	}
	s := &content{Lead: q.Text("bulk.text_" + do)}
	p := newPage(q, "users", q.Text("bulk.title", "n", len(users)), s)
	danger := do == "deactivate" || do == "end_sessions"
	f := confirmForm(q, q.At("/admin/users/bulk"), q.Text("bulk."+do), q.At("/admin/users"), danger)
	f.Hidden = []pair{{"do", do}}
	if do == "deactivate" {
		f.Fields = []field{noteField(q, in)}
	}
	t := &table{
		ID: "picked", Caption: q.Text("bulk.picked", "n", len(users)), Empty: q.Text("bulk.nobody"),
		Columns: []column{{Text: q.Text("users.user")}, {Text: q.Text("users.status")}},
	}
	for _, u := range users {
		f.Hidden = append(f.Hidden, pair{"id", u.ID})
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: u.Username, Href: q.At(userPath(u.ID)), Small: u.Name},
			{Marks: userMarks(q, u)},
		}})
	}
	s.Sections = []section{{Table: t}}
	if len(users) == 0 {
		s.Lead, s.Actions = "", []action{{Href: q.At("/admin/users"), Text: q.Text("bulk.back")}}
		return p, nil
	}
	setForm(&p, s, f, in)
	return p, nil
}

// selected returns the selected users, each once. Those that were deleted meanwhile are left out.
func (h users) selected(q *web.Request, r *http.Request, ids []string, do string) ([]store.User, error) {
	if _, err := api.Choice(map[string][]string{"do": {do}}, "do", bulkActions...); err != nil || do == "" {
		return nil, &ui.InputError{Status: http.StatusBadRequest, Text: q.Text("bulk.which")}
	}
	if len(ids) > maxBulkUsers {
		return nil, &ui.InputError{Status: http.StatusBadRequest, Text: q.Text("bulk.many", "n", maxBulkUsers)}
	}
	var users []store.User
	seen := make(map[string]bool)
	for _, id := range ids {
		if !store.ValidID(id) {
			return nil, store.ErrNotFound
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		u, err := h.Store.User(r.Context(), id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// moveActorLast moves the actor to the end: an actor whose own session ends could not go on.
func moveActorLast(users []store.User, self string) {
	slices.SortStableFunc(users, func(x, y store.User) int {
		switch {
		case x.ID == self && y.ID != self:
			return 1
		case y.ID == self && x.ID != self:
			return -1
		}
		return 0
	})
}

// bulk changes the users one by one: what is refused for one does not stop the others.
func (h users) bulk(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	do := in.Form.Get("do")
	users, err := h.selected(q, r, in.All("id"), do)
	if err != nil {
		return result{}, err
	}
	moveActorLast(users, q.Live.User.ID)
	t := &table{
		ID: "results", Empty: q.Text("bulk.nobody"),
		Columns: []column{{Text: q.Text("users.user")}, {Text: q.Text("bulk.result")}},
	}
	done := 0
	for _, u := range users {
		outcome := cell{Marks: []mark{good(q.Text("bulk.done"))}}
		if err := h.applyOne(r, q, u, do, strings.TrimSpace(in.Form.Get("note"))); err != nil {
			reason, ok := skipReason(q, err)
			if !ok {
				return result{}, err
			}
			outcome = cell{Marks: []mark{warn(q.Text("bulk.skipped"))}, Small: reason}
		} else {
			done++
			if outcome.Small, err = h.stillIn(r, q, u, do); err != nil {
				return result{}, err
			}
		}
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: u.Username, Href: q.At(userPath(u.ID)), Small: u.Name},
			outcome,
		}})
	}
	t.Caption = q.Text("bulk.summary", "done", done, "skipped", len(users)-done)
	s := &content{Sections: []section{{Table: t}}, Actions: []action{{
		Href: q.At("/admin/users"),
		Text: q.Text("bulk.back"), Main: true,
	}}}
	p := newPage(q, "users", q.Text("bulk."+do), s)
	return result{page: &p}, nil
}

// stillIn tells who else still gets in to an account whose sessions were ended.
func (h users) stillIn(r *http.Request, q *web.Request, u store.User, do string) (string, error) {
	if do != "end_sessions" {
		return "", nil
	}
	list, err := accessWarnings(h.Deps, q, r, u, "linked.left", "left.tokens")
	return strings.Join(list, " "), err
}

func (h users) applyOne(r *http.Request, q *web.Request, u store.User, do, note string) error {
	on, off, adminRole, userRole := true, false, store.RoleAdmin, store.RoleUser
	var p account.Patch
	if do == "end_sessions" || do == "require_change" {
		if err := account.RequirePerson(u); err != nil {
			return err
		}
	}
	switch do {
	case "end_sessions":
		_, err := h.Accounts.EndSessions(r.Context(), q.Actor(), u.ID)
		return err
	case "require_change":
		return h.Accounts.RequirePasswordChange(r.Context(), q.Actor(), u.ID)
	case "deactivate":
		p = account.Patch{Active: &off, Note: note}
	case "activate":
		p = account.Patch{Active: &on}
	case "make_admin":
		p = account.Patch{Role: &adminRole}
	case "make_user":
		p = account.Patch{Role: &userRole}
	}
	_, err := h.Accounts.Update(r.Context(), q.Actor(), u.ID, p)
	return err
}

// bulkSkips are refusals that are about one user.
var bulkSkips = []string{account.CodeSelf, account.CodeManaged, account.CodeLastAdmin, account.CodeService}

// skipReason returns why a user was skipped. ok is false for an error that is not about one user, which ends the whole
// change: an actor who is signed out, a store that is unavailable.
func skipReason(q *web.Request, err error) (reason string, ok bool) {
	var invalid *account.InvalidError
	if refused := forbidden(err); refused != nil {
		aboutOne := slices.Contains(bulkSkips, refused.Code)
		return localize(q, refused.Text, refused.Message), aboutOne
	}
	switch {
	case errors.As(err, &invalid) && len(invalid.Fields) > 0:
		return localize(q, invalid.Fields[0].Text, invalid.Fields[0].Message), true
	case errors.Is(err, store.ErrNotFound):
		return q.Text("bulk.gone"), true
	case errors.Is(err, store.ErrConflict):
		return q.Text("bulk.conflict"), true
	}
	return "", false
}
