package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Page is what a handler wants shown.
type Page struct {
	Template string // name of a page template
	Status   int    // 200 when 0
	Title    string // of the browser's tab; the site's title is added
	Heading  string // the one h1; Title when empty
	Failed   bool   // the title begins with "Error:", so that a screen reader says it first
	Card     bool   // a single card in the middle; otherwise top bar, section links and content
	Wide     bool   // with Card: room for a longer text
	Viewer   *Viewer
	Area     string // which link of the top bar is current: "account", "admin" or ""
	NavLabel string // names the section links
	Nav      []Link
	Notice   *Notice // beside what was flashed
	Banners  []Banner
	// Refer shows the reference id, for pages about something that went wrong. It is not shown where two responses have
	// to be the same to the byte.
	Refer bool
	// Secret pages show something once: they are not compressed.
	Secret bool
	// FormTargets are checked origins outside of this one that a form of the page may lead to.
	FormTargets []string
	// FormGoesOn reports that those, or the app on this origin, lead on to origins that are not known here, by redirects.
	FormGoesOn bool
	// Refresh is a checked address to go to at once, for browsers that may not follow a form there.
	Refresh string
	// Frame lets the site itself show the page in a frame. It has no form, so that nobody can be made to send one there.
	Frame bool
	// NoFlash leaves a flashed message for the next page.
	NoFlash bool
	// Switch offers the page in other languages; nil does not.
	Switch *Switch
	Data   any
}

// Switch is a form below a page that changes its language. It posts: a link that others could make somebody follow
// changes nothing.
type Switch struct {
	Action string
	Hidden []Hidden // what leads back to the page
}

// Hidden is a field that people do not see.
type Hidden struct{ Name, Value string }

// HiddenFields returns values as fields of the "hidden" template, in the order of their names.
func HiddenFields(values url.Values) []Hidden {
	var list []Hidden
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, v := range values[name] {
			list = append(list, Hidden{name, v})
		}
	}
	return list
}

// Viewer is the person who looks at a page.
type Viewer struct {
	ID       string // of the user: what the forms on the page are about
	Username string
	Name     string // display name, may be empty
	Admin    bool   // sees the way to the admin pages
}

// Label returns what to call the person.
func (v *Viewer) Label() string {
	if v.Name != "" {
		return v.Name
	}
	return v.Username
}

// Link is a link to another page.
type Link struct {
	Href    string
	Text    string
	Current bool
}

// Kind of a notice.
type Kind string

// Kinds of notices.
const (
	Plain Kind = ""
	Good  Kind = "ok"
	Bad   Kind = "bad"
	Warn  Kind = "warn"
)

// Notice is a message on a page.
type Notice struct {
	Kind  Kind
	Text  string
	Until time.Time // written after the text; zero for none
}

// Banner is something that somebody has to do, with the way there.
type Banner struct {
	Kind       Kind
	Text       string
	Href, Link string
}

// view is what the layout sees: the page, and what holds for all of them.
type view struct {
	Page
	Lang, Dir, Theme   string
	Nonce, Prefix      string
	CSS, JS, Icon      string
	Logo               string // "" without one
	Site               string // the site's title
	Support, SupportAs string
	RequestID          string
	Flash              *Notice
	Offer              []Language // to choose from; nil where there is but one
}

// Write renders a page, with its headers.
func (u *UI) Write(w http.ResponseWriter, r *http.Request, p Page) {
	Harden(w, r)
	u.write(w, r, p)
}

// WriteDecision renders a page in place of one of the app's.
func (u *UI) WriteDecision(w http.ResponseWriter, r *http.Request, p Page) {
	HardenDecision(w, r)
	p.NoFlash = true // an app's address is not the next page
	u.write(w, r, p)
}

func (u *UI) write(w http.ResponseWriter, r *http.Request, p Page) {
	if p.Status == 0 {
		p.Status = http.StatusOK
	}
	if p.Heading == "" {
		p.Heading = p.Title
	}
	v := u.view(w, r, p)
	h := w.Header()
	var buf bytes.Buffer
	t, ok := u.pages[p.Template]
	if !ok {
		u.log.Error("there is no such page", zap.String("page", p.Template), zap.String("request_id", v.RequestID))
		u.broken(w, r)
		return
	}
	if err := t.ExecuteTemplate(&buf, "layout", v); err != nil {
		u.log.Error("could not render a page", zap.String("page", p.Template), zap.String("request_id", v.RequestID),
			zap.Error(err))
		u.broken(w, r)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	h.Set("Content-Security-Policy", pagePolicy(v.Nonce, p.FormTargets, p.FormGoesOn, reqctx.From(r).Secure))
	if p.Frame {
		h.Set("Content-Security-Policy", framePolicy)
		h.Del("X-Frame-Options")
	}
	body := buf.Bytes()
	if !p.Secret {
		// A second line, so that the first says what the response means and this one how it travels.
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header) {
			body = u.gzip(body)
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser went away: nobody to tell
	}
}

func (u *UI) view(w http.ResponseWriter, r *http.Request, p Page) view {
	q := reqctx.From(r)
	at := q.Prefix + "/assets/"
	v := view{
		Page: p, Lang: u.Language(), Dir: direction(u.cat.Tag()), Theme: Theme(r),
		Nonce: rand.Text(), Prefix: q.Prefix,
		CSS: at + u.assets.css.name(), JS: at + u.assets.js.name(), Icon: at + u.assets.icon.name(),
		Site: u.brand.TitleFor(q.Host), Support: u.brand.Support(), SupportAs: u.brand.SupportText(),
		RequestID: q.ID,
	}
	if u.assets.logo != nil {
		v.Logo = at + u.assets.logo.name()
	}
	if p.Switch != nil && len(u.offer) > 1 {
		v.Offer = u.offer
	}
	if !p.NoFlash {
		v.Flash = u.takeFlash(w, r)
	}
	return v
}

// broken is the response when even the page cannot be made.
func (u *UI) broken(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Del("Content-Encoding")
	w.WriteHeader(http.StatusInternalServerError)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(u.Text("broken", "id", reqctx.From(r).ID) + "\n")) //nolint:gosec // plain text
	}
}

// gzip compresses a page. What is reflected in a page never shares it with a secret worth guessing; see the package
// documentation.
func (u *UI) gzip(b []byte) []byte {
	zw, ok := u.gzips.Get().(*gzip.Writer)
	if !ok {
		zw = gzip.NewWriter(nil)
	}
	defer u.gzips.Put(zw)
	var buf bytes.Buffer
	buf.Grow(len(b) / 2)
	zw.Reset(&buf)
	_, _ = zw.Write(b) // a bytes.Buffer takes everything
	_ = zw.Close()
	return buf.Bytes()
}
