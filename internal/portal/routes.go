package portal

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Routes returns the addresses of the API of one's own account.
func Routes(d *web.Deps) []web.Route { return (&Portal{Deps: d}).apiRoutes() }

// apiRoutes are the addresses for programs that act for themselves.
func (p *Portal) apiRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Pattern: "/api/v1/session", Access: web.Optional, Handle: p.apiSession,
			Doc: &web.Operation{Summary: "Who is signed in, and until when; asking does not count as a use", Gives: map[string]any{}, Status: http.StatusOK}},
		{Method: http.MethodGet, Pattern: "/api/v1/me", Access: web.SignedIn, Handle: p.apiMe,
			Doc: &web.Operation{Summary: "Read one's own account", Gives: UserJSON{}, Status: http.StatusOK}},
		{Method: http.MethodPatch, Pattern: "/api/v1/me", Access: web.SignedIn, Handle: p.apiPatchMe,
			Doc: &web.Operation{Summary: "Change one's own display name", Takes: struct {
				Name string `json:"name"`
			}{}, Gives: UserJSON{}, Status: http.StatusOK}},
		{Method: http.MethodPost, Pattern: "/api/v1/me/password", Access: web.AnySignedIn, Handle: p.apiPassword,
			Doc: &web.Operation{Summary: "Change one's own password", Takes: struct {
				Current   string `json:"current_password" need:"true"`
				New       string `json:"new_password" need:"true"`
				EndOthers bool   `json:"end_others"`
			}{}, Status: http.StatusNoContent}},
		{Method: http.MethodGet, Pattern: "/api/v1/me/sessions", Access: web.SignedIn, Handle: p.apiSessions,
			Doc: &web.Operation{Summary: "List one's own sessions", Params: []string{"cursor", "limit"}, Gives: ListJSON[SessionJSON]{}, Status: http.StatusOK}},
		{Method: http.MethodDelete, Pattern: "/api/v1/me/sessions/{id}", Access: web.SignedIn, Handle: p.apiEndSession,
			Doc: &web.Operation{Summary: "End one of one's own sessions", Status: http.StatusNoContent}},
	}
}
