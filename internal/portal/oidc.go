package portal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// oidcRoutes are the addresses of the sign-in through providers. Providers post to two of them from their own sites;
// these judge what is posted by what it is, and by the browser's cookie, and look at no session.
func (p *Portal) oidcRoutes() []route {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	return []route{
		{pattern: "/oidc/{name}/start", access: known,
			methods: map[string]handler{http.MethodGet: p.oidcStart, http.MethodPost: p.oidcConfirmed}},
		{pattern: "/oidc/{name}/callback", access: known, foreign: true,
			methods: map[string]handler{http.MethodGet: p.oidcCallback, http.MethodPost: p.oidcPosted}},
		{pattern: "/oidc/{name}/backchannel-logout", access: anybody, foreign: true, early: true,
			methods: map[string]handler{http.MethodPost: p.oidcBackchannel}},
		{pattern: "/oidc/{name}/frontchannel-logout", access: anybody, early: true, methods: get(p.oidcFrontchannel)},
		{pattern: "/oidc/{name}/icon", access: anybody, early: true, methods: get(p.oidcIcon)},
		{pattern: "/account/providers", access: person,
			methods: map[string]handler{http.MethodGet: p.showProviders, http.MethodPost: p.postProviders}},
	}
}

// providerButton offers a provider.
type providerButton struct {
	Href, Text, Icon string
	Down             string // says that the provider cannot be reached, "" when it can
}

// buttons returns the providers to offer. query is added to their addresses.
func (p *Portal) buttons(r *http.Request, v *visit, query url.Values) []providerButton {
	if p.OIDC == nil {
		return nil
	}
	var list []providerButton
	for _, c := range p.OIDC.Registry.Choices(r.Context()) {
		list = append(list, p.button(v, c, query))
	}
	return list
}

func (p *Portal) button(v *visit, c oidc.Choice, query url.Values) providerButton {
	at := v.q.Prefix + "/oidc/" + c.Name
	b := providerButton{Href: at + "/start", Text: p.ui.Text("login.provider", "name", c.Label)}
	if len(query) > 0 {
		b.Href += "?" + query.Encode()
	}
	if c.HasIcon {
		b.Icon = at + "/icon"
	}
	if c.Down {
		b.Down = p.ui.Text("login.provider_down", "name", c.Label)
	}
	return b
}

// label returns what people call a provider.
func (p *Portal) providerLabel(name string) string {
	if p.OIDC != nil {
		if label, ok := p.OIDC.Registry.Label(name); ok {
			return label
		}
	}
	return name
}

func (p *Portal) callbackURL(v *visit, name string) string {
	return v.q.Origin() + v.q.Prefix + "/oidc/" + name + "/callback"
}

func (v *visit) carryReturn(r *http.Request) string {
	return returnto.Carry(v.returning(r, nil), v.own(r, nil, "to"))
}

// sendAway sends the browser to a provider. Access logs write the headers of answers when the answer is through, and
// the address has the state or an ID token in it: once it is sent, only the place remains.
func (p *Portal) sendAway(w http.ResponseWriter, r *http.Request, address string) {
	p.sendTo(w, r, address)
	if http.NewResponseController(w).Flush() != nil {
		return // cannot be sure that it is sent
	}
	place, _, _ := strings.Cut(address, "?")
	w.Header().Set("Location", place)
}

// beginOIDC begins a flow and binds it to the browser.
func (p *Portal) beginOIDC(w http.ResponseWriter, r *http.Request, v *visit, name string, s oidc.Start) (oidc.Begun, error) {
	b, err := p.OIDC.Begin(r.Context(), v.client(r), name, s)
	if err != nil {
		return b, err
	}
	for _, drop := range oidc.Surplus(v.flows(r)) {
		http.SetCookie(w, v.cookie.Own(drop, "", -1))
	}
	http.SetCookie(w, v.cookie.Own(b.Cookie.Name, b.Cookie.Value, oidc.FlowLife))
	return b, nil
}

// flows returns the cookies of sign-ins under way, by name.
func (v *visit) flows(r *http.Request) map[string]string {
	have := make(map[string]string)
	full := v.cookie.OwnName(oidc.FlowCookiePrefix)
	for _, c := range r.Cookies() {
		if short, ok := strings.CutPrefix(c.Name, full); ok {
			have[oidc.FlowCookiePrefix+short] = c.Value
		}
	}
	return have
}

