package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// signIn shows how a person can sign in: password, providers, a one-time link.
func (h user) signIn(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := h.find(r)
	if err != nil {
		return err
	}
	identities, err := h.Store.Identities(r.Context(), u.ID)
	if err != nil {
		return err
	}
	link, open, err := h.openLink(r, u.ID)
	if err != nil {
		return err
	}
	p, s := userPage(q, u, "sign-in")
	s.Sections = append(s.Sections, h.passwordSection(q, u))
	factors, err := h.factorSection(r, q, u)
	if err != nil {
		return err
	}
	s.Sections = append(s.Sections, factors)
	if open {
		s.Sections = append(s.Sections, section{ID: "link", Title: q.Text("signin.link"), Facts: []fact{
			{Name: q.Text("invites.by"), Value: q.ActorName("", link.CreatedBy)},
			{Name: q.Text("invites.made"), Time: link.CreatedAt},
			{Name: q.Text("invites.until"), Time: link.ExpiresAt},
		}, Actions: []action{{Href: q.At(userPath(u.ID) + "/cancel-link"), Text: q.Text("invites.cancel")}}})
	}
	t := &table{ID: "identities", Caption: q.Text("signin.identities"), Empty: q.Text("signin.no_identities")}
	for _, id := range []string{
		"users.provider", "signin.subject", "users.email", "signin.linked", "users.last_login",
		"table.acts",
	} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, i := range identities {
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: i.Provider, Small: i.Issuer},
			{Text: i.Subject},
			{Text: i.Email},
			{Time: i.CreatedAt},
			{Time: i.LastLoginAt, Never: q.Text("users.never")},
			{Links: []action{
				{
					Href: q.At(userPath(u.ID) + "/identities/" + i.ID() + "/move"), Text: q.Text("move.link"),
					More: i.Provider + " " + i.Subject,
				},
				{
					Href: q.At(userPath(u.ID) + "/identities/" + i.ID() + "/unlink"), Text: q.Text("unlink.link"),
					More: i.Provider + " " + i.Subject,
				},
			}},
		}})
	}
	s.Sections = append(s.Sections, section{ID: "linked", Title: q.Text("signin.providers"), Table: t})
	q.UI.Write(w, r, p)
	return nil
}

func (h user) passwordSection(q *web.Request, u store.User) section {
	sec := section{ID: "password", Title: q.Text("signin.password")}
	if !h.Login.Passwords.Of(u) {
		sec.Text = q.Text("signin.passwords_off")
		return sec
	}
	switch {
	case u.PasswordHash == "":
		sec.Text = q.Text("signin.no_password")
	case u.PasswordChangedAt.IsZero():
		sec.Text = q.Text("signin.password_kept")
	default:
		sec.Facts = []fact{{Name: q.Text("signin.changed"), Time: u.PasswordChangedAt}}
	}
	if u.MustChange {
		sec.Facts = append(sec.Facts, fact{Name: q.Text("signin.next"), Value: q.Text("mark.must_change")})
	}
	if u.ID != q.Live.User.ID {
		sec.Actions = h.passwordActions(q, u)
	}
	return sec
}

// passwordActions are what somebody else may do about a password that is accepted, if there is one.
func (h user) passwordActions(q *web.Request, u store.User) []action {
	var list []action
	add := func(verb, id string) {
		list = append(list, action{Href: q.At(userPath(u.ID) + "/" + verb), Text: q.Text(id)})
	}
	if u.Active && !u.Pending && !u.Managed {
		add("reset-link", "user.reset")
	}
	if u.PasswordHash != "" && !u.MustChange && !u.Managed {
		add("require-change", "user.require_change")
	}
	if u.PasswordHash != "" {
		add("unlock", "user.unlock")
	}
	return list
}

