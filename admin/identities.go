package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// linkedField asks whether the person's identities go, too; there is none without any.
func (a *admin) linkedField(q *web.Request, r *http.Request, in input, u store.User, ticked bool) ([]field, error) {
	ids, err := a.Store.Identities(r.Context(), u.ID)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return []field{{Kind: "check", Checked: (in.sent && in.Ticked("identities")) || (!in.sent && ticked),
		Field: ui.Field{ID: "identities", Name: "identities", Label: q.Text("linked.unlink", "providers", providersOf(ids))}}}, nil
}

// stillLinked warns, with a text of that id, of identities with which somebody gets into an account beside what a page is
// about.
func (a *admin) stillLinked(q *web.Request, r *http.Request, u store.User, id string) ([]string, error) {
	ids, err := a.Store.Identities(r.Context(), u.ID)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return []string{q.Text(id, "providers", providersOf(ids))}, nil
}

// providersOf names the providers of identities, each once.
func providersOf(ids []store.Identity) string {
	var names []string
	for _, id := range ids {
		if !slices.Contains(names, id.Provider) {
			names = append(names, id.Provider)
		}
	}
	return strings.Join(names, ", ")
}

func (a *admin) buildUnlink(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	u, err := a.target(r)
	if err != nil {
		return ui.Page{}, err
	}
	ids, err := a.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return ui.Page{}, err
	}
	i := slices.IndexFunc(ids, func(id store.Identity) bool { return id.ID() == r.PathValue("identity") })
	if i < 0 {
		return ui.Page{}, store.ErrNotFound
	}
	id := ids[i]
	p, s, _, err := a.userQuestion(r, q, in, "unlink", "identities/"+id.ID()+"/unlink", true)
	if err != nil {
		return p, err
	}
	s.Form.Cancel.Href = q.At(userAt(u.ID) + "/sign-in")
	s.Sections = []section{{Facts: []fact{
		{Name: q.Text("users.provider"), Value: id.Provider}, {Name: q.Text("signin.issuer"), Value: id.Issuer},
		{Name: q.Text("signin.subject"), Value: id.Subject}, {Name: q.Text("users.email"), Value: id.Email},
		{Name: q.Text("signin.linked"), Time: id.CreatedAt},
	}}}
	return p, nil
}

func (a *admin) unlink(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (next, error) {
	id := r.PathValue("id")
	if err := a.Accounts.UnlinkIdentity(r.Context(), q.Actor(), id, r.PathValue("identity")); err != nil {
		return next{}, err
	}
	return next{to: userAt(id) + "/sign-in", flash: "unlinked"}, nil
}
