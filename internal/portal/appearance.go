package portal

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// appearancePage is the data of the "appearance" page.
type appearancePage struct {
	Theme     string
	Language  string        // "" for the browser's
	Languages []ui.Language // nil where there is but one
}

func (p *Portal) showAppearance(w http.ResponseWriter, r *http.Request, v *visit) {
	d := appearancePage{Theme: ui.Theme(r), Language: ui.ChosenLanguage(r)}
	if d.Theme == "" {
		d.Theme = "auto"
	}
	if offer := p.ui.Offer(); len(offer) > 1 {
		d.Languages = offer
	}
	p.ui.Write(w, r, p.accountPage(v, "appearance", "appearance", d))
}

// postAppearance keeps what was sent of colors and language. Both are looked at before either is kept.
func (p *Portal) postAppearance(w http.ResponseWriter, r *http.Request, v *visit) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("theme", "language")
	}
	if err == nil {
		err = p.keepAppearance(w, r, form)
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	p.ui.Flash(w, r, "saved")
	p.sendTo(w, r, v.q.Prefix+"/account/appearance")
}

func (p *Portal) keepAppearance(w http.ResponseWriter, r *http.Request, form ui.Form) error {
	language := form.Get("language")
	if form.Has("language") && language != "auto" && !ui.KnownLanguage(language) {
		return p.noSuchLanguage()
	}
	if form.Has("theme") || !form.Has("language") {
		if !ui.SetTheme(w, r, form.Get("theme")) {
			return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: p.ui.Text("appearance.unknown")}
		}
	}
	if form.Has("language") {
		ui.SetLanguage(w, r, language)
	}
	return nil
}

func (p *Portal) noSuchLanguage() error {
	return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: p.ui.Text("appearance.language_unknown")}
}

// Pages that somebody sees who may not be signed in offer other languages, and get a name here by which a choice leads
// back to them: an address that the form carried would have to be judged.
var switchPages = map[string]string{"login": "/login", "help": "/login/help", "welcome": "/welcome", "logged-out": "/logged-out"}

// offer makes the form that changes the language of a page of [switchPages].
func (v *visit) offer(page string, more ...ui.Hidden) *ui.Switch {
	return &ui.Switch{Action: v.q.Prefix + "/language", Hidden: append([]ui.Hidden{{Name: "page", Value: page}}, more...)}
}

// postLanguage keeps the language that somebody chose below a page, and leads back there.
func (p *Portal) postLanguage(w http.ResponseWriter, r *http.Request, v *visit) {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("language", "page", "rt", "to", "switch")
	}
	if err == nil && !ui.SetLanguage(w, r, form.Get("language")) {
		err = p.noSuchLanguage()
	}
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	to, known := switchPages[form.Get("page")]
	if !known {
		to = switchPages["login"]
	}
	q := make(url.Values)
	if to == switchPages["login"] {
		if own := v.own(r, &form, "to"); own != "" {
			q.Set("to", own)
		} else if b := v.returning(r, &form); b.Raw != "" {
			q.Set("rt", b.Raw)
		}
		if form.Ticked("switch") {
			q.Set("switch", "1")
		}
	}
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	p.sendTo(w, r, v.q.Prefix+to)
}
