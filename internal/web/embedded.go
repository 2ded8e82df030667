package web

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// Responses of the gate that no window shows: within a page of the app.

// framePage is the data of the "frame" page.
type framePage struct{ Text, Href, Link string }

// FrameEnded responds 401 to a frame in a page of the app whose session has ended: nobody signs in within a frame, so
// it says so, with a link that loads the sign-in into the whole window.
func (s Responses) FrameEnded(w http.ResponseWriter, r *http.Request, loginURL string) {
	q := s.request(r, true)
	p := problem.Problem{Status: http.StatusUnauthorized, Slug: "unauthorized"}
	q.WriteErrorHeaders(w, r, p, nil)
	q.UI.WriteDecision(w, r, ui.Page{
		Template: "frame", Status: p.Status, Title: p.Title(q.UI), Failed: true, Card: true, Frame: true,
		Data: framePage{Text: p.Text(q.UI), Href: loginURL, Link: q.Text("go.sign_in")},
	})
}

// writeFrame writes a problem into a frame, with a link that loads the same address into the whole window, where there
// is more to say about it.
func (q *Request) writeFrame(w http.ResponseWriter, r *http.Request, p problem.Problem) {
	q.UI.WriteDecision(w, r, ui.Page{
		Template: "frame", Status: p.Status, Title: p.Title(q.UI), Failed: true, Card: true, Frame: true, Refer: true,
		Data: framePage{Text: p.Text(q.UI), Href: q.Origin() + r.URL.RequestURI(), Link: q.Text("frame.window")},
	})
}

// UpgradeRefused responds 403 to a request to upgrade the connection to what the configuration does not name.
func (s Responses) UpgradeRefused(w http.ResponseWriter, r *http.Request, asked string) {
	q := s.request(r, false)
	p := problem.Problem{
		Status: http.StatusForbidden, Slug: "upgrade-refused",
		Detail: q.Text("error.upgrade-refused.text", "name", clipRunes(asked, 64)),
	}
	q.WriteErrorHeaders(w, r, p, nil)
	q.writeDecision(w, r, p.Document(q.UI, ""))
}
