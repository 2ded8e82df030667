package signin

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Links is the one-time links: what they open, and the password that is set behind them.
type Links struct{ *web.Deps }

// A one-time link is opened by mail scanners and previews before the person sees it. Opening it changes nothing: the
// token moves from the address, which ends up in histories and logs, into a cookie, and the form of the page behind it
// spends the link.
const (
	linkCookie = "link"
	linkLife   = 30 * time.Minute
)

func (h *Links) open(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	token := r.PathValue("token")
	info, err := h.Accounts.LinkStatus(r.Context(), token)
	if err == nil && info.State != account.LinkValid {
		return h.deadLink(w, r, q, info)
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, q.Cookie.Prefixed(linkCookie, token, linkLife))
	web.Redirect(w, r, q.At("/welcome"))
	return nil
}

// deadLink says why a link is of no use, since when, and how to get another.
func (h *Links) deadLink(w http.ResponseWriter, r *http.Request, q *web.Request, info account.LinkInfo) error {
	f := problem.Of(&account.LinkError{State: info.State})
	d := web.Message{Paras: []string{f.Text(q.UI)}}
	switch info.State {
	case account.LinkUsed:
		d.When = info.UsedAt
	case account.LinkExpired:
		d.When = info.ExpiresAt
	}
	ask := q.Text("link.ask")
	switch {
	case info.Purpose == store.LinkSetup:
		ask = q.Text("link.ask_setup")
	case h.Setup.Waiting(r):
		ask = q.Text("error.setup-needed.text")
	}
	d.Paras = append(d.Paras, ask)
	h.addLinks(r, q, &d)
	q.UI.Write(w, r, ui.Page{
		Template: "message", Status: f.Status, Title: f.Title(q.UI), Failed: true, Card: true,
		Data: d,
	})
	return nil
}

// addLinks adds how to go on. While there is no administrator, nobody could give out a link, or sign in.
func (h *Links) addLinks(r *http.Request, q *web.Request, d *web.Message) {
	if h.Setup.Waiting(r) {
		d.Paras, d.Steps = append(d.Paras, q.Text("setup.ways")), q.SetupSteps()
		return
	}
	d.Links = []ui.Link{{Href: q.At("/login"), Text: q.Text("go.sign_in"), Current: true}}
}

// welcomePage is the data of the "welcome" page.
type welcomePage struct {
	Link    string // its id
	Setup   bool
	Text    string // for whom the link is, and by whom
	Until   time.Time
	Fields  []ui.Field
	Faults  []ui.Field
	Submit  string // "" where the link signs nobody in: Buttons lead to the providers
	Buttons []providerButton
}

// lookUp returns the link that the browser has opened. done is true when a response has been written.
func (h *Links) lookUp(w http.ResponseWriter, r *http.Request, q *web.Request) (token string, info account.LinkInfo,
	done bool, err error,
) {
	token = q.Cookie.PrefixedValue(r, linkCookie)
	info, err = h.Accounts.LinkStatus(r.Context(), token)
	switch {
	case err != nil:
		return "", info, false, err
	case info.State != account.LinkValid:
		if token == "" {
			h.deadLinkCookie(w, r, q)
			return "", info, true, nil
		}
		return "", info, true, h.deadLink(w, r, q, info)
	}
	return token, info, false, nil
}

// deadLinkCookie responds to a browser that comes without having opened a link, or whose cookie of it is gone.
func (h *Links) deadLinkCookie(w http.ResponseWriter, r *http.Request, q *web.Request) {
	d := web.Message{Paras: []string{q.Text("link.none"), q.Text("link.cookies")}}
	h.addLinks(r, q, &d)
	q.UI.Write(w, r, ui.Page{
		Template: "message", Status: http.StatusBadRequest, Title: q.Text("link.none_title"),
		Failed: true, Card: true, Data: d,
	})
}

func (h *Links) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	_, info, done, err := h.lookUp(w, r, q)
	if done || err != nil {
		return err
	}
	q.UI.Write(w, r, h.page(r, q, info, account.LinkForm{}, nil))
	return nil
}

// welcomeText returns the title of the page behind a link, and for whom it is; by whom, where a person made it.
func welcomeText(q *web.Request, info account.LinkInfo) (title, text string) {
	by := []any{"name", info.Username, "by", info.CreatedBy, "site", q.SiteTitle()}
	// The name of a person is none of the names that others have in the audit log.
	person := store.ActorKindOf(info.CreatedBy) == store.ActorSystem
	switch {
	case info.Purpose == store.LinkSetup:
		return q.Text("welcome.setup_title"), q.Text("welcome.setup")
	case info.Use == account.LinkSignsIn:
		return q.Text("login.title"), q.Text("welcome.once", by...)
	case info.Use == account.LinkToProviders:
		return q.Text("welcome.invited_title"), q.Text("welcome.providers", by...)
	case info.Invited && person:
		return q.Text("welcome.invited_title"), q.Text("welcome.invited", by...)
	case info.Invited:
		return q.Text("welcome.invited_title"), q.Text("welcome.invited_plain", by...)
	case person:
		return q.Text("welcome.title"), q.Text("welcome.for", by...)
	default:
		return q.Text("welcome.title"), q.Text("welcome.for_plain", by...)
	}
}

