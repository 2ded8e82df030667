package signin

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Pages that somebody sees who may not be signed in offer other languages, and get a name here by which a choice leads
// back to them: an address that the form carried would have to be checked.
var switchPages = map[string]string{
	"login": "/login", "help": "/login/help", "welcome": "/welcome",
	"logged-out": "/logged-out", "verify": web.VerifyPage, "recovery": recoveryPage, "enroll": web.EnrollPage,
}

// languageSwitch makes the form that changes the language of a page of [switchPages].
func languageSwitch(q *web.Request, page string, more ...ui.Hidden) *ui.Switch {
	return &ui.Switch{Action: q.At("/language"), Hidden: append([]ui.Hidden{{Name: "page", Value: page}}, more...)}
}

// postLanguage sets the language that somebody chose below a page, and leads back there.
func postLanguage(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("language", "page", "rt", "to", "back", "switch", chooseParam)
	}
	if err == nil && !ui.SetLanguage(w, r, form.Get("language")) {
		err = q.UnknownLanguage()
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
		query = q.ReturnTo(&form).Query(q.OwnPage(&form, "to"))
		if form.Ticked("switch") {
			query.Set("switch", "1")
		}
		if form.Ticked(chooseParam) {
			query.Set(chooseParam, "1")
		}
	}
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	web.Redirect(w, r, q.At(to))
	return nil
}
