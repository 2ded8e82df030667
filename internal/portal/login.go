package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// loginPage is the data of the "login" page.
type loginPage struct {
	RT, To   string // carried along
	Fields   []ui.Field
	Remember string // label of the check box
	Ticked   bool
	Buttons  []providerButton
	Help     string
	GoOn     string // where the "signed in elsewhere" hint leads
	Host     string // another host to return to, "" for this one
	Cookies  bool   // say that cookies may be blocked
}

// signedInPage is the data of the "signed-in" page.
type signedInPage struct {
	Name, GoOn, Switch, RT string
	External               bool
}

func (p *Portal) index(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.live != nil {
		p.sendTo(w, r, v.q.Prefix+"/account")
		return
	}
	if err := p.ready(r.Context()); err != nil {
		p.fail(w, r, v, err)
		return
	}
	p.sendTo(w, r, v.q.Prefix+"/login")
}

func (p *Portal) showLogin(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := p.ready(r.Context()); err != nil {
		p.fail(w, r, v, err)
		return
	}
	b, to := v.returning(r, nil), v.own(r, nil, "to")
	if v.live != nil && !r.URL.Query().Has("switch") {
		p.showSignedIn(w, r, v, b, to)
		return
	}
	d := p.loginData(r, v, b, to, "")
	d.Fields[0].Focus = true
	page := p.loginPage(v, b, d)
	switch {
	case p.OIDC != nil && r.URL.Query().Has("canceled"):
		page.Notice = &ui.Notice{Text: p.ui.Text("login.canceled")}
	case v.live == nil && v.token != "" && b.Raw != "":
		page.Notice = &ui.Notice{Text: p.ui.Text("login.ended")}
	case v.token == "" && v.cookie.OwnValue(r, probeCookie) == "" && cameFromLogin(v, r):
		d.Cookies = true
		page.Data = d
	}
	http.SetCookie(w, v.cookie.Own(probeCookie, "1", 0))
	p.ui.Write(w, r, page)
}

// probeCookie says nothing. A browser that comes back from our own form without it keeps no cookies, and would be sent
// to the sign-in page for ever without a word.
const probeCookie = "probe"

func cameFromLogin(v *visit, r *http.Request) bool {
	u, err := url.Parse(r.Referer())
	return err == nil && u.Host == v.q.Host && u.Path == v.q.Prefix+"/login"
}

func (p *Portal) loginPage(v *visit, b returnto.Target, d loginPage) ui.Page {
	var more []ui.Hidden
	for _, h := range []ui.Hidden{{Name: "rt", Value: d.RT}, {Name: "to", Value: d.To}} {
		if h.Value != "" {
			more = append(more, h)
		}
	}
	if v.live != nil {
		more = append(more, ui.Hidden{Name: "switch", Value: "1"})
	}
	return ui.Page{
		Switch:   v.offer("login", more...),
		Template: "login", Card: true, Title: p.ui.Text("login.title"),
		Heading: p.ui.Text("login.heading", "site", p.ui.Brand().Title()), FormTargets: b.FormTargets(), Data: d,
	}
}

func (p *Portal) loginData(r *http.Request, v *visit, b returnto.Target, to, username string) loginPage {
	d := loginPage{
		RT: b.Raw, To: to, Help: v.q.Prefix + "/login/help", GoOn: b.Location,
		Remember: p.ui.Text("login.remember", "span", problem.Span(p.ui, p.Login.Lifetime.Remember)),
		Fields: []ui.Field{
			{ID: "username", Name: "username", Label: p.ui.Text("login.username"), Value: username, Plain: true,
				Autocomplete: "username webauthn", Key: "next"},
			{ID: "password", Name: "password", Label: p.ui.Text("login.password"), Type: "password", Plain: true,
				Autocomplete: "current-password", Reveal: true, Key: "go"},
		},
	}
	if to != "" {
		d.GoOn = to
	} else if u, err := url.Parse(b.Location); err == nil && b.External {
		d.Host = u.Host
	}
	query := make(url.Values)
	switch {
	case to != "":
		query.Set("to", to)
	case b.Raw != "":
		query.Set("rt", b.Raw)
	}
	d.Buttons = p.buttons(r, v, query)
	return d
}

