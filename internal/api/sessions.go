package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Session is a session. ID is never the cookie's value. User is the username.
type Session struct {
	ID         string    `json:"id"`
	User       string    `json:"user"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	IP         string    `json:"ip"`
	UserAgent  string    `json:"user_agent"`
	Method     string    `json:"method"`
	Provider   string    `json:"provider"`
	Current    bool      `json:"current"`
}

// NewSession returns a session as it travels; current is the id of the one that asks.
func NewSession(s store.SessionRow, current string) Session {
	return Session{
		ID: s.ID, User: s.Username, CreatedAt: s.CreatedAt.UTC(), LastSeenAt: s.LastSeenAt.UTC(),
		ExpiresAt: s.ExpiresAt.UTC(), IP: s.IP, UserAgent: s.UserAgent, Method: s.Method,
		Provider: providerName(s.Provider), Current: s.ID == current,
	}
}

// providerName returns the name under which rules and headers know a provider, too.
func providerName(name string) string {
	if name == "" {
		return policy.LocalProvider
	}
	return name
}

// sessions are the endpoints for the sessions of everybody.
type sessions struct{ *web.Deps }

func (s sessions) routes() []web.Route {
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/sessions", Access: web.Admin, Handle: s.list,
			Doc: &web.Operation{
				Summary: "List the sessions of everybody",
				Params:  slices.Concat([]string{"q", "user"}, pageParams), Gives: List[Session]{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/sessions/{id}", Access: web.AdminFresh,
			Audit: "session.end", Handle: s.end,
			Doc: &web.Operation{Summary: "End a session", Status: http.StatusNoContent},
		},
	}
}

func (s sessions) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := SessionQuery(q.Query, s.Clock())
	if err != nil {
		return err
	}
	if query.Cursor, query.Limit, err = readPage(q.Query); err != nil {
		return err
	}
	if err := auditRead(s.Deps, r, q, "session.export", query.Limit); err != nil {
		return err
	}
	page, err := s.Store.Sessions(r.Context(), query)
	if err != nil {
		return err
	}
	shape := func(row store.SessionRow) Session { return NewSession(row, q.Live.Session.ID) }
	ui.WriteJSON(w, r, http.StatusOK, newList(page.Items, page.Next, shape))
	return nil
}

func (s sessions) end(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := s.Accounts.EndSession(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}
