package admin

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// tokens are the pages about the tokens of everybody. Administrators make and rotate those of service accounts only: a
// person's would let them act as that person.
type tokens struct{ *web.Deps }

func (h tokens) routes() []web.Route {
	if h.Accounts.Tokens == nil {
		return nil
	}
	return slices.Concat(
		[]web.Route{
			get("/admin/tokens", h.list),
			get("/admin/tokens/{id}/handover", h.handover),
			get("/admin/users/{id}/tokens", h.ofUser),
		},
		change(h.Deps, "/admin/tokens/{id}/revoke", "token.revoke", form{h.revokeForm, h.revoke}),
		change(h.Deps, "/admin/tokens/{id}/rotate", "token.rotate", form{h.rotateForm, h.rotate}),
		change(h.Deps, "/admin/users/{id}/tokens/new", "token.create", form{h.createForm, h.create}),
	)
}

func (h tokens) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	size, err := pageSize(q.Query)
	if err != nil {
		return err
	}
	list, err := h.Store.Tokens(r.Context(), store.TokenQuery{Cursor: q.Query.Get("cursor"), Limit: size})
	if err != nil {
		return err
	}
	t := tokenTable(q, list.Items, true)
	t.Caption, t.Empty = q.Text("token.caption"), q.Text("token.none")
	t.setPages(q, cursorLinks(q, "/admin/tokens", list.Next))
	s := &content{Lead: q.Text("token.lead"), Sections: []section{{Table: t}}}
	q.UI.Write(w, r, tokenPage(q, q.Text("admin.tokens"), s))
	return nil
}

// tokenPage returns a page whose title tells it from the one about the administrator's own token.
func tokenPage(q *web.Request, heading string, s *content) ui.Page {
	p := newPage(q, "tokens", q.Text("admin.sections")+" - "+heading, s)
	p.Heading = heading
	return p
}

// ofUser shows the tokens of one user.
func (h tokens) ofUser(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := h.Store.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	list, err := h.Store.Tokens(r.Context(), store.TokenQuery{
		UserID: u.ID, Cursor: q.Query.Get("cursor"), Limit: defaultPageSize,
	})
	if err != nil {
		return err
	}
	p, s := userPage(q, u, "tokens")
	if u.IsService() {
		s.Actions = []action{{Href: q.At(userPath(u.ID) + "/tokens/new"), Text: q.Text("token.new"), Main: true}}
	} else {
		s.Lead = q.Text("token.lead_person")
	}
	t := tokenTable(q, list.Items, false)
	t.Caption, t.Empty = q.Text("token.of", "name", u.Username), q.Text("token.none_of")
	t.setPages(q, cursorLinks(q, userPath(u.ID)+"/tokens", list.Next))
	s.Sections = []section{{Table: t}}
	q.UI.Write(w, r, p)
	return nil
}

// tokenTable returns the table of tokens, with a column for their owners or without.
func tokenTable(q *web.Request, list []store.TokenRow, withUser bool) *table {
	t := &table{ID: "tokens"}
	columns := []string{"token.token", "token.scope", "token.created", "token.expires", "token.used", "table.acts"}
	if withUser {
		columns = append([]string{"users.user"}, columns...)
	}
	for _, id := range columns {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, row := range list {
		t.Rows = append(t.Rows, tokenRow(q, row, withUser))
	}
	return t
}

func tokenRow(q *web.Request, t store.TokenRow, withUser bool) row {
	first := cell{Head: !withUser, Text: t.Name, Small: q.TokenHint(t.Token)}
	if kind, text := q.TokenState(t.Token); text != "" {
		first.Marks = []mark{{kind, text}}
	}
	at := q.At("/admin/tokens/" + t.ID)
	named := q.Text("token.whose", "token", t.Name+" "+q.TokenHint(t.Token), "name", t.Username)
	acts := []action{{Href: at + "/revoke", Text: q.Text("token.revoke"), More: named}}
	if t.Kind == store.KindService && q.TokenRotatable(t.Token) {
		acts = append([]action{{Href: at + "/rotate", Text: q.Text("rotate.link"), More: named}}, acts...)
	}
	cells := []cell{
		first,
		{Text: q.TokenHosts(t.Token), Small: q.TokenPaths(t.Token) + ", " + q.TokenMethods(t.Methods)},
		{Time: t.CreatedAt, Small: q.ActorName("", t.CreatedBy)},
		{Time: t.ExpiresAt, Never: q.Text("token.never")},
		{Time: t.LastUsedAt, Never: q.Text("token.unused"), Small: t.LastUsedIP},
		{Links: acts},
	}
	if withUser {
		owner := cell{Head: true, Text: t.Username, Href: q.At(userPath(t.UserID))}
		if t.Kind == store.KindService {
			owner.Marks = []mark{plain(q.Text("kind.service"))}
		}
		cells = append([]cell{owner}, cells...)
	}
	return row{Cells: cells}
}

// tokenFacts say which token a page is about.
func tokenFacts(q *web.Request, t store.Token, u store.User) section {
	facts := []fact{
		{Name: q.Text("users.user"), Value: u.Username, Href: q.At(userPath(u.ID))},
		{Name: q.Text("token.name"), Value: t.Name},
		{Name: q.Text("token.ends"), Value: q.TokenHint(t), Code: true},
		{Name: q.Text("token.hosts"), Value: q.TokenHosts(t)},
		{Name: q.Text("token.paths"), Value: q.TokenPaths(t)},
		{Name: q.Text("token.methods"), Value: q.TokenMethods(t.Methods)},
		{Name: q.Text("token.created"), Time: t.CreatedAt},
		timeFact(q, q.Text("token.expires"), t.ExpiresAt, "token.never"),
		timeFact(q, q.Text("token.used"), t.LastUsedAt, "token.unused"),
	}
	return section{Facts: facts}
}

func (h tokens) revokeForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	t, u, err := h.Store.Token(r.Context(), r.PathValue("id"))
	if err != nil {
		return ui.Page{}, err
	}
	s := &content{Lead: q.Text("token.revoke_text"), Sections: []section{tokenFacts(q, t, u)}}
	p := tokenPage(q, q.Text("token.revoke_title", "name", t.Name), s)
	setForm(&p, s, confirmForm(q, q.At("/admin/tokens/"+t.ID+"/revoke"), q.Text("token.revoke"),
		q.At(userPath(u.ID)+"/tokens"), true), in)
	return p, nil
}

