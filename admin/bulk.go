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

// bulkActs are what can be done to several users at once. Deleting is not: it asks for a name to be typed.
var bulkActs = []string{"deactivate", "activate", "make_admin", "make_user", "end_sessions", "require_change"}

// maxBulk bounds how many users one form names: as many as a page can show.
const maxBulk = 100

// buildBulk asks once more, with the names of everybody concerned.
func (a *admin) buildBulk(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	ids, do := q.Query["id"], q.Query.Get("do")
	if in.sent {
		ids, do = in.All("id"), in.Form.Get("do")
	}
	users, err := a.picked(q, r, ids, do)
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: q.Text("bulk.text_" + do)}
	p := a.page(q, "users", q.Text("bulk.title", "n", len(users)), s)
	f := a.question(q, q.At("/admin/users/bulk"), q.Text("bulk."+do), q.At("/admin/users"), do == "deactivate" || do == "end_sessions")
	f.Hidden = []pair{{"do", do}}
	if do == "deactivate" {
		f.Fields = []field{a.noteField(q, in)}
	}
	t := &table{ID: "picked", Caption: q.Text("bulk.picked", "n", len(users)), Empty: q.Text("bulk.nobody"), Columns: []column{{Text: q.Text("users.user")}, {Text: q.Text("users.status")}}}
	for _, u := range users {
		f.Hidden = append(f.Hidden, pair{"id", u.ID})
		t.Rows = append(t.Rows, row{Cells: []cell{{Head: true, Text: u.Username, Href: q.At(userAt(u.ID)), Small: u.Name}, {Marks: a.marks(q, u)}}})
	}
	s.Sections = []section{{Table: t}}
	if len(users) == 0 {
		s.Lead, s.Actions = "", []action{{Href: q.At("/admin/users"), Text: q.Text("bulk.back")}}
		return p, nil
	}
	a.finish(&p, s, f, in)
	return p, nil
}

// picked returns the users that were picked, each once. Those that are gone meanwhile are left out.
func (a *admin) picked(q *web.Request, r *http.Request, ids []string, do string) ([]store.User, error) {
	if _, err := api.Choice(map[string][]string{"do": {do}}, "do", bulkActs...); err != nil || do == "" {
		return nil, &ui.InputError{Status: http.StatusBadRequest, Text: q.Text("bulk.which")}
	}
	if len(ids) > maxBulk {
		return nil, &ui.InputError{Status: http.StatusBadRequest, Text: q.Text("bulk.many", "n", maxBulk)}
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
		u, err := a.Store.User(r.Context(), id)
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

// selfLast moves the actor to the end: whose own session ends in the middle could not go on.
func selfLast(users []store.User, self string) {
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

// bulk does it one by one, each by itself: what a guard refuses for one keeps nobody else from it.
func (a *admin) bulk(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error) {
	do := in.Form.Get("do")
	users, err := a.picked(q, r, in.All("id"), do)
	if err != nil {
		return next{}, err
	}
	selfLast(users, q.Live.User.ID)
	t := &table{ID: "results", Empty: q.Text("bulk.nobody"), Columns: []column{{Text: q.Text("users.user")}, {Text: q.Text("bulk.result")}}}
	done := 0
	for _, u := range users {
		result := cell{Marks: []mark{good(q.Text("bulk.done"))}}
		if err := a.bulkOne(r, q, u, do, strings.TrimSpace(in.Form.Get("note"))); err != nil {
			why, known := a.why(q, err)
			if !known {
				return next{}, err
			}
			result = cell{Marks: []mark{warn(q.Text("bulk.skipped"))}, Small: why}
		} else {
			done++
		}
		t.Rows = append(t.Rows, row{Cells: []cell{{Head: true, Text: u.Username, Href: q.At(userAt(u.ID)), Small: u.Name}, result}})
	}
	t.Caption = q.Text("bulk.summary", "done", done, "skipped", len(users)-done)
	s := &screen{Sections: []section{{Table: t}}, Actions: []action{{Href: q.At("/admin/users"), Text: q.Text("bulk.back"), Main: true}}}
	p := a.page(q, "users", q.Text("bulk."+do), s)
	return next{page: &p}, nil
}

func (a *admin) bulkOne(r *http.Request, q *web.Request, u store.User, do, note string) error {
	on, off, manager, person := true, false, store.RoleAdmin, store.RoleUser
	var p account.Patch
	switch do {
	case "end_sessions":
		_, err := a.Accounts.EndSessions(r.Context(), q.Actor(), u.ID)
		return err
	case "require_change":
		return a.Accounts.RequireChange(r.Context(), q.Actor(), u.ID)
	case "deactivate":
		p = account.Patch{Active: &off, Note: note}
	case "activate":
		p = account.Patch{Active: &on}
	case "make_admin":
		p = account.Patch{Role: &manager}
	case "make_user":
		p = account.Patch{Role: &person}
	}
	_, err := a.Accounts.Update(r.Context(), q.Actor(), u.ID, p)
	return err
}

// why returns what to say of somebody who was skipped. What is not about one user ends the whole act: an actor who is
// signed out, a store that is away.
func (a *admin) why(q *web.Request, err error) (string, bool) {
	var invalid *account.InvalidError
	if refused := refusal(err); refused != nil {
		return a.tell(q, refused.Text, refused.Say), refused.Code == account.CodeSelf || refused.Code == account.CodeManaged || refused.Code == account.CodeLastAdmin
	}
	switch {
	case errors.As(err, &invalid) && len(invalid.Fields) > 0:
		return a.tell(q, invalid.Fields[0].Text, invalid.Fields[0].Say), true
	case errors.Is(err, store.ErrNotFound):
		return q.Text("bulk.gone"), true
	case errors.Is(err, store.ErrConflict):
		return q.Text("bulk.conflict"), true
	}
	return "", false
}
