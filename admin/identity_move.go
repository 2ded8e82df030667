package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// identity returns the identity of a user that the path names.
func (h user) identity(r *http.Request, u store.User) (store.Identity, error) {
	ids, err := h.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return store.Identity{}, err
	}
	i := slices.IndexFunc(ids, func(id store.Identity) bool { return id.ID() == r.PathValue("identity") })
	if i < 0 {
		return store.Identity{}, store.ErrNotFound
	}
	return ids[i], nil
}

// identitySection shows an identity on the pages that change it.
func identitySection(q *web.Request, id store.Identity) section {
	return section{Facts: []fact{
		{Name: q.Text("users.provider"), Value: id.Provider},
		{Name: q.Text("signin.issuer"), Value: id.Issuer},
		{Name: q.Text("signin.subject"), Value: id.Subject},
		{Name: q.Text("users.email"), Value: id.Email},
		{Name: q.Text("signin.linked"), Time: id.CreatedAt},
	}}
}

// moveForm asks which account gets an identity: a person whom the provider knows under another subject than before, and
// who was given a new account, gets the old one back.
func (h user) moveForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	u, err := h.find(r)
	if err != nil {
		return ui.Page{}, err
	}
	id, err := h.identity(r, u)
	if err != nil {
		return ui.Page{}, err
	}
	p, s, _, err := h.confirmPage(r, q, in, "move", "identities/"+id.ID()+"/move", true, field{Field: ui.Field{
		ID: "to", Name: "to", Label: q.Text("move.to"), Value: in.get("to", ""), Plain: true, Autocomplete: "off",
	}})
	if err != nil {
		return p, err
	}
	s.Form.Cancel.Href = q.At(userPath(u.ID) + "/sign-in")
	s.Sections = []section{identitySection(q, id)}
	return p, nil
}

func (h user) move(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	id, name := r.PathValue("id"), strings.TrimSpace(in.Form.Get("to"))
	to, err := h.Store.UserByUsername(r.Context(), name)
	if err != nil && !errors.Is(err, store.ErrNotFound) { // to nobody it is refused below
		return result{}, err
	}
	if err := h.Accounts.MoveIdentity(r.Context(), q.Actor(), id, r.PathValue("identity"), to.ID); err != nil {
		return result{}, err
	}
	return result{redirect: userPath(to.ID) + "/sign-in", flash: "admin_saved"}, nil
}