func (h *Links) page(r *http.Request, q *web.Request, info account.LinkInfo, form account.LinkForm,
	errs []ui.FieldError,
) ui.Page {
	d := welcomePage{
		Link: info.ID, Setup: info.Purpose == store.LinkSetup, Until: info.ExpiresAt,
	}
	page := ui.Page{
		Template: "welcome", Card: true, Wide: true,
		Switch: languageSwitch(q, "welcome"), FormGoesOn: !d.Setup,
	}
	page.Title, d.Text = welcomeText(q, info)
	switch {
	case info.Use == account.LinkToProviders:
		d.Buttons = providerButtons(h.Deps, r, q, nil)
	case d.Setup:
		d.Submit = q.Text("welcome.make")
		d.Fields = []ui.Field{
			{
				ID: "username", Name: "username", Label: q.Text("login.username"), Value: form.Username, Autocomplete: "username",
				Plain: true, Key: "next",
			},
			{
				ID: "email", Name: "email", Label: q.Text("welcome.email"), Type: "email", Value: form.Email, Autocomplete: "email",
				Optional: true, Key: "next",
			},
			{
				ID: "name", Name: "name", Label: q.Text("profile.name"), Value: form.Name, Autocomplete: "name", Optional: true,
				Key: "next",
			},
		}
	default:
		d.Submit = q.Text("welcome.set")
		d.Fields = []ui.Field{
			{
				ID: "username", Name: "username", Label: q.Text("login.username"), Value: info.Username, Autocomplete: "username",
				ReadOnly: true, Plain: true,
			},
		}
	}
	switch {
	case info.Use == account.LinkSets:
		d.Fields = append(d.Fields, q.NewPasswordField("password", q.Text("welcome.password")))
	case info.Use == account.LinkSignsIn && !d.Setup:
		d.Submit = q.Text("login.submit")
	}
	web.MarkErrors(&page, d.Fields, errs)
	d.Faults = ui.Faults(d.Fields)
	page.Data = d
	return page
}

func (h *Links) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	sent, err := ui.ReadForm(w, r)
	if err == nil {
		err = sent.Once("username", "email", "name", "password", ui.AboutField)
	}
	if err != nil {
		return err
	}
	token, info, done, err := h.lookUp(w, r, q)
	if done || err != nil {
		return err
	}
	if !isForLink(sent, info) {
		return ui.BadInput(http.StatusConflict, "input.other_link")
	}
	form := account.LinkForm{Password: sent.Get("password")}
	if info.Purpose == store.LinkSetup {
		form.Username, form.Email, form.Name = sent.Get("username"), sent.Get("email"), sent.Get("name")
	}
	via, to := login.SignInOptions{Method: login.MethodLink}, returnto.Home
	if info.Purpose == store.LinkSetup {
		to = q.At("/account")
		via.Setup, via.Return = true, returnto.Carry(returnto.Target{}, to)
	}
	in, err := h.use(r, q, token, form, via)
	if err != nil {
		return h.refuse(w, r, q, info, form, err)
	}
	http.SetCookie(w, q.Cookie.Prefixed(linkCookie, "", -1))
	q.SetSession(w, in)
	if via.Setup {
		h.Setup.Done()
		q.UI.Flash(w, r, "set_up")
	}
	web.Redirect(w, r, q.AfterSignIn(in, to))
	return nil
}

// isForLink reports whether a form was shown for the link that the browser opened last. Another one opened in another
// tab takes the cookie over, and a password must not be set for somebody whom the page did not name.
func isForLink(sent ui.Form, info account.LinkInfo) bool {
	if info.Purpose != store.LinkSetup && !sent.Has(ui.AboutField) && sent.Has("username") {
		return store.FoldName(sent.Get("username")) == store.FoldName(info.Username)
	}
	return sent.IsAbout(info.ID)
}

// use spends the link and begins the session.
func (h *Links) use(r *http.Request, q *web.Request, token string, form account.LinkForm, via login.SignInOptions) (
	login.SignedIn, error,
) {
	client := q.Client()
	proof, err := h.Accounts.RedeemLink(r.Context(), client, token, form)
	if err != nil {
		return login.SignedIn{}, err
	}
	return h.Login.SignIn(r.Context(), client, proof, via)
}

func (h *Links) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, info account.LinkInfo,
	form account.LinkForm, err error,
) error {
	var dead *account.LinkError
	if errors.As(err, &dead) {
		// Spent by somebody else, or withdrawn, between looking and using.
		if now, lerr := h.Accounts.LinkStatus(r.Context(), q.Cookie.PrefixedValue(r, linkCookie)); lerr == nil &&
			now.State != account.LinkValid {
			info = now
		} else {
			info.State = dead.State
		}
		return h.deadLink(w, r, q, info)
	}
	if fields, status := problem.FieldErrors(q.UI, err); len(fields) > 0 {
		page := h.page(r, q, info, form, fields)
		page.Status = status
		q.UI.Write(w, r, page)
		return nil
	}
	return err
}
