package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Bodies of responses about the session that asks.
type (
	currentSession struct {
		User          currentUser `json:"user"`
		Auth          currentAuth `json:"auth"`
		ExpiresAt     *time.Time  `json:"expires_at"`      // null: a token without an end
		IdleExpiresAt *time.Time  `json:"idle_expires_at"` // null for tokens, which do not need to be used
	}
	currentUser struct {
		ID       string     `json:"id"`
		Username string     `json:"username"`
		Email    string     `json:"email"`
		Name     string     `json:"name"`
		Role     store.Role `json:"role"`
		Groups   []string   `json:"groups"`
		Managed  bool       `json:"managed"`
	}
	currentAuth struct {
		Method   string     `json:"method"`
		Provider string     `json:"provider"`
		Time     *time.Time `json:"time"` // null when nobody knows: the provider does not say
		// AMR are the methods of the session (RFC 8176), ACR is the level that they amount to: aal1, aal2 or phr.
		AMR     []string        `json:"amr"`
		ACR     assurance.Level `json:"acr"`
		MFATime *time.Time      `json:"mfa_time"` // of the last second factor; null when there was none
	}
)

// Bodies of requests.
type (
	// patchMe changes the own account. The fields that only an administrator changes are known so that the refusal can
	// say so.
	patchMe struct {
		Name     *string         `json:"name"`
		Username json.RawMessage `json:"username"`
		Email    json.RawMessage `json:"email"`
		Role     json.RawMessage `json:"role"`
		Groups   json.RawMessage `json:"groups"`
		Active   json.RawMessage `json:"active"`
	}
	// changePassword changes the own password.
	changePassword struct {
		Current   string `json:"current_password"`
		New       string `json:"new_password"`
		EndOthers *bool  `json:"end_others"` // true when left out
	}
)

// hasLocked reports whether the body has a field that only an administrator changes.
func (b patchMe) hasLocked() bool {
	return b.Username != nil || b.Email != nil || b.Role != nil || b.Groups != nil || b.Active != nil
}

// me is the endpoints for the own account and the session that asks.
type me struct{ *web.Deps }

func (m me) routes() []web.Route {
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/session", Access: web.Optional, Handle: m.session, Programs: true,
			Doc: &web.Operation{
				Summary: "Who is signed in, and until when; asking does not count as a use",
				Gives:   map[string]any{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/me", Access: web.SignedIn, Handle: m.read, Programs: true,
			Doc: &web.Operation{Summary: "Read one's own account", Gives: User{}, Status: http.StatusOK},
		},
		{
			Method: http.MethodPatch, Pattern: "/api/v1/me", Access: web.SignedIn, Handle: m.update,
			Doc: &web.Operation{Summary: "Change one's own display name", Takes: struct {
				Name string `json:"name"`
			}{}, Gives: User{}, Status: http.StatusOK},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/me/password", Access: web.AnySignedIn, Handle: m.changePassword,
			Doc: &web.Operation{Summary: "Change one's own password", Takes: struct {
				Current   string `json:"current_password" need:"true"`
				New       string `json:"new_password" need:"true"`
				EndOthers bool   `json:"end_others"`
			}{}, Status: http.StatusNoContent},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/me/sessions", Access: web.SignedIn, Handle: m.sessions,
			Doc: &web.Operation{
				Summary: "List one's own sessions",
				Params:  pageParams, Gives: List[Session]{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/me/sessions/{id}", Access: web.SignedIn, Handle: m.endSession,
			Doc: &web.Operation{Summary: "End one of one's own sessions", Status: http.StatusNoContent},
		},
	}
}

// session tells an app who is signed in and for how long. Asking does not count as a use of the session.
func (m me) session(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if q.Live == nil {
		return web.ErrSignIn
	}
	s, u := q.Live.Session, q.Live.User
	out := currentSession{
		User: currentUser{u.ID, u.Username, u.Email, u.Name, u.Role, nonNil(u.Groups), u.Managed},
		Auth: currentAuth{
			s.Method, providerName(s.Provider), timeOrNil(s.AuthAt), q.Live.Methods(), q.Live.Level(), timeOrNil(s.MFAAt),
		},
		ExpiresAt: timeOrNil(s.ExpiresAt), IdleExpiresAt: timeOrNil(q.Live.IdleExpiresAt()),
	}
	if q.Program() {
		out.ExpiresAt, out.IdleExpiresAt = timeOrNil(q.Live.Token.ExpiresAt), nil
	}
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (m me) read(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := m.Store.User(r.Context(), q.Live.User.ID)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, NewUser(m.OIDC.Effective(&q.Live.Session, u)))
	return nil
}

func (m me) update(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body patchMe
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	u := q.Live.User
	if body.hasLocked() {
		return q.LockedError(u)
	}
	if body.Name != nil {
		changed, err := m.Accounts.UpdateProfile(r.Context(), q.Actor(), u.ID, *body.Name)
		if err != nil {
			return err
		}
		u = m.OIDC.Effective(&q.Live.Session, changed) // what the session may, as GET says
	}
	ui.WriteJSON(w, r, http.StatusOK, NewUser(u))
	return nil
}

func (m me) changePassword(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body changePassword
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	endOthers := body.EndOthers == nil || *body.EndOthers
	in, err := m.Accounts.ChangeOwnPassword(r.Context(), q.Actor(), q.Live, body.Current, body.New, endOthers)
	if errors.Is(err, login.ErrInvalidCredentials) {
		wrong := q.WrongPassword()
		return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: wrong.Detail, Fields: []ui.FieldError{wrong}}
	}
	if err != nil {
		return err
	}
	q.SetSession(w, in)
	noContent(w, r)
	return nil
}

func (m me) sessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	cursor, limit, err := readPage(q.Query)
	if err != nil {
		return err
	}
	query := store.SessionQuery{UserID: q.Live.User.ID, Now: m.Clock(), Cursor: cursor, Limit: limit}
	page, err := m.Store.Sessions(r.Context(), query)
	if err != nil {
		return err
	}
	shape := func(row store.SessionRow) Session {
		if row.ID == q.Live.Session.ID {
			row.LastSeenAt = q.Live.LastSeen() // the store learns of uses in batches
		}
		return NewSession(row, q.Live.Session.ID)
	}
	ui.WriteJSON(w, r, http.StatusOK, newList(page.Items, page.Next, shape))
	return nil
}

func (m me) endSession(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s, err := q.OwnSession(r)
	if err != nil {
		return err
	}
	if err := m.Accounts.EndOwnSession(r.Context(), q.Actor(), s.ID); err != nil {
		return err
	}
	if s.ID == q.Live.Session.ID {
		q.ClearSession(w)
	}
	noContent(w, r)
	return nil
}