func (h tokens) revoke(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	t, u, err := h.Store.Token(r.Context(), r.PathValue("id"))
	if err == nil {
		err = h.Accounts.Programs.Revoke(r.Context(), q.Actor(), t.ID)
	}
	return result{redirect: userPath(u.ID) + "/tokens", flash: "token_revoked"}, err
}

func (h tokens) rotateForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	t, u, err := h.Store.Token(r.Context(), r.PathValue("id"))
	if err == nil {
		err = account.RequireService(u)
	}
	if err != nil {
		return ui.Page{}, err
	}
	s := &content{Lead: q.Text("rotate.text"), Sections: []section{tokenFacts(q, t, u)}}
	p := tokenPage(q, q.Text("rotate.title", "name", t.Name), s)
	f := confirmForm(q, q.At("/admin/tokens/"+t.ID+"/rotate"), q.Text("rotate.submit"),
		q.At(userPath(u.ID)+"/tokens"), false)
	f.Fields = formFields([]web.TokenField{q.KeepField(in.get("keep", "24h"))})
	setForm(&p, s, f, in)
	return p, nil
}

func (h tokens) rotate(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	keep, err := q.ReadKeep(in.Form.Get("keep"))
	if err != nil {
		return result{}, err
	}
	id := r.PathValue("id")
	made, err := h.Accounts.Programs.Rotate(r.Context(), q.Actor(), id, keep)
	if errors.Is(err, store.ErrStale) { // sent twice, or by somebody else meanwhile
		_, u, err := h.Store.Token(r.Context(), id)
		return result{redirect: userPath(u.ID) + "/tokens", flash: "token_rotated"}, err
	}
	if err != nil {
		return result{}, err
	}
	return h.handOver(w, q, made), nil
}

func (h tokens) createForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	u, err := h.Store.User(r.Context(), r.PathValue("id"))
	if err == nil {
		err = account.RequireService(u)
	}
	if err != nil {
		return ui.Page{}, err
	}
	f := tokenForm(q)
	if in.sent {
		f = f.With(in.All)
	}
	in.bad = f.Faults(in.bad)
	s := &content{Marks: userMarks(q, u), Lead: q.Text("token.right")}
	p := newPage(q, "users", q.Text("token.new_for", "name", u.Username), s)
	fields := formFields(f.Fields(q, u))
	fields[0].Focus = !in.sent
	setForm(&p, s, &formView{
		Action: q.At(userPath(u.ID) + "/tokens/new"), Submit: q.Text("token.make"), Fields: fields,
		Cancel: ui.Link{Href: q.At(userPath(u.ID) + "/tokens"), Text: q.Text("go.cancel")},
	}, in)
	return p, nil
}

func (h tokens) create(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	n, err := tokenForm(q).With(in.All).Token(q)
	if err != nil {
		return result{}, err
	}
	made, err := h.Accounts.Programs.Create(r.Context(), q.Actor(), r.PathValue("id"), n)
	if err != nil {
		return result{}, err
	}
	return h.handOver(w, q, made), nil
}

// tokenForm is the form at first. It names no host: that of these pages is hardly where the program goes.
func tokenForm(q *web.Request) web.TokenForm {
	return q.NewTokenForm().With(func(name string) []string {
		if name == "hosts" {
			return []string{""}
		}
		return nil
	})
}

// formFields returns the fields for the form of a page.
func formFields(list []web.TokenField) []field {
	out := make([]field, len(list))
	for i, f := range list {
		out[i] = field{Field: f.Field, Kind: f.Kind}
		for _, o := range f.Options {
			out[i].Options = append(out[i].Options, option(o))
		}
	}
	return out
}

// handOver leads to the page that shows a new token.
func (h tokens) handOver(w http.ResponseWriter, q *web.Request, made account.IssuedToken) result {
	q.SetHandover(w, made.ID, "t", made.Text)
	return result{redirect: "/admin/tokens/" + made.ID + "/handover"}
}

// handover shows a new token, once.
func (h tokens) handover(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, u, err := h.Store.Token(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	s := &content{}
	p := tokenPage(q, q.Text("token.made", "name", t.Name), s)
	p.Secret = true
	sec := tokenFacts(q, t, u)
	sec.Actions = []action{{Href: q.At(userPath(u.ID) + "/tokens"), Text: q.Text("token.done"), Main: true}}
	if text := q.HandoverToken(t); text != "" {
		q.EndHandover(w)
		s.Lead = q.Text("token.made_text")
		sec.Secret = &secretView{
			ID: "secret", Label: q.Text("token.token"), Value: text, Copy: q.Text("token.copy"),
			Copied: q.Text("token.copied"),
		}
		s.Lead += " " + q.Text("token.header")
		sec.Facts = append(sec.Facts, fact{Name: q.Text("token.shell"), Value: q.TokenUse(t), Code: true})
	} else {
		p.Status, p.Failed, s.Lead = http.StatusGone, true, q.Text("token.gone")
	}
	s.Sections = []section{sec}
	q.UI.Write(w, r, p)
	return nil
}
