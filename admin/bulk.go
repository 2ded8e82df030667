package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// bulkActs are what can be done to several users at once. Deleting is not: it asks for a name to be typed.
var bulkActs = []string{"deactivate", "activate", "make_admin", "make_user", "end_sessions", "require_change"}

// maxBulk bounds how many users one form names: as many as a page can show.
const maxBulk = 100

// buildBulk asks once more, with the names of everybody concerned.
func (a *admin) buildBulk(r *http.Request, v *visit, in input) (ui.Page, error) {
	ids, do := v.query["id"], v.query.Get("do")
	if in.sent {
		ids, do = in.All("id"), in.Form.Get("do")
	}
	users, err := a.picked(r, ids, do)
	if err != nil {
		return ui.Page{}, err
	}
	s := &screen{Lead: a.text("bulk.text_" + do)}
	p := a.page(v, "users", a.text("bulk.title", "n", len(users)), s)
	f := a.question(v.at("/admin/users/bulk"), a.text("bulk."+do), v.at("/admin/users"), do == "deactivate" || do == "end_sessions")
	f.Hidden = []pair{{"do", do}}
	if do == "deactivate" {
		f.Fields = []field{a.noteField(in)}
	}
	t := &table{ID: "picked", Caption: a.text("bulk.picked", "n", len(users)), Empty: a.text("bulk.nobody"), Columns: []column{{Text: a.text("users.user")}, {Text: a.text("users.status")}}}
	for _, u := range users {
		f.Hidden = append(f.Hidden, pair{"id", u.ID})
		t.Rows = append(t.Rows, row{Cells: []cell{{Head: true, Text: u.Username, Href: v.at(userAt(u.ID)), Small: u.Name}, {Marks: a.marks(u)}}})
	}
	s.Sections = []section{{Table: t}}
	if len(users) == 0 {
		s.Lead, s.Actions = "", []action{{Href: v.at("/admin/users"), Text: a.text("bulk.back")}}
		return p, nil
	}
	a.finish(&p, s, f, in)
	return p, nil
}

// picked returns the users that were picked, each once. Those that are gone meanwhile are left out.
func (a *admin) picked(r *http.Request, ids []string, do string) ([]store.User, error) {
	if _, err := choice(map[string][]string{"do": {do}}, "do", bulkActs...); err != nil || do == "" {
		return nil, &ui.InputError{Status: http.StatusBadRequest, Text: a.text("bulk.which")}
	}
	if len(ids) > maxBulk {
		return nil, &ui.InputError{Status: http.StatusBadRequest, Text: a.text("bulk.many", "n", maxBulk)}
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
func (a *admin) bulk(_ http.ResponseWriter, r *http.Request, v *visit, in input) (next, error) {
	do := in.Form.Get("do")
	users, err := a.picked(r, in.All("id"), do)
	if err != nil {
		return next{}, err
	}
	selfLast(users, v.live.User.ID)
	t := &table{ID: "results", Empty: a.text("bulk.nobody"), Columns: []column{{Text: a.text("users.user")}, {Text: a.text("bulk.result")}}}
	done := 0
	for _, u := range users {
		result := cell{Marks: []mark{good(a.text("bulk.done"))}}
		if err := a.bulkOne(r, v, u, do, strings.TrimSpace(in.Form.Get("note"))); err != nil {
			why, known := a.why(err)
			if !known {
				return next{}, err
			}
			result = cell{Marks: []mark{warn(a.text("bulk.skipped"))}, Small: why}
		} else {
			done++
		}
		t.Rows = append(t.Rows, row{Cells: []cell{{Head: true, Text: u.Username, Href: v.at(userAt(u.ID)), Small: u.Name}, result}})
	}
	t.Caption = a.text("bulk.summary", "done", done, "skipped", len(users)-done)
	s := &screen{Sections: []section{{Table: t}}, Actions: []action{{Href: v.at("/admin/users"), Text: a.text("bulk.back"), Main: true}}}
	p := a.page(v, "users", a.text("bulk."+do), s)
	return next{page: &p}, nil
}

func (a *admin) bulkOne(r *http.Request, v *visit, u store.User, do, note string) error {
	on, off, manager, person := true, false, store.RoleAdmin, store.RoleUser
	var p account.Patch
	switch do {
	case "end_sessions":
		_, err := a.Accounts.EndSessions(r.Context(), v.actor, u.ID)
		return err
	case "require_change":
		return a.Accounts.RequireChange(r.Context(), v.actor, u.ID)
	case "deactivate":
		p = account.Patch{Active: &off, Note: note}
	case "activate":
		p = account.Patch{Active: &on}
	case "make_admin":
		p = account.Patch{Role: &manager}
	case "make_user":
		p = account.Patch{Role: &person}
	}
	_, err := a.Accounts.Update(r.Context(), v.actor, u.ID, p)
	return err
}

// why returns what to say of somebody who was skipped. What is not about one user ends the whole act: an actor who is
// signed out, a store that is away.
func (a *admin) why(err error) (string, bool) {
	var invalid *account.InvalidError
	if refused := refusal(err); refused != nil {
		return a.tell(refused.Text, refused.Say), refused.Code == account.CodeSelf || refused.Code == account.CodeManaged || refused.Code == account.CodeLastAdmin
	}
	switch {
	case errors.As(err, &invalid) && len(invalid.Fields) > 0:
		return a.tell(invalid.Fields[0].Text, invalid.Fields[0].Say), true
	case errors.Is(err, store.ErrNotFound):
		return a.text("bulk.gone"), true
	case errors.Is(err, store.ErrConflict):
		return a.text("bulk.conflict"), true
	}
	return "", false
}
