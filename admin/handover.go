package admin

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// redirectToHandover redirects to the page that shows a new link or password once.
func redirectToHandover(
	w http.ResponseWriter, q *web.Request, userID string, way passwordChoice, link *account.IssuedLink, flash string,
) result {
	switch {
	case link != nil:
		q.SetHandover(w, userID, "l", link.Token)
	case way.generated:
		q.SetHandover(w, userID, "p", way.password)
	default:
		return result{redirect: userPath(userID), flash: flash}
	}
	return result{redirect: userPath(userID) + "/handover"}
}

// handover shows a new link or password, once.
func (h invites) handover(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := h.Store.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	kind, secret := q.Handover(u.ID)
	s := &content{}
	p := newPage(q, "users", q.Text("handover.title", "name", u.Username), s)
	p.Secret = true
	done := action{Href: q.At(userPath(u.ID)), Text: q.Text("handover.done"), Main: true}
	sec, ok := section{}, false
	switch kind {
	case "l":
		sec, ok, err = h.linkHandover(r, q, u, secret)
	case "p":
		sec, ok = passwordHandover(q, secret), secret != ""
	}
	if err != nil {
		return err
	}
	if !ok {
		p.Status = http.StatusGone
		s.Lead = q.Text("handover.gone")
		s.Actions = []action{done}
		if h.Login.Passwords.Of(u) {
			s.Actions = append(s.Actions, action{Href: q.At(userPath(u.ID) + "/reset-link"), Text: q.Text("user.reset")})
		}
		q.UI.Write(w, r, p)
		return nil
	}
	if s.Warnings, err = accessWarnings(h.Deps, q, r, u, "linked.left", "left.tokens_link"); err != nil {
		return err
	}
	q.EndHandover(w)
	sec.Actions = []action{done}
	s.Sections = []section{sec}
	q.UI.Write(w, r, p)
	return nil
}

// linkHandover shows a link of the user that still works. The address is made of the host that the front vouches for.
func (h invites) linkHandover(r *http.Request, q *web.Request, u store.User, token string) (section, bool, error) {
	info, err := h.Accounts.LinkStatus(r.Context(), token)
	if err != nil || info.State != account.LinkValid || info.UserID != u.ID {
		return section{}, false, err
	}
	link, text := account.IssuedLink{Token: token}, "handover.link_text"
	if info.Use == account.LinkToProviders {
		text = "handover.link_off"
	}
	return section{
		ID: "link", Title: q.Text("handover.link"), Text: q.Text(text, "name", u.Username),
		Secret: &secretView{
			ID: "secret", Label: q.Text("handover.link_label"), Value: q.Request.Absolute(link.Path(q.Prefix)),
			Copy: q.Text("handover.copy"), Copied: q.Text("handover.copied"),
		},
		Facts: []fact{{Name: q.Text("invites.until"), Time: info.ExpiresAt}},
	}, true, nil
}

func passwordHandover(q *web.Request, pass string) section {
	return section{
		ID: "password", Title: q.Text("handover.password"), Text: q.Text("handover.password_text"),
		Secret: &secretView{
			ID: "secret", Label: q.Text("way.password"), Value: pass, Copy: q.Text("handover.copy"),
			Copied: q.Text("handover.copied"),
		},
	}
}
