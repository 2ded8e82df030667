package web

import (
	_ "embed"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// Responses of the gate that no window shows: within a page of the app, and to a browser that fetches a worker.

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
		Data: framePage{Text: p.Text(q.UI), Href: q.Request.Absolute(r.URL.RequestURI()), Link: q.Text("frame.window")},
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

// formCookie tells that this browser has just been shown a page that holds what a form sent. Its address does not tell,
// and to load it anew would throw the form away: a worker that is fetched meanwhile gives way without that.
const (
	formCookie = "form"
	formLife   = 5 * time.Minute // browsers look for a new worker within seconds
)

//go:embed worker.js
var workerScript string

// Worker responds to somebody who is not signed in, and whose browser fetches the script of a service worker. A worker
// of the app that answers all navigations by itself would show the app's shell for ever, in place of the sign-in page
// too, and a 401 would leave it there. This one replaces it once the session is over, and gives way.
//
// The policy of the response is the worker's own. Service-Worker-Allowed takes back nothing: an update whose scope is
// wider than the script's folder needs it, as the app's own script did.
func (s Responses) Worker(w http.ResponseWriter, r *http.Request) {
	q := s.request(r, false)
	ui.HardenDecision(w, r)
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'")
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Service-Worker-Allowed", "/")
	navigates := q.Cookie.PrefixedValue(r, formCookie) == ""
	body := strings.NewReplacer(`"PREFIX"`, strconv.Quote(q.Prefix), `"NAVIGATES"`, strconv.FormatBool(navigates)).
		Replace(workerScript)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(body)) //nolint:gosec // a script of ours; a browser that went away gets no error
}
