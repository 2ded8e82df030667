package web

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// keptFields are the fields of our forms that are shown again where the session ended before a form came. What is not
// here is not kept: a field that nobody has thought of may be a password, a code or a token.
var keptFields = []string{
	ui.AboutField, "action", "active", "ask_second_factor", "back", "block", "confirm", "days", "do", "email",
	"end_others", "end_sessions", "expires", "groups", "hosts", "id", "identities", "issuer", "keep", "keep_sessions",
	"kind", "language", "link", "methods", "must_change", "name", "note", "paths", "provider", "role", "rt", "saved",
	"seen", "subject", "theme", "to", "tokens", "user_code", "username", "version", "way",
}

// ownFormEnded is [Responses.SessionEnded] for a form of ours: the page keeps what was typed, as far as it is among
// keptFields, so that it can be sent again after the sign-in. It does so only for what a page of this origin sent: a
// page must not show, one click from being sent, what another site has thought up.
func (q *Request) ownFormEnded(w http.ResponseWriter, r *http.Request) {
	var d endedPage
	if sameOrigin(q, r) {
		if form, err := ui.ReadForm(w, r); err == nil {
			if d.Hidden = form.Fields(keptFields); len(d.Hidden) > 0 {
				to := url.URL{Path: q.At(r.URL.Path), RawQuery: r.URL.RawQuery}
				d.Action = to.String()
			}
		}
	}
	q.sessionEnded(w, r, d)
}

// sameOrigin reports whether a page of this origin sent a form, as the browser says.
func sameOrigin(q *Request, r *http.Request) bool {
	if values := r.Header.Values("Sec-Fetch-Site"); len(values) > 0 {
		return len(values) == 1 && values[0] == "same-origin"
	}
	values := r.Header.Values("Origin")
	return len(values) == 1 && values[0] == q.Origin()
}
