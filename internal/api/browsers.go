package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// trustedBrowser is a browser in which the person who asks need not prove a second factor.
type trustedBrowser struct {
	ID        string    `json:"id"`
	UserAgent string    `json:"user_agent"` // of the last sign-in
	IP        string    `json:"ip"`         // of the last sign-in
	CreatedAt time.Time `json:"created_at"`
	LastSeen  time.Time `json:"last_seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Current   bool      `json:"current"` // the request comes from it
}

func newTrustedBrowser(b store.TrustedBrowser, c login.Client) trustedBrowser {
	return trustedBrowser{
		ID: b.ID, UserAgent: b.UserAgent, IP: b.IP, CreatedAt: b.CreatedAt.UTC(), LastSeen: b.SeenAt.UTC(),
		ExpiresAt: b.ExpiresAt.UTC(), Current: c.Is(b),
	}
}

// ownBrowsers are the endpoints for the trusted browsers of the person who asks.
type ownBrowsers struct{ *web.Deps }

func (o ownBrowsers) routes() []web.Route {
	const all, one = "/api/v1/me/browsers", "/api/v1/me/browsers/{id}"
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: all, Access: web.SignedIn, Handle: o.list,
			Doc: &web.Operation{
				Summary: "List one's own trusted browsers", Gives: List[trustedBrowser]{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodDelete, Pattern: all, Access: web.SignedIn, Handle: o.forgetAll,
			Doc: &web.Operation{Summary: "Trust none of one's own browsers any more", Status: http.StatusNoContent},
		},
		{
			Method: http.MethodGet, Pattern: one, Access: web.SignedIn, Handle: o.show,
			Doc: &web.Operation{
				Summary: "Show one of one's own trusted browsers", Gives: trustedBrowser{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodDelete, Pattern: one, Access: web.SignedIn, Handle: o.forget,
			Doc: &web.Operation{Summary: "Trust one of one's own browsers no more", Status: http.StatusNoContent},
		},
	}
}

func (o ownBrowsers) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	list, err := o.Accounts.Factors.Browsers(r.Context(), q.Live.User)
	if err != nil {
		return err
	}
	c := q.Client()
	ui.WriteJSON(w, r, http.StatusOK, newList(list, "", func(b store.TrustedBrowser) trustedBrowser {
		return newTrustedBrowser(b, c)
	}))
	return nil
}

func (o ownBrowsers) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	list, err := o.Accounts.Factors.Browsers(r.Context(), q.Live.User)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(b store.TrustedBrowser) bool { return b.ID == r.PathValue("id") })
	if i < 0 {
		return store.ErrNotFound
	}
	ui.WriteJSON(w, r, http.StatusOK, newTrustedBrowser(list[i], q.Client()))
	return nil
}

func (o ownBrowsers) forget(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := o.Accounts.Factors.ForgetBrowser(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}

func (o ownBrowsers) forgetAll(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if _, err := o.Accounts.Factors.ForgetBrowsers(r.Context(), q.Actor()); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}
