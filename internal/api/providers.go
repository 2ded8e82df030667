package api

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// ProviderStatus is the status of the sign-in through one provider. It holds no secret. Zero times mean "not yet".
type ProviderStatus struct {
	Name        string // in the configuration and in addresses
	Label       string // on the button
	Issuer      string
	RedirectURI string // to register at the provider; a path means: on the site that the page is shown on
	Scopes      []string

	Down bool // sign-ins through it fail at the moment
	// Misconfigured reports that they fail until somebody changes a configuration, here or at the provider.
	Misconfigured bool
	Note          string    // what is not used of its keys, and why; no failure
	DiscoveredAt  time.Time // when its metadata was read last
	KeysAt        time.Time // when its keys were read last
	Keys          int
	Skew          time.Duration // of its clock against ours; positive when it is ahead
	LastSuccess   time.Time     // of a sign-in
	LastError     string        // in words, cleaned
	LastErrorAt   time.Time
	// LogoutError is why a logout token was refused last. Anybody can send one, so it is no failure of the provider.
	LogoutError   string
	LogoutErrorAt time.Time
}

// provider is the status of a provider. Times are null for "not yet".
type provider struct {
	Name         string     `json:"name"`
	Label        string     `json:"label"`
	Issuer       string     `json:"issuer"`
	RedirectURI  string     `json:"redirect_uri"`
	Scopes       []string   `json:"scopes"`
	Down         bool       `json:"down"`
	Misconfig    bool       `json:"misconfigured"`
	Note         string     `json:"note"`
	DiscoveredAt *time.Time `json:"discovered_at"`
	KeysAt       *time.Time `json:"keys_at"`
	Keys         int        `json:"keys"`
	SkewSeconds  float64    `json:"skew_seconds"`
	LastSuccess  *time.Time `json:"last_success_at"`
	LastError    string     `json:"last_error"`
	LastErrorAt  *time.Time `json:"last_error_at"`
	LogoutError  string     `json:"logout_error"`
	LogoutErrAt  *time.Time `json:"logout_error_at"`
}

// providers is the endpoint for the status of the providers.
type providers struct {
	status func() []ProviderStatus
}

func (p providers) routes() []web.Route {
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/providers", Access: web.Admin, Handle: p.list,
			Doc: &web.Operation{
				Summary: "List the providers and how they are doing",
				Gives:   List[provider]{}, Status: http.StatusOK,
			},
		},
	}
}

func (p providers) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	shape := func(s ProviderStatus) provider {
		return provider{
			Name: s.Name, Label: s.Label, Issuer: s.Issuer, RedirectURI: q.Absolute(s.RedirectURI), Scopes: nonNil(s.Scopes),
			Down: s.Down, Misconfig: s.Misconfigured, Note: s.Note,
			DiscoveredAt: millisOrNil(s.DiscoveredAt), KeysAt: millisOrNil(s.KeysAt), Keys: s.Keys,
			SkewSeconds: s.Skew.Seconds(), LastSuccess: millisOrNil(s.LastSuccess), LastError: s.LastError,
			LastErrorAt: millisOrNil(s.LastErrorAt), LogoutError: s.LogoutError, LogoutErrAt: millisOrNil(s.LogoutErrorAt),
		}
	}
	ui.WriteJSON(w, r, http.StatusOK, newList(p.status(), "", shape))
	return nil
}
