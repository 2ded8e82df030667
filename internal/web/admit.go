package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// PasswordPage is where somebody who has to change the password is sent, below the mount prefix.
const PasswordPage = "/account/password"

// checkOrigin refuses requests that another site made the browser send (CSRF), and, for data of the signed-in person,
// reading ones, too.
func (rt *Router) checkOrigin(r *http.Request, q *Request, route Route) error {
	if route.CrossSite {
		return nil
	}
	err := rt.cross.Check(r)
	if err == nil && q.API {
		err = rt.cross.CheckRead(r)
	}
	return err
}

// admit looks up the session as far as the route wants it, and refuses anyone who may not come. Of a program, the front
// has looked up who acts; the rest holds for it as well.
func (rt *Router) admit(r *http.Request, q *Request, a Access) error {
	if a == Public {
		return nil
	}
	if !q.Program() {
		if err := q.lookUp(r, a != Optional); err != nil {
			return err
		}
	}
	if a == Optional {
		return nil
	}
	if err := rt.deps.Setup.Ready(r.Context()); err != nil {
		return err
	}
	if q.Live == nil {
		return ErrSignIn
	}
	if q.Live.User.MustChange && a != AnySignedIn {
		if q.API {
			return &account.ForbiddenError{Code: account.CodeMustChange, Text: q.Text("error.must_change")}
		}
		return &redirect{q.At(PasswordPage)}
	}
	return nil
}

// lookUp looks up the session; use says whether that counts as a use of it. An error is technical: whether there is one
// could not be found out.
func (q *Request) lookUp(r *http.Request, use bool) error {
	find := q.deps.Sessions.Peek
	if use {
		find = q.deps.Sessions.Resolve
	}
	l, err := find(r.Context(), q.Token)
	switch {
	case err != nil:
	case use:
		l, err = q.deps.OIDC.Refresh(r.Context(), q.Token, l)
	default:
		raw := l
		if l, err = q.deps.OIDC.Check(r.Context(), raw); errors.Is(err, session.ErrNone) {
			q.Lapsed = raw
		}
	}
	if err == nil {
		q.Live = q.deps.Login.Second.Acting(l)
	} else if errors.Is(err, session.ErrNone) {
		err = nil
	}
	if observe, ok := r.Context().Value(observerKey{}).(func(*session.Live)); ok {
		observe(q.Live)
	}
	return err
}

type observerKey struct{}

// WithSessionObserver returns a copy of r that tells observe who is signed in, nil for nobody, when the session has
// been looked up: so that the gate, which logs it, does not look it up again.
func WithSessionObserver(r *http.Request, observe func(*session.Live)) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), observerKey{}, observe))
}
