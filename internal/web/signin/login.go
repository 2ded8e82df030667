package signin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Login is the sign-in with a password, and the page that offers all ways.
type Login struct{ *web.Deps }

// loginPage is the data of the "login" page.
type loginPage struct {
	Return   []ui.Hidden // where to go afterwards, carried along
	Fields   []ui.Field
	Remember string // label of the check box
	Ticked   bool
	Buttons  []providerButton
	Passkey  *ui.PasskeyForm // nil where nobody can sign in with a passkey alone
	Form     bool            // the form for a password is shown …
	Choose   string          // … or is behind this address, with a link
	Link     string
	Help     string // "" where nobody could help with a password
	GoOn     string // where the "signed in elsewhere" hint leads
	Host     string // another host to return to, "" for this one
	Cookies  bool   // say that cookies may be blocked
}

// signedInPage is the data of the "signed-in" page.
type signedInPage struct {
	Name, GoOn, Switch string
	External           bool
}

func (h *Login) index(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if q.Live != nil {
		web.Redirect(w, r, q.At("/account"))
		return nil
	}
	if err := h.Setup.Ready(r.Context()); err != nil {
		return err
	}
	web.Redirect(w, r, q.At("/login"))
	return nil
}

func (h *Login) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := h.Setup.Ready(r.Context()); err != nil {
		return err
	}
	b, to := q.ReturnTo(nil), q.OwnPage(nil, "to")
	if q.Live != nil && !r.URL.Query().Has("switch") {
		return h.showSignedIn(w, r, q, b, to)
	}
	if h.goFirst(w, r, q) {
		return nil
	}
	d := h.data(r, q, b, to, "")
	d.Fields[0].Focus = true
	page := h.page(r, q, b, d)
	switch {
	case h.OIDC != nil && r.URL.Query().Has("canceled"):
		page.Notice = &ui.Notice{Text: q.Text("login.canceled")}
	case q.Live == nil && q.Token != "" && b.Known():
		page.Notice = &ui.Notice{Text: q.Text("login.ended")}
	case q.Token == "" && q.Cookie.PrefixedValue(r, probeCookie) == "" && refererIsLogin(q, r):
		d.Cookies = true
		page.Data = d
	}
	http.SetCookie(w, q.Cookie.Prefixed(probeCookie, "1", 0))
	q.UI.Write(w, r, page)
	return nil
}

// probeCookie holds nothing. A browser that comes back from our own form without it keeps no cookies, and would be sent
// to the sign-in page for ever without a word.
const probeCookie = "probe"

func refererIsLogin(q *web.Request, r *http.Request) bool {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Path != q.At("/login") {
		return false
	}
	origin, ok := reqctx.OriginOf(u)
	return ok && origin == q.Origin()
}

func (h *Login) page(r *http.Request, q *web.Request, b returnto.Target, d loginPage) ui.Page {
	more := append(keepChoice(r), d.Return...)
	if q.Live != nil {
		more = append(more, ui.Hidden{Name: "switch", Value: "1"})
	}
	return ui.Page{
		Switch:   languageSwitch(q, "login", more...),
		Template: "login", Card: true, Title: q.Text("login.title"),
		Heading: q.Text("login.heading", "site", q.SiteTitle()), Data: d,
		FormTargets: b.FormTargets(), FormGoesOn: true, // apps with a sign-in of their own redirect there
	}
}

