package signin

import (
	"errors"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// backchannelError is the response to a bad logout token (OpenID Connect Back-Channel Logout 1.0, section 2.8).
type backchannelError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// backchannel ends sessions because a provider says so: 200 when they have ended, also when they had before, and
// exactly 400 when the token is bad. What is our own fault is 503, so that the provider tries again.
func (h *OIDC) backchannel(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	tokens := form.All("logout_token")
	switch {
	case err == nil && len(tokens) == 1:
		err = h.OIDC.Backchannel(r.Context(), q.Client(), r.PathValue("name"), tokens[0])
	case err == nil:
		err = &oidc.Error{Kind: oidc.Invalid, Reason: "there is not exactly one logout_token"}
	}
	var bad *oidc.Error
	var input *ui.InputError
	if err != nil && len(tokens) != 1 && !errors.Is(err, oidc.ErrNoProvider) {
		h.OIDC.AuditRefusedLogout(r.Context(), q.Client(), r.PathValue("name"), err)
	}
	switch {
	case err == nil:
		ui.Harden(w, r)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	case errors.As(err, &bad) && !bad.Kind.Technical():
		ui.WriteJSON(w, r, http.StatusBadRequest, backchannelError{"invalid_request", bad.Reason})
	case errors.As(err, &input):
		ui.WriteJSON(w, r, http.StatusBadRequest, backchannelError{"invalid_request", input.Text})
	case errors.Is(err, oidc.ErrNoProvider):
		ui.WriteJSON(w, r, http.StatusNotFound, backchannelError{Error: "not_found"})
	default:
		h.Log.Warn("could not check or carry out a logout token", zap.Error(err), zap.String("request_id", q.ID))
		w.Header().Set("Retry-After", "5")
		ui.WriteJSON(w, r, http.StatusServiceUnavailable, backchannelError{Error: "temporarily_unavailable"})
	}
	return nil
}

// frontchannel ends a session because the provider's page shows this address in a frame. It is the one page of
// ours that may be framed, by the provider alone; there is nothing on it to click.
func (h *OIDC) frontchannel(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	name := r.PathValue("name")
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		err = &oidc.Error{Kind: oidc.Invalid, Reason: "front-channel logout: the parameters are malformed"}
	}
	if err == nil && (len(query["iss"]) > 1 || len(query["sid"]) > 1) {
		err = &oidc.Error{Kind: oidc.Invalid, Reason: "a parameter comes twice"}
	}
	if err == nil && r.Method == http.MethodGet {
		err = h.OIDC.Frontchannel(r.Context(), q.Client(), name, query.Get("iss"), query.Get("sid"))
	}
	if errors.Is(err, oidc.ErrNoProvider) {
		return q.NotFound()
	}
	ui.Harden(w, r)
	header := w.Header()
	header.Del("X-Frame-Options")
	header.Del("Cross-Origin-Opener-Policy")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors "+
		ui.Sources(h.OIDC.Registry.FrameOrigins(name)))
	header.Set("Content-Type", "text/plain; charset=utf-8")
	status, text := http.StatusOK, "oidc.frame.done"
	switch {
	case err != nil && oidc.KindOf(err) != "":
		status, text = http.StatusBadRequest, "oidc.frame.bad"
	case err != nil:
		h.Log.Warn("could not carry out a front-channel logout", zap.Error(err), zap.String("request_id", q.ID))
		status, text = http.StatusServiceUnavailable, "oidc.frame.bad"
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(q.Text(text) + "\n")) // the frame went away: nobody to report to
	}
	return nil
}

// publicKeys shows the public key with which this client proves itself to the provider (private_key_jwt), for the
// provider to read.
func (h *OIDC) publicKeys(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	doc, ok, err := h.OIDC.Registry.PublicKeys(r.PathValue("name"))
	switch {
	case err != nil:
		return err
	case !ok:
		return q.NotFound()
	}
	ui.Harden(w, r)
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(doc) //nolint:gosec // a key of ours, as JSON; a client that went away gets no error
	}
	return nil
}
