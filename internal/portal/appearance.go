package portal

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// appearancePage is the data of the "appearance" page.
type appearancePage struct {
	Theme     string
	Language  string        // "" for the browser's
	Languages []ui.Language // nil where there is but one
}

func (p *Portal) showAppearance(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	d := appearancePage{Theme: ui.Theme(r), Language: ui.ChosenLanguage(r)}
	if d.Theme == "" {
		d.Theme = "auto"
	}
	if offer := q.UI.Offer(); len(offer) > 1 {
		d.Languages = offer
	}
	q.UI.Write(w, r, p.accountPage(q, "appearance", "appearance", d))
	return nil
}

// postAppearance keeps what was sent of colors and language. Both are looked at before either is kept.
func (p *Portal) postAppearance(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("theme", "language")
	}
	if err == nil {
		err = p.keepAppearance(q, w, r, form)
	}
	if err != nil {
		return err
	}
	q.UI.Flash(w, r, "saved")
	p.sendTo(w, r, q.Prefix+"/account/appearance")
	return nil
}

func (p *Portal) keepAppearance(q *web.Request, w http.ResponseWriter, r *http.Request, form ui.Form) error {
	language := form.Get("language")
	if form.Has("language") && language != "auto" && !ui.KnownLanguage(language) {
		return p.noSuchLanguage(q)
	}
	if form.Has("theme") || !form.Has("language") {
		if !ui.SetTheme(w, r, form.Get("theme")) {
			return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: q.Text("appearance.unknown")}
		}
	}
	if form.Has("language") {
		ui.SetLanguage(w, r, language)
	}
	return nil
}

func (p *Portal) noSuchLanguage(q *web.Request) error {
	return &ui.InputError{Status: http.StatusUnprocessableEntity, Text: q.Text("appearance.language_unknown")}
}

// Pages that somebody sees who may not be signed in offer other languages, and get a name here by which a choice leads
// back to them: an address that the form carried would have to be judged.
var switchPages = map[string]string{"login": "/login", "help": "/login/help", "welcome": "/welcome", "logged-out": "/logged-out"}

// languageSwitch makes the form that changes the language of a page of [switchPages].
func languageSwitch(q *web.Request, page string, more ...ui.Hidden) *ui.Switch {
	return &ui.Switch{Action: q.Prefix + "/language", Hidden: append([]ui.Hidden{{Name: "page", Value: page}}, more...)}
}

// postLanguage keeps the language that somebody chose below a page, and leads back there.
func (p *Portal) postLanguage(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("language", "page", "rt", "to", "switch")
	}
	if err == nil && !ui.SetLanguage(w, r, form.Get("language")) {
		err = p.noSuchLanguage(q)
	}
	if err != nil {
		return err
	}
	to, known := switchPages[form.Get("page")]
	if !known {
		to = switchPages["login"]
	}
	query := make(url.Values)
	if to == switchPages["login"] {
		if own := q.OwnPage(&form, "to"); own != "" {
			query.Set("to", own)
		} else if b := q.ReturnTo(&form); b.Raw != "" {
			query.Set("rt", b.Raw)
		}
		if form.Ticked("switch") {
			query.Set("switch", "1")
		}
	}
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	p.sendTo(w, r, q.Prefix+to)
	return nil
}