func (h *Login) data(r *http.Request, q *web.Request, b returnto.Target, to, username string) loginPage {
	d := loginPage{
		Return: ui.HiddenFields(b.Query(to)), Help: q.At("/login/help"), GoOn: b.Location,
		Remember: q.Text("login.remember", "span", q.Span(h.Login.Lifetime.Remember)),
		Fields: []ui.Field{
			{
				ID: "username", Name: "username", Label: q.Text("login.identifier"), Value: username, Plain: true,
				Autocomplete: "username webauthn", Key: "next",
			},
			{
				ID: "password", Name: "password", Label: q.Text("login.password"), Type: "password", Plain: true,
				Autocomplete: "current-password", Reveal: true, Key: "go",
			},
		},
	}
	if to != "" {
		d.GoOn = to
	} else if u, err := url.Parse(b.Location); err == nil && b.External {
		d.Host = u.Host
	}
	d.Buttons = providerButtons(h.Deps, r, q, b.Query(to))
	d.Passkey = q.PasskeySignIn(d.Return)
	d.Choose, d.Link = chooseURL(q, b, to), q.Text("login.choose")
	if h.Login.Passwords != login.AllPasswords {
		d.Help, d.Link = "", q.Text("login.choose_root")
	}
	d.Form = h.showsForm(r, d)
	return d
}

func (h *Login) showSignedIn(w http.ResponseWriter, r *http.Request, q *web.Request, b returnto.Target,
	to string,
) error {
	again := b.Query(to)
	again.Set("switch", "1")
	if to != "" {
		b.Location = to
	}
	targets := endTargets(h.Deps, q, r)
	q.UI.Write(w, r, ui.Page{
		Template: "signed-in", Card: true, Title: q.Text("signed_in.title"),
		FormTargets: targets, FormGoesOn: targets != nil,
		Data: signedInPage{
			Name: q.Live.User.Username, GoOn: b.Location, External: b.External,
			Switch: returnto.At(q.At("/login"), again),
		},
	})
	return nil
}

func (h *Login) help(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	d := web.Message{
		Paras: []string{q.PasswordText("help.text"), q.PasswordText("help.admin")},
		Links: []ui.Link{{Href: q.At("/login"), Text: q.Text("go.sign_in"), Current: true}},
	}
	q.UI.Write(w, r, ui.Page{
		Template: "message", Card: true, Title: q.PasswordText("help.title"),
		Switch: languageSwitch(q, "help"), Data: d,
	})
	return nil
}

// loginForm is what a sign-in form holds.
type loginForm struct {
	username, password string
	remember           bool
	back               returnto.Target
	to                 string
}

func readLogin(w http.ResponseWriter, r *http.Request, q *web.Request) (loginForm, error) {
	form, err := ui.ReadAnyForm(w, r)
	if err == nil {
		err = form.Once("username", "password", "rt", "to", "back")
	}
	if err != nil {
		return loginForm{}, err
	}
	f := loginForm{remember: form.Ticked("remember"), back: q.ReturnTo(&form), to: strings.Clone(q.OwnPage(&form, "to"))}
	for _, text := range []*string{&f.back.Raw, &f.back.Sealed, &f.back.Location} {
		*text = strings.Clone(*text)
	}
	f.username, f.password = clipped(form.Get("username")), clipped(form.Get("password"))
	return f, nil
}

// maxCredential is more than any name and any password may be long, in whatever way they are composed.
const maxCredential = 8 << 10

// clipped returns a copy of a value without what is longer than anybody's. Hundreds of sign-ins may wait for their
// turn, and a part of a form keeps all of it in memory.
func clipped(s string) string { return strings.Clone(s[:min(len(s), maxCredential)]) }

func (h *Login) post(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := h.Setup.Ready(r.Context()); err != nil {
		return err
	}
	f, err := readLogin(w, r, q)
	if err != nil {
		return err
	}
	if f.username == "" || f.password == "" {
		return h.refuseIncomplete(w, r, q, f)
	}
	in, err := h.signIn(r, q, f)
	if err != nil {
		return h.refuse(w, r, q, f, err)
	}
	q.SetSession(w, in)
	web.Redirect(w, r, q.AfterSignIn(in, loginTarget(h.Deps, q, in.User, f.back, f.to)))
	return nil
}

