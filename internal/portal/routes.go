package portal

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Routes returns the addresses of the sign-in, of the account pages and of the API of one's own account.
func Routes(d *web.Deps) []web.Route {
	p := &Portal{Deps: d}
	early := func(list ...web.Route) []web.Route {
		for i := range list {
			list[i].DuringSetup = true
		}
		return list
	}
	lists := [][]web.Route{
		{
			web.Get("/{$}", web.Optional, p.index),
			web.Get("/login/help", web.Public, p.loginHelp),
			web.Get("/logged-out", web.Optional, p.loggedOut),
			web.Get("/continue", web.Public, p.goOn),
			web.Get("/account", web.SignedIn, p.overview),
			web.Get("/account/sessions", web.SignedIn, p.listSessions),
			web.Get("/account/activity", web.SignedIn, p.activity),
		},
		early(
			web.Get("/healthz", web.Public, p.healthz),
			web.Get("/assets/{name}", web.Public, p.asset),
			web.Post("/language", web.Public, p.postLanguage),
			web.Get("/link/{token}", web.Public, p.link),
		),
		early(web.Form("/logout", web.Optional, p.showLogout, p.postLogout)...),
		early(web.Form("/welcome", web.Public, p.showWelcome, p.postWelcome)...),
		web.Form("/login", web.Optional, p.showLogin, p.postLogin),
		web.Form(web.StepUpPage, web.SignedIn, p.showReauth, p.postReauth),
		web.Form("/account/profile", web.SignedIn, p.showProfile, p.postProfile),
		web.Form(web.PasswordPage, web.AnySignedIn, p.showPassword, p.postPassword),
		web.Form("/account/sessions/others", web.SignedIn, p.confirmOthers, p.endOthers),
		web.Form("/account/sessions/{id}/revoke", web.SignedIn, p.confirmRevoke, p.revoke),
		web.Form("/account/appearance", web.SignedIn, p.showAppearance, p.postAppearance),
		p.apiRoutes(),
	}
	if p.OIDC != nil {
		lists = append(lists, p.oidcRoutes(early))
	}
	return slices.Concat(lists...)
}

// oidcRoutes are the addresses of the sign-in through providers. Providers post to two of them from their own sites;
// these check what is posted by what it is, and by the browser's cookie, and look up no session.
func (p *Portal) oidcRoutes(early func(...web.Route) []web.Route) []web.Route {
	foreign := func(rt web.Route) web.Route {
		rt.CrossSite = true
		return rt
	}
	return slices.Concat(
		web.Form("/oidc/{name}/start", web.Optional, p.oidcStart, p.oidcConfirmed),
		[]web.Route{
			foreign(web.Get("/oidc/{name}/callback", web.Optional, p.oidcCallback)),
			foreign(web.Post("/oidc/{name}/callback", web.Optional, p.oidcPosted)),
		},
		early(
			foreign(web.Post("/oidc/{name}/backchannel-logout", web.Public, p.oidcBackchannel)),
			web.Get("/oidc/{name}/frontchannel-logout", web.Public, p.oidcFrontchannel),
			web.Get("/oidc/{name}/icon", web.Public, p.oidcIcon),
		),
		web.Form("/account/providers", web.SignedIn, p.showProviders, p.postProviders),
	)
}

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
