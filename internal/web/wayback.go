package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The way back to addresses that "rt" refuses, because a stranger's link could mean another place by them: what the
// gate itself was asked for goes along sealed. That it is sealed proves little, for anybody can have an address sealed
// by asking for it. So it counts on the host that it was asked for on, in the browser that asked, for an hour, and
// leads behind the site's own origin.
const (
	sealedReturn = "return"
	returnLife   = time.Hour
)

// ceremonyCookie is the name, after the prefix, of the random value that binds sealed values to a browser. Tabs that a
// browser loads at once ask without it, and are given different ones, of which it keeps the last under this name. So
// each is there under a name of its own as well while what is sealed for it counts.
const (
	ceremonyCookie       = "ceremony"
	ceremonyCookiePrefix = "ceremony-"
)

// bindingMark returns what tells a binding from others. It is no secret: it stands in addresses.
func bindingMark(binding string) string { return store.HashToken(binding).String()[:12] }

// sealReturn seals what the browser asked for, and gives it the cookie that this is bound to. It is "" where that
// cannot be: then the way leads to the front page.
func (q *Request) sealReturn(w http.ResponseWriter, u *url.URL) string {
	target, ok := returnto.Requested(q.Request, u)
	if !ok || q.Host == "" {
		return ""
	}
	binding := q.Cookie.PrefixedValue(q.http, ceremonyCookie)
	fresh := !store.ValidToken(binding)
	if fresh {
		binding = store.NewToken()
	}
	plain := strconv.FormatInt(q.deps.Clock().Add(returnLife).Unix(), 10) + " " + target
	sealed, err := q.deps.seal.Seal(q.http.Context(), []byte(plain), sealedReturn, q.returnRow(binding))
	if err != nil {
		return ""
	}
	mark := bindingMark(binding)
	if fresh {
		http.SetCookie(w, q.Cookie.Prefixed(ceremonyCookie, binding, 0))
		http.SetCookie(w, q.Cookie.Prefixed(ceremonyCookiePrefix+mark, binding, returnLife))
	}
	return mark + "." + sealed
}

// binding returns the value of this browser that has a mark, "" where it has none.
func (q *Request) binding(mark string) string {
	for _, name := range []string{ceremonyCookie, ceremonyCookiePrefix + mark} {
		if value := q.Cookie.PrefixedValue(q.http, name); store.ValidToken(value) && bindingMark(value) == mark {
			return value
		}
	}
	return ""
}

// returnRow binds a sealed return to this site and to a browser.
func (q *Request) returnRow(binding string) string {
	return q.Origin() + " " + store.HashToken(binding).String()
}

// openReturn returns where a sealed value leads, with the fragment that a script of ours may have added.
func (q *Request) openReturn(value string) returnto.Target {
	none := returnto.Target{Location: returnto.Home}
	whole, fragment := returnto.Fragment(value)
	mark, sealed, _ := strings.Cut(whole, ".")
	binding := q.binding(mark)
	if sealed == "" || binding == "" || q.Host == "" {
		return none
	}
	plain, err := q.deps.seal.Open(q.http.Context(), sealed, sealedReturn, q.returnRow(binding))
	if err != nil {
		return none
	}
	until, target, _ := strings.Cut(string(plain), " ")
	if end, err := strconv.ParseInt(until, 10, 64); err != nil || !q.deps.Clock().Before(time.Unix(end, 0)) {
		return none
	}
	return returnto.Target{Sealed: whole + fragment, Location: q.Origin() + target + fragment}
}

// ReturnTo checks the return-to values of the request, in its query and in form, which may be nil. A plain one and a
// sealed one are two, and none: which one was checked and which one is used must not be a question.
func (q *Request) ReturnTo(form *ui.Form) returnto.Target {
	plain, sealed := q.values(form, "rt"), q.values(form, "back")
	switch {
	case len(sealed) == 0:
		return q.deps.Guard.Target(q.Request, plain)
	case len(plain) == 0:
		if value, ok := returnto.Single(sealed); ok {
			return q.openReturn(value)
		}
	}
	return returnto.Target{Location: returnto.Home}
}

// Restore checks the return that a sign-in through a provider has carried, and returns where to go: a page of ours in
// own, or a target.
func (q *Request) Restore(carried string) (t returnto.Target, own string) {
	if sealed, ok := strings.CutPrefix(carried, returnto.MarkSealed); ok {
		return q.openReturn(sealed), ""
	}
	return q.deps.Guard.Restore(q.Request, carried)
}

// LoginURL returns the address of the sign-in page that returns to u, what the browser asked for; see
// [returnto.Guard.LoginURL].
func (s Responses) LoginURL(q *reqctx.Request, u *url.URL) (address string, complete bool) {
	return s.deps.Guard.LoginURL(q, u)
}

// SealedLoginURL is LoginURL for an address that only a sealed value can carry.
func (s Responses) SealedLoginURL(w http.ResponseWriter, r *http.Request, u *url.URL) string {
	return s.request(r, true).loginURL(w, u)
}

// loginURL returns the address of the sign-in page that returns to u, sealed where it has to be.
func (q *Request) loginURL(w http.ResponseWriter, u *url.URL) string {
	address, complete := q.deps.Guard.LoginURL(q.Request, u)
	if complete {
		return address
	}
	if sealed := q.sealReturn(w, u); sealed != "" {
		return address + "?back=" + sealed // in characters that need no escape
	}
	return address
}
