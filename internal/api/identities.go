package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Identity is a person at a provider who is a user here.
type Identity struct {
	ID          string     `json:"id"`
	Provider    string     `json:"provider"`
	Issuer      string     `json:"issuer"`
	Subject     string     `json:"subject"`
	Email       string     `json:"email"`
	Name        string     `json:"name"`
	CreatedAt   time.Time  `json:"created_at"`
	LastLoginAt *time.Time `json:"last_login_at"`
}

// NewIdentity returns an identity as it travels.
func NewIdentity(i store.Identity) Identity {
	return Identity{
		ID: i.ID(), Provider: i.Provider, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email, Name: i.Name,
		CreatedAt: i.CreatedAt.UTC(), LastLoginAt: timeOrNil(i.LastLoginAt),
	}
}

// remainingAccess is who else still gets in after an account was taken back: its owner may not know of them. Tokens is
// the number of tokens of programs that go on.
type remainingAccess struct {
	Identities []Identity `json:"identities"`
	Tokens     int        `json:"tokens"`
	Passkeys   int        `json:"passkeys"`
}

// moveIdentity says which account gets an identity.
type moveIdentity struct {
	To string `json:"to" need:"true"` // the id of its user
}

// identities are the endpoints for the identities of a user.
type identities struct{ *web.Deps }

func (i identities) routes() []web.Route {
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/users/{id}/identities", Access: web.Admin, Handle: i.list,
			Doc: &web.Operation{
				Summary: "List the people at providers who are this user",
				Gives:   List[Identity]{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/users/{id}/identities/{identity}", Access: web.AdminFresh,
			Audit: "identity.unlink", Handle: i.unlink,
			Doc: &web.Operation{Summary: "Unlink a person at a provider", Status: http.StatusNoContent},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/users/{id}/identities/{identity}/move", Access: web.AdminFresh,
			Audit: "identity.move", Handle: i.move,
			Doc: &web.Operation{
				Summary: "Give a person at a provider to another account",
				Takes:   moveIdentity{}, Status: http.StatusNoContent,
			},
		},
	}
}

func (i identities) list(w http.ResponseWriter, r *http.Request, _ *web.Request) error {
	u, err := i.Store.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	items, err := identitiesOf(r.Context(), i.Deps, u.ID)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, List[Identity]{Items: items})
	return nil
}

func (i identities) unlink(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := i.Accounts.UnlinkIdentity(r.Context(), q.Actor(), r.PathValue("id"), r.PathValue("identity")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}

func (i identities) move(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body moveIdentity
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	id, identity := r.PathValue("id"), r.PathValue("identity")
	if err := i.Accounts.MoveIdentity(r.Context(), q.Actor(), id, identity, body.To); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}

func identitiesOf(ctx context.Context, d *web.Deps, userID string) ([]Identity, error) {
	list, err := d.Store.Identities(ctx, userID)
	return newList(list, "", NewIdentity).Items, err
}

// writeRemaining responds after an account was taken back: with 204, or with who else still gets in.
func writeRemaining(w http.ResponseWriter, r *http.Request, d *web.Deps, userID string) error {
	left, err := d.Accounts.AccessLeft(r.Context(), userID)
	if err != nil {
		return err
	}
	if left.None() {
		noContent(w, r)
		return nil
	}
	ui.WriteJSON(w, r, http.StatusOK, newRemainingAccess(left))
	return nil
}

func newRemainingAccess(l account.AccessLeft) remainingAccess {
	return remainingAccess{newList(l.Identities, "", NewIdentity).Items, l.Tokens, l.Passkeys}
}