func (p *Portal) showSignedIn(w http.ResponseWriter, r *http.Request, v *visit, b returnto.Target, to string) {
	again := url.Values{"switch": {"1"}}
	switch {
	case to != "":
		b.Location = to
		again.Set("to", to)
	case b.Raw != "":
		again.Set("rt", b.Raw)
	}
	p.ui.Write(w, r, ui.Page{
		Template: "signed-in", Card: true, Title: p.ui.Text("signed_in.title"), FormTargets: p.endTargets(v, r),
		Data: signedInPage{Name: v.live.User.Username, GoOn: b.Location, External: b.External,
			Switch: v.q.Prefix + "/login?" + again.Encode()},
	})
}

func (p *Portal) loginHelp(w http.ResponseWriter, r *http.Request, v *visit) {
	d := messagePage{
		Paras: []string{p.ui.Text("help.text"), p.ui.Text("help.admin")},
		Links: []ui.Link{{Href: v.q.Prefix + "/login", Text: p.ui.Text("go.sign_in"), Current: true}},
	}
	p.ui.Write(w, r, ui.Page{Template: "message", Card: true, Title: p.ui.Text("help.title"), Switch: v.offer("help"), Data: d})
}

// loginForm is what a sign-in form holds.
type loginForm struct {
	username, password string
	remember           bool
	back               returnto.Target
	to                 string
}

func (v *visit) readLogin(w http.ResponseWriter, r *http.Request) (loginForm, error) {
	form, err := ui.ReadAnyForm(w, r)
	if err == nil {
		err = form.Once("username", "password", "rt", "to")
	}
	if err != nil {
		return loginForm{}, err
	}
	f := loginForm{remember: form.Ticked("remember"), back: v.returning(r, &form), to: strings.Clone(v.own(r, &form, "to"))}
	f.back.Raw, f.back.Location = strings.Clone(f.back.Raw), strings.Clone(f.back.Location)
	f.username, f.password = kept(form.Get("username")), kept(form.Get("password"))
	return f, nil
}

// maxKept is more than any name and any password may be long, in whatever way they are composed.
const maxKept = 8 << 10

// kept returns what of a value is kept while hundreds of others wait for their turn, too. A part of a form keeps all of
// it in memory, and what is longer than anybody's is wrong without its end.
func kept(s string) string { return strings.Clone(s[:min(len(s), maxKept)]) }

func (p *Portal) postLogin(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := p.ready(r.Context()); err != nil {
		p.fail(w, r, v, err)
		return
	}
	f, err := v.readLogin(w, r)
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	if f.username == "" || f.password == "" {
		p.incomplete(w, r, v, f)
		return
	}
	in, err := p.signIn(r, v, f)
	if err != nil {
		p.refuseSignIn(w, r, v, f, err)
		return
	}
	v.carryOn(w, in)
	p.sendTo(w, r, p.destination(v, in.User, f.back, f.to))
}

// signIn proves and begins. No name holds a byte that is not text: such a name is looked up as one that nobody has,
// at the same cost, because an engine may refuse to look it up at all.
func (p *Portal) signIn(r *http.Request, v *visit, f loginForm) (login.SignedIn, error) {
	name := strings.ReplaceAll(strings.ToValidUTF8(f.username, "\ufffd"), "\x00", "\ufffd")
	client := v.client(r)
	proof, err := p.Login.Password(r.Context(), client, name, f.password)
	if err != nil {
		return login.SignedIn{}, err
	}
	return p.Login.SignIn(r.Context(), client, proof, login.Via{Method: "password", Remember: f.remember})
}

