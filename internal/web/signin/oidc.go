package signin

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
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// OIDC is the sign-in through providers, and what providers themselves ask for.
type OIDC struct{ *web.Deps }

// providerButton offers a provider.
type providerButton struct {
	Href, Text, Icon string
	Down             string // says that the provider cannot be reached, "" when it can
	Hint             bool   // what is typed as username goes along
}

// providerButtons returns the providers to offer. query is added to their addresses.
func providerButtons(d *web.Deps, r *http.Request, q *web.Request, query url.Values) []providerButton {
	if d.OIDC == nil {
		return nil
	}
	var list []providerButton
	for _, c := range d.OIDC.Registry.Choices(r.Context()) {
		list = append(list, button(q, c, query))
	}
	return list
}

func button(q *web.Request, c oidc.Choice, query url.Values) providerButton {
	at := q.At("/oidc/" + c.Name)
	b := providerButton{Href: at + "/start", Hint: c.LoginHint, Text: q.Text("login.provider", "name", c.Label)}
	if len(query) > 0 {
		b.Href += "?" + query.Encode()
	}
	if c.HasIcon {
		b.Icon = at + "/icon"
	}
	switch {
	case c.Misconfigured:
		b.Down = q.Text("login.provider_misconfigured", "name", c.Label)
	case c.Down:
		b.Down = q.Text("login.provider_down", "name", c.Label)
	}
	return b
}

// CallbackURL returns the address to which a provider sends the browser back.
func CallbackURL(q *web.Request, name string) string {
	return q.Origin() + q.At("/oidc/"+name+"/callback")
}

func carryReturn(q *web.Request) string {
	return returnto.Carry(q.ReturnTo(nil), q.OwnPage(nil, "to"))
}

// redirectToProvider sends the browser to a provider. Access logs write the headers of a response when it is through,
// and the address has the state or an ID token in it: once it is sent, only the place remains.
func redirectToProvider(w http.ResponseWriter, r *http.Request, address string) {
	web.Redirect(w, r, address)
	if http.NewResponseController(w).Flush() != nil {
		return // cannot be sure that it is sent
	}
	place, _, _ := strings.Cut(address, "?")
	w.Header().Set("Location", place)
}

// begin begins a flow and binds it to the browser.
func (h *OIDC) begin(
	w http.ResponseWriter, r *http.Request, q *web.Request, name string, s oidc.FlowOptions,
) (oidc.AuthRequest, error) {
	b, err := h.OIDC.Begin(r.Context(), q.Client(), name, s)
	if err != nil {
		return b, err
	}
	for _, drop := range oidc.FlowCookiesToDrop(flows(r, q)) {
		http.SetCookie(w, q.Cookie.Prefixed(drop, "", -1))
	}
	http.SetCookie(w, q.Cookie.Prefixed(b.Cookie.Name, b.Cookie.Value, oidc.FlowTTL))
	return b, nil
}

// flows returns the cookies of sign-ins under way, by name.
func flows(r *http.Request, q *web.Request) map[string]string {
	have := make(map[string]string)
	full := q.Cookie.PrefixedName(oidc.FlowCookiePrefix)
	for _, c := range r.Cookies() {
		if short, ok := strings.CutPrefix(c.Name, full); ok {
			have[oidc.FlowCookiePrefix+short] = c.Value
		}
	}
	return have
}

// dropFlows ends the sign-ins that the browser has under way: who signs out does not want to come back in by one of
// them.
func dropFlows(w http.ResponseWriter, r *http.Request, q *web.Request) {
	for name := range flows(r, q) {
		http.SetCookie(w, q.Cookie.Prefixed(name, "", -1))
	}
}

// posted takes a response by form_post. It comes from the provider's site, so the browser sends none of our cookies
// (SameSite=Lax) with it; the redirect makes it ask again, with them.
func (h *OIDC) posted(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	name := r.PathValue("name")
	form, err := ui.ReadForm(w, r)
	if err != nil {
		return err
	}
	values := make(url.Values)
	for _, field := range []string{"state", "code", "error", "error_description", "iss"} {
		values[field] = form.All(field)
	}
	a, err := oidc.ParseAuthResponse(values)
	if err == nil {
		err = h.OIDC.Throttle(q.Client())
	}
	var id string
	if err == nil {
		id, err = h.OIDC.Registry.SaveResponse(r.Context(), name, a)
	}
	if err != nil {
		return h.refuse(w, r, q, name, "", err)
	}
	web.Redirect(w, r, q.At("/oidc/"+name+"/callback?form="+id))
	return nil
}

