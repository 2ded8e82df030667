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

// UserDetails is a user, with more than a list says.
type UserDetails struct {
	User
	Factors Factors `json:"factors"`
}

// Factors is how many second factors, and unused recovery codes, a user has.
type Factors struct {
	TOTP       int        `json:"totp"`
	Passkeys   int        `json:"passkeys"`
	Recovery   int        `json:"recovery"`
	LastUsedAt *time.Time `json:"last_used_at"` // null: never
}

// NewUserDetails returns a user with what the store has of their second factors.
func NewUserDetails(ctx context.Context, s *account.Service, u store.User) (UserDetails, error) {
	v, err := s.Factors.Overview(ctx, u)
	return UserDetails{NewUser(u), Factors{
		TOTP: v.TOTPs, Passkeys: v.Passkeys, Recovery: v.Codes.Left, LastUsedAt: timeOrNil(v.LastUsedAt()),
	}}, err
}

// Bodies of requests and responses.
type (
	// resetMFA says what is taken from a user.
	resetMFA struct {
		Methods     []string `json:"methods"`      // totp, passkeys, codes, browsers; all when left out or empty
		EndSessions *bool    `json:"end_sessions"` // true when left out
		Identities  bool     `json:"identities"`   // unlink the person at every provider, too
		Tokens      bool     `json:"tokens"`       // revoke tokens of programs, too
		Link        bool     `json:"link"`         // make a one-time link to set a password
	}
	// MFAReset is what was taken from a user, and who else still gets in.
	MFAReset struct {
		Removed    RemovedFactors `json:"removed"`
		Identities []Identity     `json:"identities"` // with which somebody can still sign in
		Tokens     int            `json:"tokens"`     // of programs, which go on
		Passkeys   int            `json:"passkeys"`   // each of which may sign in alone
		Link       string         `json:"link,omitempty"`
		ExpiresAt  *time.Time     `json:"expires_at,omitempty"` // of the link
	}
	// RemovedFactors counts what was taken.
	RemovedFactors struct {
		TOTP       int `json:"totp"`
		Passkeys   int `json:"passkeys"`
		Codes      int `json:"codes"`    // that were unused
		Sessions   int `json:"sessions"` // that ended
		Browsers   int `json:"browsers"` // that are no longer known
		Trusted    int `json:"trusted_browsers"`
		Tokens     int `json:"tokens"`
		Identities int `json:"identities"`
	}
)

// NewMFAReset returns what was taken from a user as it travels, without the address of a link.
func NewMFAReset(done account.MFAReset, left account.AccessLeft) MFAReset {
	access := newRemainingAccess(left)
	out := MFAReset{
		Removed: RemovedFactors{
			TOTP: len(done.Apps), Passkeys: len(done.Passkeys), Codes: done.Codes,
			Sessions: done.Recovered.Sessions, Browsers: done.Recovered.Devices, Trusted: done.Browsers,
			Tokens:     done.Recovered.Tokens,
			Identities: len(done.Recovered.Unlinked),
		},
		Identities: access.Identities, Tokens: access.Tokens, Passkeys: access.Passkeys,
	}
	if done.Link != nil {
		out.ExpiresAt = millisOrNil(done.Link.ExpiresAt)
	}
	return out
}

// userFactors are the endpoints with which administrators take second factors from those who have lost them.
type userFactors struct{ *web.Deps }

func (u userFactors) routes() []web.Route {
	return []web.Route{
		{
			Method: http.MethodPost, Pattern: "/api/v1/users/{id}/reset-mfa", Access: web.AdminFresh,
			Audit: "mfa.reset", Handle: u.reset,
			Doc: &web.Operation{
				Summary: "Take a user's second factors, and say who else still gets in",
				Takes:   resetMFA{}, Gives: MFAReset{}, Status: http.StatusOK, Bare: true,
			},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/users/{id}/unlock-mfa", Access: web.AdminFresh,
			Audit: "mfa.unlock", Handle: u.unlock,
			Doc: &web.Operation{
				Summary: "Let codes of a user's authenticator apps count again after too many wrong ones",
				Status:  http.StatusNoContent,
			},
		},
	}
}

func (u userFactors) reset(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body resetMFA
	if err := ui.ReadJSONIfAny(w, r, &body); err != nil {
		return err
	}
	reset := account.ResetMFA{
		Sessions: body.EndSessions == nil || *body.EndSessions, Identities: body.Identities, Tokens: body.Tokens,
		Link: body.Link,
	}
	if err := reset.Take(body.Methods...); err != nil {
		return err
	}
	id := r.PathValue("id")
	done, err := u.Accounts.Factors.ResetMFA(r.Context(), q.Actor(), id, reset)
	if err != nil {
		return err
	}
	left, err := u.Accounts.AccessLeft(r.Context(), id)
	if err != nil {
		return err
	}
	out := NewMFAReset(done, left)
	if done.Link != nil {
		out.Link = linkURL(q, done.Link)
	}
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (u userFactors) unlock(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := u.Accounts.Factors.UnlockMFA(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}
