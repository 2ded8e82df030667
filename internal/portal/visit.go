package portal

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// visit is what is known of the request being answered.
type visit struct {
	p      *Portal
	q      *reqctx.Request
	cookie session.Cookie
	token  string        // the session token that came along, "" for none
	live   *session.Live // nil for nobody
	lapsed *session.Live // one that is there, but does not count with this configuration: good for signing out only
	api    bool          // answer with JSON
}

func (p *Portal) visit(r *http.Request, api bool) *visit {
	q := reqctx.From(r)
	v := &visit{p: p, q: q, api: api, cookie: session.CookieFor(q.Secure, q.Host, p.CookieDomain)}
	v.token = v.cookie.Token(r.Header)
	return v
}

// resolve looks for the session. An error is technical: whether there is one could not be found out.
func (v *visit) resolve(r *http.Request, use bool) error {
	look := v.p.Sessions.Peek
	if use {
		look = v.p.Sessions.Resolve
	}
	l, err := look(r.Context(), v.token)
	switch {
	case err != nil:
	case use:
		l, err = v.p.OIDC.Fresh(r.Context(), v.token, l)
	default:
		raw := l
		if l, err = v.p.OIDC.Counts(r.Context(), raw); errors.Is(err, session.ErrNone) {
			v.lapsed = raw
		}
	}
	if err == nil {
		v.live = l
	} else if errors.Is(err, session.ErrNone) {
		err = nil
	}
	if tell, ok := r.Context().Value(noticeKey{}).(func(*session.Live)); ok {
		tell(v.live)
	}
	return err
}

type noticeKey struct{}

// WithNotice returns a copy of r that tells who is signed in, nil for nobody, when a page has asked for that.
func WithNotice(r *http.Request, tell func(*session.Live)) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), noticeKey{}, tell))
}

// client is what the sign-in may know of who asks.
func (v *visit) client(r *http.Request) login.Client {
	return login.Client{
		IP: v.q.ClientIP, UserAgent: r.UserAgent(), Host: v.q.Host, RequestID: v.q.ID, Session: v.token,
		Devices: login.ParseDevices(v.cookie.OwnValue(r, login.DeviceCookie)),
	}
}

// actor is who acts. There is a session.
func (v *visit) actor(r *http.Request) account.Actor {
	return account.Actor{
		UserID: v.live.User.ID, Name: v.live.User.Username, SessionID: v.live.Session.ID,
		AuthAt: v.live.Session.AuthAt, Client: v.client(r),
	}
}

// viewer is who looks at a page, nil for nobody.
func (v *visit) viewer() *ui.Viewer { return viewer(v.live) }

func viewer(l *session.Live) *ui.Viewer {
	if l == nil {
		return nil
	}
	return &ui.Viewer{ID: l.User.ID, Username: l.User.Username, Name: l.User.Name, Admin: l.User.Role == store.RoleAdmin}
}

// carryOn gives the browser the token of a session that has just begun or been renewed.
func (v *visit) carryOn(w http.ResponseWriter, in login.SignedIn) {
	v.cookie.Set(w, in.Token, in.Session, v.p.Clock())
	if in.Devices != "" {
		http.SetCookie(w, v.cookie.Own(login.DeviceCookie, in.Devices, login.DeviceLife()))
	}
}

type visitKey struct{}

func withVisit(r *http.Request, v *visit) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
}

// LiveFrom returns the session of a request that the portal handed on. It is nil elsewhere.
func LiveFrom(r *http.Request) *session.Live {
	if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
		return v.live
	}
	return nil
}

// ActorFrom returns who acts in a request that the portal handed on: the zero Actor, who may do nothing, elsewhere.
func ActorFrom(r *http.Request) account.Actor {
	if v, ok := r.Context().Value(visitKey{}).(*visit); ok && v.live != nil {
		return v.actor(r)
	}
	return account.Actor{}
}

// back is where a sign-in leads afterwards.
type back struct {
	raw      string // what to carry in a form, "" for none
	location string // where to go: never empty
	external bool   // another host
}

// home is where people go when nothing else is known.
const home = "/"

// returning judges the return-to values of a request. Two of them, or one in the query and another in the form, are
// none: which one was checked and which one is used must not be a question.
func (v *visit) returning(r *http.Request, form *ui.Form) back {
	var values []string
	if q, err := url.ParseQuery(r.URL.RawQuery); err == nil {
		values = q["rt"]
	}
	if form != nil {
		values = append(values, form.All("rt")...)
	}
	if values = slices.Compact(values); len(values) != 1 { // the same one twice is one
		return back{location: home}
	}
	target, external, ok := v.p.guard.Check(v.q, values[0])
	if !ok {
		return back{location: home}
	}
	return back{raw: target, location: target, external: external}
}

// shown returns the path of a request as it may be written to a log. r has no prefix any more, or never had.
func (v *visit) shown(r *http.Request) string {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, v.q.Prefix); ok {
		path = rest
	}
	return reqctx.Loggable(v.q.Prefix+path, v.q.Prefix)
}

// targets returns the origins that a form may lead to.
func (b back) targets() []string {
	if !b.external {
		return nil
	}
	u, err := url.Parse(b.location)
	if err != nil {
		return nil
	}
	return []string{u.Scheme + "://" + u.Host}
}

// own judges the page of ours to return to, "" for none.
func (v *visit) own(r *http.Request, form *ui.Form, name string) string {
	var values []string
	if q, err := url.ParseQuery(r.URL.RawQuery); err == nil {
		values = q[name]
	}
	if form != nil {
		values = append(values, form.All(name)...)
	}
	if values = slices.Compact(values); len(values) != 1 {
		return ""
	}
	target, ok := v.p.guard.CheckOwn(v.q, values[0])
	if !ok {
		return ""
	}
	return target
}

// ownLoginURL returns the address of the sign-in page that returns to the page of ours that r asked for. r has no
// prefix any more.
func (p *Portal) ownLoginURL(q *reqctx.Request, r *http.Request) string {
	to := q.Prefix + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	if _, ok := p.guard.CheckOwn(q, to); !ok {
		return q.Prefix + "/login"
	}
	return q.Prefix + "/login?to=" + url.QueryEscape(to)
}

// loginBackTo returns the address of the sign-in page that returns to a page of ours or of the app's, which was judged
// already; "" for neither.
func (p *Portal) loginBackTo(q *reqctx.Request, back string) string {
	name := "rt"
	if _, ok := p.guard.CheckOwn(q, back); ok {
		name = "to"
	}
	if back == "" {
		return q.Prefix + "/login"
	}
	return q.Prefix + "/login?" + name + "=" + url.QueryEscape(back)
}