// openLink returns the unspent link of a user, if there is one.
func (h user) openLink(r *http.Request, userID string) (store.Link, bool, error) {
	list, err := h.Store.Links(r.Context(), store.LinkQuery{
		Purpose: store.LinkPassword, UserID: userID, Now: h.Clock(),
		Limit: 1,
	})
	if err != nil || len(list.Items) == 0 {
		return store.Link{}, false, err
	}
	return list.Items[0], true, nil
}

// unlinkField returns the field that asks whether identities are unlinked, too; none if there are no identities.
func (h user) unlinkField(q *web.Request, r *http.Request, in input, u store.User, ticked bool) ([]field, error) {
	ids, err := h.Store.Identities(r.Context(), u.ID)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return []field{{
		Kind: "check", Checked: (in.sent && in.Ticked("identities")) || (!in.sent && ticked),
		Field: ui.Field{
			ID: "identities", Name: "identities",
			Label: q.Text("linked.unlink", "providers", providerNames(ids)),
		},
	}}, nil
}

// accessWarnings returns warnings about who else gets in to an account: in the text of the id linked about identities
// with which somebody can sign in, passkeys among them, and in that of tokens about those of programs; "" warns of
// none.
func accessWarnings(d *web.Deps, q *web.Request, r *http.Request, u store.User, linked, tokens string) (
	list []string, err error,
) {
	left, err := d.Accounts.AccessLeft(r.Context(), u.ID)
	if err != nil {
		return nil, err
	}
	if linked != "" && len(left.Identities) > 0 {
		list = append(list, q.Text(linked, "providers", providerNames(left.Identities)))
	}
	if linked != "" && left.Passkeys > 0 {
		list = append(list, q.Text("left.passkeys", "n", left.Passkeys))
	}
	if tokens != "" && left.Tokens > 0 {
		list = append(list, q.Text(tokens, "n", left.Tokens))
	}
	return list, nil
}

// providerNames returns the names of the identities' providers, each once.
func providerNames(ids []store.Identity) string {
	var names []string
	for _, id := range ids {
		if !slices.Contains(names, id.Provider) {
			names = append(names, id.Provider)
		}
	}
	return strings.Join(names, ", ")
}

func (h user) unlinkForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	u, err := h.find(r)
	if err != nil {
		return ui.Page{}, err
	}
	id, err := h.identity(r, u)
	if err != nil {
		return ui.Page{}, err
	}
	p, s, _, err := h.confirmPage(r, q, in, "unlink", "identities/"+id.ID()+"/unlink", true)
	if err != nil {
		return p, err
	}
	s.Form.Cancel.Href = q.At(userPath(u.ID) + "/sign-in")
	s.Sections = []section{identitySection(q, id)}
	return p, nil
}

func (h user) unlink(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	id := r.PathValue("id")
	if err := h.Accounts.UnlinkIdentity(r.Context(), q.Actor(), id, r.PathValue("identity")); err != nil {
		return result{}, err
	}
	return result{redirect: userPath(id) + "/sign-in", flash: "unlinked"}, nil
}

func (h user) unlockForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	if err := h.requirePasswords(r, q); err != nil {
		return ui.Page{}, err
	}
	p, s, u, err := h.confirmPage(r, q, in, "unlock", "unlock", false)
	if err != nil {
		return p, err
	}
	s.Form.Cancel.Href = q.At(userPath(u.ID) + "/sign-in")
	return p, nil
}

func (h user) unlock(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	id := r.PathValue("id")
	return result{redirect: userPath(id) + "/sign-in", flash: "unlocked"}, h.Accounts.Unlock(r.Context(), q.Actor(), id)
}

func (h user) requireChangeForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	if err := h.requirePasswords(r, q); err != nil {
		return ui.Page{}, err
	}
	p, _, _, err := h.confirmPage(r, q, in, "require_change", "require-change", false)
	return p, err
}

func (h user) requireChange(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	id := r.PathValue("id")
	err := h.Accounts.RequirePasswordChange(r.Context(), q.Actor(), id)
	return result{redirect: userPath(id) + "/sign-in", flash: "admin_saved"}, err
}