// destination returns where to go after a sign-in.
func (p *Portal) destination(v *visit, u store.User, b returnto.Target, to string) string {
	if u.MustChange {
		at := v.q.Prefix + passwordPage
		switch {
		case to != "":
			return at + "?to=" + url.QueryEscape(to)
		case b.Raw != "":
			return at + "?rt=" + url.QueryEscape(b.Raw)
		}
		return at
	}
	if to != "" {
		return to
	}
	return b.Location
}

// incomplete responds to a form with an empty name or password. It counts as no attempt: nothing was guessed.
func (p *Portal) incomplete(w http.ResponseWriter, r *http.Request, v *visit, f loginForm) {
	d := p.loginData(r, v, f.back, f.to, f.username)
	var errs []ui.FieldError
	if f.username == "" {
		errs = append(errs, ui.FieldError{Field: "username", Detail: p.ui.Text("login.no_username")})
	}
	if f.password == "" {
		errs = append(errs, ui.FieldError{Field: "password", Detail: p.ui.Text("login.no_password")})
	}
	ui.WithErrors(d.Fields, errs)
	d.Ticked = f.remember
	page := p.loginPage(v, f.back, d)
	page.Status, page.Failed = http.StatusUnprocessableEntity, true
	p.ui.Write(w, r, page)
}

// refuseSignIn responds to a sign-in that came to nothing. What is wrong, the name or the password, is not told: the page
// is the same to the byte, and so it carries no reference id.
func (p *Portal) refuseSignIn(w http.ResponseWriter, r *http.Request, v *visit, f loginForm, err error) {
	if gone(w, r) {
		return
	}
	fail := problem.Of(err)
	p.begin(w, r, v, fail, err)
	var throttled *login.ThrottledError
	var disabled *login.DisabledError
	switch {
	case errors.Is(err, login.ErrWrong):
		d := p.loginData(r, v, f.back, f.to, f.username)
		ui.WithErrors(d.Fields, []ui.FieldError{{Field: "password", Detail: p.ui.Text("error.wrong-credentials.text")}})
		d.Ticked = f.remember
		page := p.loginPage(v, f.back, d)
		page.Status, page.Failed = fail.Status, true
		p.ui.Write(w, r, page)
	case errors.As(err, &throttled):
		back := f.back.Raw
		if f.to != "" {
			back = f.to
		}
		p.throttled(w, r, fail, p.guard.LoginURLTo(v.q, back))
	case errors.As(err, &disabled):
		page := p.failurePage(v, fail)
		page.Refer = false
		p.ui.Write(w, r, page)
	default:
		p.ui.Write(w, r, p.failurePage(v, fail))
	}
}

// throttledPage is the data of the "throttled" page.
type throttledPage struct {
	Text  string
	Until time.Time
	Again string
}

// throttled says how long to wait. It is the same for names that exist and for those that do not.
func (p *Portal) throttled(w http.ResponseWriter, r *http.Request, f problem.Problem, again string) {
	p.ui.Write(w, r, ui.Page{
		Template: "throttled", Status: f.Status, Title: f.Title(p.ui), Failed: true, Card: true,
		Data: throttledPage{Text: f.Text(p.ui), Until: p.Clock().Add(f.RetryAfter).Truncate(time.Second), Again: again},
	})
}

// goOn is the page between a form and another host: browsers may refuse to follow a form there by redirects.
func (p *Portal) goOn(w http.ResponseWriter, r *http.Request, v *visit) {
	b := v.returning(r, nil)
	if !b.External {
		p.sendTo(w, r, b.Location)
		return
	}
	u, err := url.Parse(b.Location)
	if err != nil {
		p.sendTo(w, r, returnto.Home)
		return
	}
	p.ui.Write(w, r, ui.Page{
		Template: "message", Card: true, Title: p.ui.Text("continue.title"), Refresh: b.Location,
		Data: messagePage{Paras: []string{p.ui.Text("continue.text", "host", u.Host)},
			Links: []ui.Link{{Href: b.Location, Text: p.ui.Text("continue.go", "host", u.Host), Current: true}}},
	})
}