// dropFlows ends the sign-ins that the browser has under way: who signs out does not want to come back in by one of them.
func (v *visit) dropFlows(w http.ResponseWriter, r *http.Request) {
	for name := range v.flows(r) {
		http.SetCookie(w, v.cookie.Own(name, "", -1))
	}
}

// oidcPosted takes an answer by form_post. It comes from the provider's site, so the browser sends none of our cookies
// (SameSite=Lax) with it; the redirect makes it ask again, with them.
func (p *Portal) oidcPosted(w http.ResponseWriter, r *http.Request, v *visit) {
	name := r.PathValue("name")
	form, err := ui.ReadForm(w, r)
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	values := make(url.Values)
	for _, field := range []string{"state", "code", "error", "error_description", "iss"} {
		values[field] = form.All(field)
	}
	a, err := oidc.ParseAnswer(values)
	if err == nil {
		err = p.OIDC.Throttled(v.client(r))
	}
	var id string
	if err == nil {
		id, err = p.OIDC.Registry.Stash(r.Context(), name, a)
	}
	if err != nil {
		p.failOIDC(w, r, v, name, "", err)
		return
	}
	p.sendTo(w, r, v.q.Prefix+"/oidc/"+name+"/callback?form="+id)
}

// oidcCallback ends a flow.
func (p *Portal) oidcCallback(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := p.ready(r.Context()); err != nil {
		p.fail(w, r, v, err)
		return
	}
	name := r.PathValue("name")
	a, err := p.oidcAnswer(r, name)
	if err != nil {
		p.failOIDC(w, r, v, name, "", err)
		return
	}
	cookie := func(n string) string { return v.cookie.OwnValue(r, n) }
	out, err := p.OIDC.Finish(r.Context(), v.client(r), name, a, cookie, v.live)
	var throttled *login.ThrottledError
	if flow := oidc.CookieName(a.State); cookie(flow) != "" && !errors.As(err, &throttled) { // that one may come again
		http.SetCookie(w, v.cookie.Own(flow, "", -1))
	}
	if err != nil {
		p.failOIDC(w, r, v, name, out.ReturnTo, err)
		return
	}
	b, to := v.p.guard.Restore(v.q, out.ReturnTo)
	switch out.Purpose {
	case oidc.PurposeLink:
		p.ui.Flash(w, r, "linked")
		p.sendTo(w, r, v.q.Prefix+"/account/providers")
	case oidc.PurposeReauth:
		v.carryOn(w, out.SignedIn)
		p.sendTo(w, r, b.RedirectTarget(v.q, to, v.q.Prefix+"/account"))
	default:
		v.carryOn(w, out.SignedIn)
		if out.Twin {
			p.ui.Flash(w, r, "twin") // on the next page of ours
		}
		p.sendTo(w, r, p.destination(v, out.SignedIn.User, b, to))
	}
}

// oidcAnswer reads the provider's answer from the address, or one that was posted a moment ago.
func (p *Portal) oidcAnswer(r *http.Request, name string) (oidc.Answer, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return oidc.Answer{}, &oidc.Error{Kind: oidc.Invalid, Reason: "the answer's parameters are malformed"}
	}
	if ids := q["form"]; len(ids) == 1 && len(q) == 1 {
		return p.OIDC.Registry.Unstash(r.Context(), name, ids[0])
	}
	return oidc.ParseAnswer(q)
}

// oidcStatus is what each kind of failure is answered with.
var oidcStatus = map[oidc.Kind]int{
	oidc.Invalid: http.StatusBadRequest, oidc.Expired: http.StatusBadRequest, oidc.Canceled: http.StatusForbidden,
	oidc.Refused: http.StatusForbidden, oidc.Down: http.StatusServiceUnavailable, oidc.Unverified: http.StatusForbidden,
	oidc.NotAllowed: http.StatusForbidden, oidc.Unknown: http.StatusForbidden, oidc.Pending: http.StatusForbidden,
	oidc.Disabled: http.StatusForbidden, oidc.LinkTaken: http.StatusConflict, oidc.OtherPerson: http.StatusForbidden,
	oidc.Unproved: http.StatusBadRequest,
}

// providerRetry is when to try a provider again that cannot be reached.
const providerRetry = 30 * time.Second

