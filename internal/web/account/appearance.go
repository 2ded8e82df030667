package account

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Appearance is colors and language.
type Appearance struct{ *web.Deps }

// appearancePage is the data of the "appearance" page.
type appearancePage struct {
	Theme     string
	Language  string        // "" for the browser's
	Languages []ui.Language // nil where there is but one
}

func (h *Appearance) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	d := appearancePage{Theme: ui.Theme(r), Language: ui.ChosenLanguage(r)}
	if d.Theme == "" {
		d.Theme = "auto"
	}
	if offer := q.UI.Offer(); len(offer) > 1 {
		d.Languages = offer
	}
	q.UI.Write(w, r, accountPage(h.Deps, q, "appearance", "appearance", d))
	return nil
}

// post sets what was sent of colors and language. Both are checked before either is set.
func (h *Appearance) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("theme", "language")
	}
	if err == nil {
		err = h.set(q, w, r, form)
	}
	if err != nil {
		return err
	}
	q.UI.Flash(w, r, "saved")
	web.Redirect(w, r, q.At("/account/appearance"))
	return nil
}

func (h *Appearance) set(q *web.Request, w http.ResponseWriter, r *http.Request, form ui.Form) error {
	language := form.Get("language")
	if form.Has("language") && language != "auto" && !ui.KnownLanguage(language) {
		return q.UnknownLanguage()
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
