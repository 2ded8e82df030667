package admin

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Service accounts stand for programs. They have no password, identity, session, link or role: the pages about those
// are for people, and refuse to be about a service account, whoever sends the form.

// requirePerson refuses a service account.
func (h user) requirePerson(r *http.Request) error {
	u, err := h.find(r)
	if err == nil {
		err = account.RequirePerson(u)
	}
	return err
}

// ofPerson is a page about people only.
func (h user) ofPerson(show web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		if err := h.requirePerson(r); err != nil {
			return err
		}
		return show(w, r, q)
	}
}

// formOfPerson is a form about people only.
func (h user) formOfPerson(f form) form {
	return form{
		build: func(r *http.Request, q *web.Request, in input) (ui.Page, error) {
			if err := h.requirePerson(r); err != nil {
				return ui.Page{}, err
			}
			return f.build(r, q, in)
		},
		submit: func(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
			if err := h.requirePerson(r); err != nil {
				return result{}, err
			}
			return f.submit(w, r, q, in)
		},
	}
}

// isService reports whether a form for a new account is for one of a program.
func isService(q *web.Request, in input) bool {
	kind := q.Query.Get("kind")
	if in.sent {
		kind = in.Form.Get("kind")
	}
	return kind == string(store.KindService)
}

// serviceForm asks for the few fields of a service account.
func serviceForm(q *web.Request, in input) ui.Page {
	s := &content{Lead: q.Text("service.lead")}
	p := newPage(q, "users", q.Text("users.service"), s)
	fields := accountFields(q, store.User{Kind: store.KindService, Active: true}, in)
	if !in.sent {
		fields[0].Focus = true
	}
	setForm(&p, s, &formView{
		Action: q.At("/admin/users/invite"), Submit: q.Text("invite.submit"), Fields: fields,
		Hidden: []pair{{"kind", string(store.KindService)}},
		Cancel: ui.Link{Href: q.At("/admin/users"), Text: q.Text("go.cancel")},
	}, in)
	return p
}

func (h invites) createService(r *http.Request, q *web.Request, in input) (result, error) {
	active, err := readActive(q, in)
	if err != nil {
		return result{}, err
	}
	u, _, err := h.Accounts.Create(r.Context(), q.Actor(), account.NewUser{
		Kind: store.KindService, Username: in.Form.Get("username"), Email: in.Form.Get("email"),
		Name: in.Form.Get("name"), Role: store.Role(in.Form.Get("role")), Groups: splitList(in.All("groups")),
		Password: in.Form.Get("password"), Active: active == nil || *active,
	})
	if err != nil {
		return result{}, err
	}
	to := userPath(u.ID)
	if q.HasTokens() {
		to += "/tokens"
	}
	return result{redirect: to, flash: "user_made"}, nil
}
