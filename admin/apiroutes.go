package admin

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// apiRoutes are the addresses for programs.
func (a *admin) apiRoutes() []web.Route {
	page := []string{"cursor", "limit"}
	users := append([]string{"q", "status", "role", "provider", "group", "sort"}, page...)
	audit := append([]string{"q", "actor", "actor_kind", "action", "outcome", "user", "from", "to", "since"}, page...)
	return []web.Route{
		{Method: http.MethodGet, Pattern: "/api/v1/users", Access: web.Admin, Handle: a.apiUsers,
			Doc: &web.Operation{Summary: "List users", Params: users, Gives: portal.ListJSON[portal.UserJSON]{}, Status: http.StatusOK}},
		{Method: http.MethodPost, Pattern: "/api/v1/users", Access: web.AdminFresh, Audit: "user.create", Handle: a.apiCreate,
			Doc: &web.Operation{Summary: "Make a user; without a password, with a one-time link", Takes: newUserJSON{}, Gives: madeUserJSON{}, Status: http.StatusCreated, ETag: true}},
		{Method: http.MethodGet, Pattern: "/api/v1/users/{id}", Access: web.Admin, Handle: a.apiUser,
			Doc: &web.Operation{Summary: "Read a user", Gives: portal.UserJSON{}, Status: http.StatusOK, ETag: true}},
		{Method: http.MethodPatch, Pattern: "/api/v1/users/{id}", Access: web.AdminFresh, Audit: "user.update", Handle: a.apiPatch,
			Doc: &web.Operation{Summary: "Change a user", Takes: patchUserJSON{}, Gives: portal.UserJSON{}, Status: http.StatusOK, ETag: true}},
		{Method: http.MethodDelete, Pattern: "/api/v1/users/{id}", Access: web.AdminFresh, Audit: "user.delete", Handle: a.apiDelete,
			Doc: &web.Operation{Summary: "Delete a user", Status: http.StatusNoContent, ETag: true}},
		{Method: http.MethodPost, Pattern: "/api/v1/users/{id}/reset-password", Access: web.AdminFresh, Audit: "password.reset", Handle: a.apiReset,
			Doc: &web.Operation{Summary: "Set a password (204, or 200 with the identities that are left), or make a one-time link (200)", Takes: resetJSON{}, Gives: linkJSON{}, Status: http.StatusOK, Empty: true}},
		{Method: http.MethodPost, Pattern: "/api/v1/users/{id}/end-sessions", Access: web.AdminFresh, Audit: "session.end_all", Handle: a.apiEndSessions,
			Doc: &web.Operation{Summary: "End all sessions of a user (204, or 200 with the identities that are left)", Takes: endJSON{}, Gives: leftJSON{}, Status: http.StatusOK, Empty: true, Bare: true}},
		{Method: http.MethodGet, Pattern: "/api/v1/users/{id}/identities", Access: web.Admin, Handle: a.apiIdentities,
			Doc: &web.Operation{Summary: "List the people at providers who are this user", Gives: portal.ListJSON[portal.IdentityJSON]{}, Status: http.StatusOK}},
		{Method: http.MethodDelete, Pattern: "/api/v1/users/{id}/identities/{identity}", Access: web.AdminFresh, Audit: "identity.unlink", Handle: a.apiUnlink,
			Doc: &web.Operation{Summary: "Unlink a person at a provider", Status: http.StatusNoContent}},
		{Method: http.MethodGet, Pattern: "/api/v1/sessions", Access: web.Admin, Handle: a.apiSessions,
			Doc: &web.Operation{Summary: "List the sessions of everybody", Params: append([]string{"q", "user"}, page...), Gives: portal.ListJSON[portal.SessionJSON]{}, Status: http.StatusOK}},
		{Method: http.MethodDelete, Pattern: "/api/v1/sessions/{id}", Access: web.AdminFresh, Audit: "session.end", Handle: a.apiEndSession,
			Doc: &web.Operation{Summary: "End a session", Status: http.StatusNoContent}},
		{Method: http.MethodGet, Pattern: "/api/v1/audit", Access: web.Admin, Handle: a.apiAudit,
			Doc: &web.Operation{Summary: "Read the audit log, newest first", Params: audit, Gives: portal.ListJSON[eventJSON]{}, Status: http.StatusOK}},
		{Method: http.MethodGet, Pattern: "/api/v1/providers", Access: web.Admin, Handle: a.apiProviders,
			Doc: &web.Operation{Summary: "List the providers and how they are doing", Gives: portal.ListJSON[providerJSON]{}, Status: http.StatusOK}},
		{Method: http.MethodGet, Pattern: "/api/v1/openapi.json", Access: web.Admin, Handle: a.apiDescription,
			Doc: &web.Operation{Summary: "This description", Gives: map[string]any{}, Status: http.StatusOK}},
	}
}