// callback ends a flow.
func (h *OIDC) callback(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := h.Setup.Ready(r.Context()); err != nil {
		return err
	}
	name := r.PathValue("name")
	a, err := h.readAnswer(r, name)
	if err != nil {
		return h.refuse(w, r, q, name, "", err)
	}
	cookie := func(n string) string { return q.Cookie.PrefixedValue(r, n) }
	out, err := h.OIDC.Finish(r.Context(), q.Client(), name, a, cookie, q.Live)
	var throttled *login.ThrottledError
	if flow := oidc.FlowCookieName(a.State); cookie(flow) != "" && !errors.As(err, &throttled) { // that one may come again
		http.SetCookie(w, q.Cookie.Prefixed(flow, "", -1))
	}
	if err != nil {
		return h.refuse(w, r, q, name, out.ReturnTo, err)
	}
	b, to := q.Restore(out.ReturnTo)
	switch out.Purpose {
	case oidc.PurposeLink:
		q.UI.Flash(w, r, "linked")
		web.Redirect(w, r, q.At("/account/providers"))
	case oidc.PurposeStepUp:
		q.SetSession(w, out.SignedIn)
		web.Redirect(w, r, b.RedirectTarget(q.Request, to, q.At("/account")))
	default:
		q.SetSession(w, out.SignedIn)
		if out.LocalAccountExists && h.Login.Passwords == login.AllPasswords { // it can be signed in to
			q.UI.Flash(w, r, "twin") // on the next page of ours
		}
		web.Redirect(w, r, q.AfterSignIn(out.SignedIn, loginTarget(h.Deps, q, out.SignedIn.User, b, to)))
	}
	return nil
}

// readAnswer reads the provider's response from the address, or one that was posted a moment ago.
func (h *OIDC) readAnswer(r *http.Request, name string) (oidc.AuthResponse, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return oidc.AuthResponse{}, &oidc.Error{Kind: oidc.Invalid, Reason: "the answer's parameters are malformed"}
	}
	if ids := q["form"]; len(ids) == 1 && len(q) == 1 {
		return h.OIDC.Registry.TakeResponse(r.Context(), name, ids[0])
	}
	return oidc.ParseAuthResponse(q)
}

// oidcStatus is the status of each kind of failure.
var oidcStatus = map[oidc.Kind]int{
	oidc.Invalid:            http.StatusBadRequest,
	oidc.Expired:            http.StatusBadRequest,
	oidc.Canceled:           http.StatusForbidden,
	oidc.Refused:            http.StatusForbidden,
	oidc.Unavailable:        http.StatusServiceUnavailable,
	oidc.Misconfigured:      http.StatusServiceUnavailable,
	oidc.Unverified:         http.StatusForbidden,
	oidc.NotAllowed:         http.StatusForbidden,
	oidc.Unknown:            http.StatusForbidden,
	oidc.Pending:            http.StatusForbidden,
	oidc.Inactive:           http.StatusForbidden,
	oidc.LinkTaken:          http.StatusConflict,
	oidc.DifferentUser:      http.StatusForbidden,
	oidc.NotReauthenticated: http.StatusBadRequest,
}

// providerRetry is when to try a provider again that cannot be reached.
const providerRetry = 30 * time.Second