// signIn checks the password and begins the session. No name holds a byte that is not text: such a name is looked up as
// one that nobody has, at the same cost, because an engine may refuse to look it up at all.
func (h *Login) signIn(r *http.Request, q *web.Request, f loginForm) (login.SignedIn, error) {
	name := strings.ReplaceAll(strings.ToValidUTF8(f.username, "\ufffd"), "\x00", "\ufffd")
	client := q.Client()
	proof, err := h.Login.CheckPassword(r.Context(), client, name, f.password)
	if err != nil {
		return login.SignedIn{}, err
	}
	return h.Login.SignIn(r.Context(), client, proof, login.SignInOptions{
		Method: login.MethodLocal, Remember: f.remember, Return: returnto.Carry(f.back, f.to),
	})
}

// loginTarget returns where to go after a sign-in.
func loginTarget(d *web.Deps, q *web.Request, u store.User, b returnto.Target, to string) string {
	if u.MustChange && d.Login.Passwords.Of(u) {
		return returnto.At(q.At(web.PasswordPage), b.Query(to))
	}
	if to != "" {
		return to
	}
	return b.Location
}

// refuseIncomplete responds to a form with an empty name or password. It counts as no attempt: nothing was guessed.
func (h *Login) refuseIncomplete(w http.ResponseWriter, r *http.Request, q *web.Request, f loginForm) error {
	d := h.data(r, q, f.back, f.to, f.username)
	var errs []ui.FieldError
	if f.username == "" {
		errs = append(errs, ui.FieldError{Field: "username", Detail: q.Text("login.no_username")})
	}
	if f.password == "" {
		errs = append(errs, ui.FieldError{Field: "password", Detail: q.Text("login.no_password")})
	}
	ui.WithErrors(d.Fields, errs)
	d.Ticked = f.remember
	page := h.page(r, q, f.back, d)
	page.Status, page.Failed = http.StatusUnprocessableEntity, true
	q.UI.Write(w, r, page)
	return nil
}

// refuse responds to a sign-in that came to nothing. What is wrong, the name or the password, is not shown: the page
// is the same to the byte, and so it carries no reference id.
func (h *Login) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, f loginForm, err error) error {
	fail := problem.Of(err)
	var throttled *login.ThrottledError
	var disabled *login.InactiveError
	switch {
	case r.Context().Err() != nil: // the client has left
		return err
	case errors.Is(err, login.ErrInvalidCredentials):
		q.WriteErrorHeaders(w, r, fail, err)
		d := h.data(r, q, f.back, f.to, f.username)
		ui.WithErrors(d.Fields, []ui.FieldError{{Field: "password", Detail: q.Text("error.wrong-credentials.text")}})
		d.Ticked = f.remember
		page := h.page(r, q, f.back, d)
		page.Status, page.Failed = fail.Status, true
		q.UI.Write(w, r, page)
	case errors.As(err, &throttled):
		d := h.data(r, q, f.back, f.to, f.username)
		d.Ticked, d.Fields[1].Focus = f.remember, true
		q.WriteThrottled(w, r, err, h.page(r, q, f.back, d))
	case errors.As(err, &disabled):
		q.WriteErrorHeaders(w, r, fail, err)
		page := q.ErrorPage(fail)
		page.Refer = false
		q.UI.Write(w, r, page)
	default:
		return err
	}
	return nil
}

// continuation is the page between a form and another host: browsers may refuse to follow a form there by redirects.
func (h *Login) continuation(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	b := q.ReturnTo(nil)
	if !b.External {
		web.Redirect(w, r, b.Location)
		return nil
	}
	u, err := url.Parse(b.Location)
	if err != nil {
		web.Redirect(w, r, returnto.Home)
		return nil //nolint:nilerr // what is not an address is nowhere to go, and no failure
	}
	q.UI.Write(w, r, ui.Page{
		Template: "message", Card: true, Title: q.Text("continue.title"), Refresh: b.Location,
		Data: web.Message{
			Paras: []string{q.Text("continue.text", "host", u.Host)},
			Links: []ui.Link{{Href: b.Location, Text: q.Text("continue.go", "host", u.Host), Current: true}},
		},
	})
	return nil
}
