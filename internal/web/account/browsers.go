package account

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// browsersPath is the address of trusted browsers, below the mount prefix.
const browsersPath = "/account/browsers"

// Browsers lists the browsers that one has trusted, and forgets them.
type Browsers struct{ *web.Deps }

func browserRoutes(d *web.Deps) []web.Route {
	h := &Browsers{d}
	return slices.Concat(
		web.Form(browsersPath, web.SignedIn, h.list, h.forgetAll),
		web.Form(browsersPath+"/{id}/forget", web.SignedIn, h.confirm, h.forget),
	)
}

// browsersData is the data of the "browsers" page.
type browsersData struct {
	Items []browserItem
	May   bool // a second step offers to trust the browser
	Span  string
}

// browserItem is a trusted browser in a list.
type browserItem struct {
	ID      string
	Device  string // "Firefox on Windows"
	Agent   string // the User-Agent it was read from
	IP      string
	Which   string // what tells its button from others, for screen readers
	Since   time.Time
	Last    time.Time
	Until   time.Time
	Current bool
}

func browserItemOf(q *web.Request, b store.TrustedBrowser) browserItem {
	device := q.DeviceName(b.UserAgent)
	return browserItem{
		ID: b.ID, Device: device, Agent: b.UserAgent, IP: b.IP,
		Which: q.Text("sessions.on", "device", device, "ip", b.IP, "time", q.UI.Time(b.CreatedAt)),
		Since: b.CreatedAt, Last: b.SeenAt, Until: b.ExpiresAt, Current: q.Client().Is(b),
	}
}

func (h *Browsers) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	browsers, err := h.Accounts.Factors.Browsers(r.Context(), q.Live.User)
	if err != nil {
		return err
	}
	second := h.Login.Second
	d := browsersData{May: second.MayTrust(q.Live.User), Span: q.Span(second.TrustBrowser)}
	for i := range browsers {
		d.Items = append(d.Items, browserItemOf(q, browsers[i]))
	}
	q.UI.Write(w, r, accountPage(h.Deps, q, "browsers", "browsers", d))
	return nil
}

// own returns a trusted browser of the person by the id in the address.
func (h *Browsers) own(r *http.Request, q *web.Request) (store.TrustedBrowser, error) {
	browsers, err := h.Accounts.Factors.Browsers(r.Context(), q.Live.User)
	if err != nil {
		return store.TrustedBrowser{}, err
	}
	i := slices.IndexFunc(browsers, func(b store.TrustedBrowser) bool { return b.ID == r.PathValue("id") })
	if i < 0 {
		return store.TrustedBrowser{}, store.ErrNotFound
	}
	return browsers[i], nil
}

func (h *Browsers) confirm(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	b, err := h.own(r, q)
	if err != nil {
		return err
	}
	it := browserItemOf(q, b)
	page := accountPage(h.Deps, q, "browsers", "confirm", confirmPage{
		Text: q.Text("browsers.forget_text"), Button: q.Text("browsers.forget"),
		Action: q.At(browsersPath + "/" + b.ID + "/forget"), Cancel: q.At(browsersPath),
		Facts: []fact{
			{q.Text("sessions.device"), it.Device},
			{q.Text("sessions.ip"), it.IP},
		},
	})
	page.Title = q.Text("browsers.forget_title")
	q.UI.Write(w, r, page)
	return nil
}

func (h *Browsers) forget(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadOptions(w, r)
	if err == nil {
		err = h.Accounts.Factors.ForgetBrowser(r.Context(), q.Actor(), r.PathValue("id"))
	}
	return h.done(w, r, q, "browser_forgotten", err)
}

func (h *Browsers) forgetAll(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, err := ui.ReadOptions(w, r)
	if err == nil {
		_, err = h.Accounts.Factors.ForgetBrowsers(r.Context(), q.Actor())
	}
	return h.done(w, r, q, "browsers_forgotten", err)
}

// done leads back to the list, by way of a step-up where that is needed first.
func (h *Browsers) done(w http.ResponseWriter, r *http.Request, q *web.Request, flash string, err error) error {
	if askProof(w, r, q, err, browsersPath) {
		return nil
	}
	if err != nil {
		return err
	}
	q.UI.Flash(w, r, flash)
	web.Redirect(w, r, q.At(browsersPath))
	return nil
}