// refuse responds to a sign-in through a provider that came to nothing, in our own words: what the provider wrote is in
// the log at most, and nowhere as markup.
func (h *OIDC) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, name, carried string, err error) error {
	q.StayHere(w)
	kind := oidc.KindOf(err)
	status, known := oidcStatus[kind]
	var throttled *login.ThrottledError
	switch {
	case errors.Is(err, oidc.ErrNoProvider):
		return q.NotFound()
	case errors.As(err, &throttled):
		q.WriteThrottled(w, r, err, ui.Page{
			Template: "message", Card: true, Title: problem.Of(err).Title(q.UI),
			Data: web.Message{Links: []ui.Link{{
				Href: h.loginURL(q, carried)("", ""), Text: q.Text("go.sign_in"), Current: true,
			}}},
		})
		return nil
	case !known:
		return err
	}
	again := h.loginURL(q, carried)
	if kind == oidc.Canceled {
		// The person knows: no alarm.
		web.Redirect(w, r, again("canceled", name))
		return nil
	}
	f := problem.Problem{Status: status, Slug: "oidc-" + string(kind)}
	switch {
	case oidc.FromBrowser(err) && status >= http.StatusInternalServerError:
		f.Status = http.StatusForbidden // anybody can say so: no alarm of who watches the responses
	case kind == oidc.Unavailable:
		f.RetryAfter = providerRetry
	}
	// a provider's fault is no error of ours
	q.WriteErrorHeaders(w, r, problem.Problem{Status: http.StatusOK, RetryAfter: f.RetryAfter}, nil)
	label := q.ProviderLabel(name)
	page := q.ErrorPage(f)
	page.Title = q.Text("oidc."+string(kind)+".title", "name", label)
	text := q.Text("oidc."+string(kind)+".text", "name", label)
	if kind == oidc.NotReauthenticated {
		text = q.PasswordText("oidc.unproved.text", "name", label)
	}
	page.Data = web.Message{
		Paras: []string{text},
		Links: h.errorLinks(q, kind, carried),
	}
	q.UI.Write(w, r, page)
	return nil
}

// errorLinks are the ways to go on from a sign-in that came to nothing, with what it carried.
func (h *OIDC) errorLinks(q *web.Request, kind oidc.Kind, carried string) []ui.Link {
	again := h.loginURL(q, carried)("", "")
	stepUp := ui.Link{Href: q.StepUpURL(q.Restore(carried)), Text: q.Text("go.reauth"), Current: true}
	switch {
	case kind == oidc.LinkTaken:
		return []ui.Link{{Href: q.At("/account/providers"), Text: q.Text("go.account"), Current: true}}
	case kind == oidc.DifferentUser:
		return []ui.Link{stepUp}
	case kind == oidc.NotReauthenticated: // to sign in there once more would end here again
		account := ui.Link{Href: q.At("/account"), Text: q.Text("go.account")}
		if q.Live != nil && h.Login.Passwords.Has(q.Live.User) {
			return []ui.Link{stepUp, account}
		}
		account.Current = true
		return []ui.Link{account}
	case q.Live != nil:
		return []ui.Link{
			{Href: again, Text: q.Text("go.sign_in"), Current: true},
			{Href: q.At("/account"), Text: q.Text("go.account")},
		}
	default:
		return []ui.Link{
			{Href: again, Text: q.Text("oidc.again"), Current: true},
			{Href: q.At("/login/help"), Text: q.Text("oidc.help")},
		}
	}
}

// loginURL returns how to address the sign-in page with what a flow carried, and one more parameter.
func (h *OIDC) loginURL(q *web.Request, carried string) func(name, value string) string {
	b, to := q.Restore(carried)
	return func(name, value string) string {
		query := b.Query(to)
		if name != "" {
			query.Set(name, value)
		}
		if q.Live != nil {
			query.Set("switch", "1")
		}
		return returnto.At(q.At("/login"), query)
	}
}

// icon sends the picture on a provider's button.
func (h *OIDC) icon(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	b, kind, ok := h.OIDC.Registry.Icon(r.PathValue("name"))
	if !ok {
		return q.NotFound()
	}
	ui.Harden(w, r)
	sum := sha256.Sum256(b)
	header := w.Header()
	// An SVG that is opened by itself is a document on this origin: nothing in it runs.
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'")
	header.Set("Content-Type", kind)
	header.Set("Cache-Control", "public, max-age=3600")
	header.Set("Etag", `"`+hex.EncodeToString(sum[:12])+`"`)
	if r.Header.Get("If-None-Match") == header.Get("Etag") {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) //nolint:gosec // the operator's picture, in a sandbox; a browser that went away gets no error
	}
	return nil
}
