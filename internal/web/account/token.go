package account

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// own returns the token that the address names, if it is the person's own. Somebody else's is not found.
func (h *Tokens) own(r *http.Request, q *web.Request) (store.Token, error) {
	id := r.PathValue("id")
	if !store.ValidID(id) {
		return store.Token{}, store.ErrNotFound
	}
	t, u, err := h.Store.Token(r.Context(), id)
	if err == nil && u.ID != q.Live.User.ID {
		err = store.ErrNotFound
	}
	return t, err
}

// madePage is the data of the "token-made" page.
type madePage struct {
	Text  string // of the token; "" when it has been shown
	Use   string
	Facts []fact
	Until time.Time // when it expires; zero for never
}

// handover shows a new token, once.
func (h *Tokens) handover(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, err := h.own(r, q)
	if err != nil {
		return err
	}
	page := accountPage(h.Deps, q, "tokens", "token-made", nil)
	page.Title, page.Secret = q.Text("token.made", "name", t.Name), true
	d := madePage{Use: q.TokenUse(t), Until: t.ExpiresAt, Facts: tokenFacts(q, t)}
	if d.Text = q.HandoverToken(t); d.Text != "" {
		q.EndHandover(w)
	} else {
		page.Status, page.Failed = http.StatusGone, true
	}
	page.Data = d
	q.UI.Write(w, r, page)
	return nil
}

func tokenFacts(q *web.Request, t store.Token) []fact {
	return []fact{
		{q.Text("token.name"), t.Name},
		{q.Text("token.ends"), q.TokenHint(t)},
		{q.Text("token.hosts"), q.TokenHosts(t)},
		{q.Text("token.paths"), q.TokenPaths(t)},
		{q.Text("token.methods"), q.TokenMethods(t.Methods)},
	}
}

func (h *Tokens) confirmRevoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, err := h.own(r, q)
	switch {
	case err != nil:
		return err
	case h.stale(q):
		h.askAgain(w, r, q, q.At("/account/tokens/"+t.ID+"/revoke"))
		return nil
	}
	page := accountPage(h.Deps, q, "tokens", "confirm", confirmPage{
		Text: q.Text("token.revoke_text"), Button: q.Text("token.revoke"),
		Action: q.At("/account/tokens/" + t.ID + "/revoke"), Cancel: q.At("/account/tokens"),
		Facts: tokenFacts(q, t),
	})
	page.Title = q.Text("token.revoke_title", "name", t.Name)
	q.UI.Write(w, r, page)
	return nil
}

func (h *Tokens) revoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadForm(w, r)
	var t store.Token
	if err == nil {
		t, err = h.own(r, q)
	}
	if err == nil {
		err = h.Accounts.Programs.RevokeOwn(r.Context(), q.Actor(), t.ID)
	}
	if err != nil {
		return h.refuse(w, r, q, err, q.At("/account/tokens/"+t.ID+"/revoke"), nil)
	}
	q.UI.Flash(w, r, "token_revoked")
	web.Redirect(w, r, q.At("/account/tokens"))
	return nil
}

func (h *Tokens) askRotate(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	t, err := h.own(r, q)
	switch {
	case err != nil:
		return err
	case h.stale(q):
		h.askAgain(w, r, q, q.At("/account/tokens/"+t.ID+"/rotate"))
		return nil
	}
	q.UI.Write(w, r, h.rotatePage(q, t, "24h", nil))
	return nil
}

func (h *Tokens) rotatePage(q *web.Request, t store.Token, keep string, errs []ui.FieldError) ui.Page {
	return h.formPage(q, q.Text("rotate.title", "name", t.Name), tokenFormPage{
		Text: q.Text("rotate.text"), Fields: []web.TokenField{q.KeepField(keep)},
		Action: q.At("/account/tokens/" + t.ID + "/rotate"), Submit: q.Text("rotate.submit"),
	}, errs)
}

func (h *Tokens) rotate(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("keep")
	}
	var t store.Token
	if err == nil {
		t, err = h.own(r, q)
	}
	if err != nil {
		return err
	}
	keep, err := q.ReadKeep(form.Get("keep"))
	var made account.IssuedToken
	if err == nil {
		made, err = h.Accounts.Programs.RotateOwn(r.Context(), q.Actor(), t.ID, keep)
	}
	if errors.Is(err, store.ErrStale) { // sent twice, or on another device
		q.UI.Flash(w, r, "token_rotated")
		web.Redirect(w, r, q.At("/account/tokens"))
		return nil
	}
	if err != nil {
		return h.refuse(w, r, q, err, q.At("/account/tokens/"+t.ID+"/rotate"), func(errs []ui.FieldError) ui.Page {
			return h.rotatePage(q, t, form.Get("keep"), errs)
		})
	}
	h.handOver(w, r, q, made)
	return nil
}