// failOIDC responds to a sign-in through a provider that came to nothing, in our own words: what the provider wrote is in
// the log at most, and nowhere as markup.
func (p *Portal) failOIDC(w http.ResponseWriter, r *http.Request, v *visit, name, carried string, err error) {
	kind := oidc.KindOf(err)
	status, known := oidcStatus[kind]
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, oidc.ErrNoProvider):
		p.notFound(w, r)
		return
	case errors.As(err, &throttled):
		f := problem.Of(err)
		p.begin(w, r, v, f, err)
		p.throttled(w, r, f, v.loginAgain(carried)("", ""))
		return
	case !known:
		p.fail(w, r, v, err)
		return
	}
	again := v.loginAgain(carried)
	if kind == oidc.Canceled {
		// The person knows: no alarm.
		p.sendTo(w, r, again("canceled", name))
		return
	}
	f := problem.Problem{Status: status, Slug: "oidc-" + string(kind)}
	if kind == oidc.Down {
		f.RetryAfter = providerRetry
	}
	p.begin(w, r, v, problem.Problem{Status: http.StatusOK, RetryAfter: f.RetryAfter}, nil) // a provider's fault is no error of ours
	label := p.providerLabel(name)
	page := p.failurePage(v, f)
	page.Title = p.ui.Text("oidc."+string(kind)+".title", "name", label)
	page.Data = messagePage{
		Paras: []string{p.ui.Text("oidc."+string(kind)+".text", "name", label)},
		Links: p.oidcWaysOn(v, kind, again("", "")),
	}
	p.ui.Write(w, r, page)
}

func (p *Portal) oidcWaysOn(v *visit, kind oidc.Kind, again string) []ui.Link {
	switch {
	case kind == oidc.LinkTaken:
		return []ui.Link{{Href: v.q.Prefix + "/account/providers", Text: p.ui.Text("go.account"), Current: true}}
	case kind == oidc.OtherPerson:
		return []ui.Link{{Href: v.q.Prefix + "/reauth", Text: p.ui.Text("go.reauth"), Current: true}}
	case kind == oidc.Unproved: // to sign in there once more would end here again
		account := ui.Link{Href: v.q.Prefix + "/account", Text: p.ui.Text("go.account")}
		if v.live != nil && v.live.User.PasswordHash != "" {
			return []ui.Link{{Href: v.q.Prefix + "/reauth", Text: p.ui.Text("go.reauth"), Current: true}, account}
		}
		account.Current = true
		return []ui.Link{account}
	case v.live != nil:
		return []ui.Link{{Href: again, Text: p.ui.Text("go.sign_in"), Current: true}, {Href: v.q.Prefix + "/account", Text: p.ui.Text("go.account")}}
	default:
		return []ui.Link{{Href: again, Text: p.ui.Text("oidc.again"), Current: true}, {Href: v.q.Prefix + "/login/help", Text: p.ui.Text("oidc.help")}}
	}
}

// loginAgain returns how to address the sign-in page with what a flow carried, and one more parameter.
func (v *visit) loginAgain(carried string) func(name, value string) string {
	b, to := v.p.guard.Restore(v.q, carried)
	return func(name, value string) string {
		q := make(url.Values)
		switch {
		case to != "":
			q.Set("to", to)
		case b.Raw != "":
			q.Set("rt", b.Raw)
		}
		if name != "" {
			q.Set(name, value)
		}
		if v.live != nil {
			q.Set("switch", "1")
		}
		if len(q) == 0 {
			return v.q.Prefix + "/login"
		}
		return v.q.Prefix + "/login?" + q.Encode()
	}
}

// oidcIcon sends the picture on a provider's button.
func (p *Portal) oidcIcon(w http.ResponseWriter, r *http.Request, _ *visit) {
	b, kind, ok := p.OIDC.Registry.Icon(r.PathValue("name"))
	if !ok {
		p.notFound(w, r)
		return
	}
	ui.Harden(w, r)
	sum := sha256.Sum256(b)
	h := w.Header()
	// An SVG that is opened by itself is a document on this origin: nothing in it runs.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'")
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Etag", `"`+hex.EncodeToString(sum[:12])+`"`)
	if r.Header.Get("If-None-Match") == h.Get("Etag") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // the browser went away: nobody to tell
	}
}
