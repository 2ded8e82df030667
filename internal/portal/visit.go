package portal

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
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

// returnTo checks the return-to values of a request, in its query and in a form.
func (v *visit) returning(r *http.Request, form *ui.Form) returnto.Target {
	return v.p.guard.Target(v.q, values(r, form, "rt"))
}

// values returns what a request says under a name, in its query and in a form. A malformed query says nothing.
func values(r *http.Request, form *ui.Form, name string) []string {
	var list []string
	if q, err := url.ParseQuery(r.URL.RawQuery); err == nil {
		list = q[name]
	}
	if form != nil {
		list = append(list, form.All(name)...)
	}
	return list
}

// shown returns the path of a request as it may be written to a log. r has no prefix any more, or never had.
func (v *visit) shown(r *http.Request) string {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, v.q.Prefix); ok {
		path = rest
	}
	return reqctx.Loggable(v.q.Prefix+path, v.q.Prefix)
}

// own judges the page of ours to return to, "" for none.
func (v *visit) own(r *http.Request, form *ui.Form, name string) string {
	return v.p.guard.OwnPage(v.q, values(r, form, name))
}
