package admin

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/portal"
)

// operation describes a route of the JSON API. takes and gives are values of the types that travel, nil for nothing.
type operation struct {
	summary string
	params  []string // of the query
	takes   any
	gives   any
	status  int
	empty   bool // may also answer 204, with nothing
	bare    bool // may come without a body
	etag    bool // sends ETag, and takes If-Match where it changes something
}

// apiRoutes are the addresses for programs.
func (a *admin) apiRoutes() []route {
	page := []string{"cursor", "limit"}
	users := append([]string{"q", "status", "role", "provider", "group", "sort"}, page...)
	audit := append([]string{"q", "actor", "actor_kind", "action", "outcome", "user", "from", "to", "since"}, page...)
	return []route{
		{http.MethodGet, "/api/v1/users", role, "", a.apiUsers, &operation{summary: "List users", params: users, gives: portal.ListJSON[portal.UserJSON]{}, status: http.StatusOK}},
		{http.MethodPost, "/api/v1/users", fresh, "user.create", a.apiCreate, &operation{summary: "Make a user; without a password, with a one-time link", takes: newUserJSON{}, gives: madeUserJSON{}, status: http.StatusCreated, etag: true}},
		{http.MethodGet, "/api/v1/users/{id}", role, "", a.apiUser, &operation{summary: "Read a user", gives: portal.UserJSON{}, status: http.StatusOK, etag: true}},
		{http.MethodPatch, "/api/v1/users/{id}", fresh, "user.update", a.apiPatch, &operation{summary: "Change a user", takes: patchUserJSON{}, gives: portal.UserJSON{}, status: http.StatusOK, etag: true}},
		{http.MethodDelete, "/api/v1/users/{id}", fresh, "user.delete", a.apiDelete, &operation{summary: "Delete a user", status: http.StatusNoContent, etag: true}},
		{http.MethodPost, "/api/v1/users/{id}/reset-password", fresh, "password.reset", a.apiReset, &operation{summary: "Set a password (204, or 200 with the identities that are left), or make a one-time link (200)", takes: resetJSON{}, gives: linkJSON{}, status: http.StatusOK, empty: true}},
		{http.MethodPost, "/api/v1/users/{id}/end-sessions", fresh, "session.end_all", a.apiEndSessions, &operation{summary: "End all sessions of a user (204, or 200 with the identities that are left)", takes: endJSON{}, gives: leftJSON{}, status: http.StatusOK, empty: true, bare: true}},
		{http.MethodGet, "/api/v1/users/{id}/identities", role, "", a.apiIdentities, &operation{summary: "List the people at providers who are this user", gives: portal.ListJSON[portal.IdentityJSON]{}, status: http.StatusOK}},
		{http.MethodDelete, "/api/v1/users/{id}/identities/{identity}", fresh, "identity.unlink", a.apiUnlink, &operation{summary: "Unlink a person at a provider", status: http.StatusNoContent}},
		{http.MethodGet, "/api/v1/sessions", role, "", a.apiSessions, &operation{summary: "List the sessions of everybody", params: append([]string{"q", "user"}, page...), gives: portal.ListJSON[portal.SessionJSON]{}, status: http.StatusOK}},
		{http.MethodDelete, "/api/v1/sessions/{id}", fresh, "session.end", a.apiEndSession, &operation{summary: "End a session", status: http.StatusNoContent}},
		{http.MethodGet, "/api/v1/audit", role, "", a.apiAudit, &operation{summary: "Read the audit log, newest first", params: audit, gives: portal.ListJSON[eventJSON]{}, status: http.StatusOK}},
		{http.MethodGet, "/api/v1/providers", role, "", a.apiProviders, &operation{summary: "List the providers and how they are doing", gives: portal.ListJSON[providerJSON]{}, status: http.StatusOK}},
		{http.MethodGet, "/api/v1/openapi.json", role, "", a.apiDescription, &operation{summary: "This description", gives: map[string]any{}, status: http.StatusOK}},
	}
}
