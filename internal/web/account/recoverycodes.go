package account

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// codesData is the data of the "recovery-codes" page.
type codesData struct {
	Codes   store.RecoveryCodes
	Total   int
	Any     bool       // there is a factor that codes could stand in for
	Fields  []ui.Field // the password, where new codes need it
	Version string     // of the codes: what replaces others than the page spoke of has been sent twice
}

func (h *TwoFactor) showCodes(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	page, err := h.codesPage(r, q, nil)
	if err != nil {
		return err
	}
	q.UI.Write(w, r, page)
	return nil
}

func (h *TwoFactor) codesPage(r *http.Request, q *web.Request, errs []ui.FieldError) (ui.Page, error) {
	o, err := h.Accounts.Factors.Overview(r.Context(), q.Live.User)
	if err != nil {
		return ui.Page{}, err
	}
	d := codesData{Codes: o.Codes, Total: o.Codes.Left + o.Codes.Used, Any: o.Any(), Version: codesVersion(o.Codes)}
	if account.CodesNeedPassword(&q.Live.Session) {
		d.Fields = []ui.Field{
			{
				ID: "username", Name: "username", Label: q.Text("login.username"), Value: q.Live.User.Username,
				Autocomplete: "username", ReadOnly: true, Plain: true,
			},
			{
				ID: "password", Name: "password", Label: q.Text("password.current"), Type: "password",
				Hint: q.Text("codes.password"), Autocomplete: "current-password", Plain: true, Reveal: true, Key: "go",
			},
		}
	}
	page := accountPage(h.Deps, q, "two-factor", "recovery-codes", nil)
	page.Title = q.Text("codes.manage")
	web.MarkErrors(&page, d.Fields, errs)
	page.Data = d
	return page, nil
}

func codesVersion(c store.RecoveryCodes) string {
	if c.MadeAt.IsZero() {
		return "0"
	}
	return strconv.FormatInt(c.MadeAt.UnixMilli(), 10)
}

// postCodes makes new codes, unless the form is about those that were just made: to be saved as a file, or saved
// already.
func (h *TwoFactor) postCodes(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("do", "codes", "password", "version", "rt", "to", "back")
	}
	if err != nil {
		return err
	}
	switch form.Get("do") {
	case "download":
		return h.download(w, r, q, form)
	case "saved":
		return h.saved(w, r, q, form)
	default:
		return h.makeCodes(w, r, q, form)
	}
}

func (h *TwoFactor) makeCodes(w http.ResponseWriter, r *http.Request, q *web.Request, form ui.Form) error {
	if form.Has("version") {
		have, err := h.Store.RecoveryCodes(r.Context(), q.Live.User.ID)
		if err != nil {
			return err
		}
		if form.Get("version") != codesVersion(have) {
			page, err := h.codesPage(r, q, nil)
			if err != nil {
				return err
			}
			page.Notice = &ui.Notice{Kind: ui.Warn, Text: q.Text("codes.shown")}
			q.UI.Write(w, r, page)
			return nil
		}
	}
	codes, err := h.Accounts.Factors.MakeRecoveryCodes(r.Context(), q.Actor(), form.Get("password"))
	if err != nil {
		return h.refuseCodes(w, r, q, err)
	}
	h.showMade(w, r, q, codes, q.Text("codes.new"), q.At(twoFactorPage), nil)
	return nil
}

func (h *TwoFactor) refuseCodes(w http.ResponseWriter, r *http.Request, q *web.Request, err error) error {
	fields, _ := problem.FieldErrors(q.UI, err)
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, login.ErrInvalidCredentials):
		fields = []ui.FieldError{{Field: "password", Detail: q.Text("error.wrong-password.text")}}
	case errors.As(err, &throttled):
		page, perr := h.codesPage(r, q, nil)
		if perr != nil {
			return perr
		}
		q.WriteThrottled(w, r, err, page)
		return nil
	case len(fields) == 0:
		return h.refuse(w, r, q, err, recoveryCodesPage)
	}
	page, err := h.codesPage(r, q, fields)
	if err != nil {
		return err
	}
	q.UI.Write(w, r, page)
	return nil
}

// showMade shows recovery codes, once. next is where the person goes on, which back carries.
func (h *TwoFactor) showMade(w http.ResponseWriter, r *http.Request, q *web.Request, codes []string, text, next string,
	back []ui.Hidden,
) {
	made := q.CodesPage(q.Live.User, codes, text, next, back)
	page := accountPage(h.Deps, q, "two-factor", made.Template, made.Data)
	page.Title, page.Secret = made.Title, true
	q.UI.Write(w, r, page)
}

// saved takes note that the codes are kept, and leads on.
func (h *TwoFactor) saved(w http.ResponseWriter, r *http.Request, q *web.Request, form ui.Form) error {
	t, own := q.ReturnTo(&form), q.OwnPage(&form, "to")
	to := t.RedirectTarget(q.Request, own, q.At(twoFactorPage))
	if form.Ticked("saved") {
		if err := h.Accounts.Factors.MarkCodesSaved(r.Context(), q.Actor()); err != nil {
			return err
		}
	}
	web.Redirect(w, r, to)
	return nil
}

// download sends codes back as a file. They come from the page that shows them: nothing here has them any more.
func (h *TwoFactor) download(w http.ResponseWriter, r *http.Request, q *web.Request, form ui.Form) error {
	codes := strings.Fields(form.Get("codes"))
	if len(codes) == 0 || len(codes) > recovery.Count {
		return ui.BadInput(http.StatusUnprocessableEntity, "input.refused")
	}
	for _, code := range codes {
		if _, ok := recovery.Parse(code); !ok { // no file with anything else in our name
			return ui.BadInput(http.StatusUnprocessableEntity, "input.refused")
		}
	}
	text := q.Text("codes.for", "name", q.Live.User.Username, "site", q.SiteTitle()) + "\r\n\r\n" +
		strings.Join(codes, "\r\n") + "\r\n"
	ui.Harden(w, r)
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
	header.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write([]byte(text)) // a browser that went away gets no error
	return nil
}
