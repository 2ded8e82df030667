package returnto

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Home is where people go when nothing else is known.
const Home = "/"

// Target is where a sign-in leads afterwards.
type Target struct {
	Raw      string // what to carry in a form as "rt", "" for none
	Sealed   string // what to carry as "back", "" for none: see [Requested]
	Location string // where to go: never empty
	External bool   // another host
}

// Known reports whether somebody was going anywhere.
func (t Target) Known() bool { return t.Raw != "" || t.Sealed != "" }

// Query returns the parameters that carry the way back: to own, a page of ours, or else to t.
func (t Target) Query(own string) url.Values {
	switch {
	case own != "":
		return url.Values{"to": {own}}
	case t.Raw != "":
		return url.Values{"rt": {t.Raw}}
	case t.Sealed != "":
		return url.Values{"back": {t.Sealed}}
	}
	return url.Values{}
}

// Target checks the return-to values of a request. Two of them, or one in the query and another in the form, are none:
// which one was checked and which one is used must not be a question.
func (g *Guard) Target(q *reqctx.Request, values []string) Target {
	value, ok := Single(values)
	target, external := "", false
	if ok {
		target, external, ok = g.Check(q, value)
	}
	if !ok {
		return Target{Location: Home}
	}
	return Target{Raw: target, Location: target, External: external}
}

// OwnPage checks the values that name a page of ours to return to; "" is none. Two of them are none.
func (g *Guard) OwnPage(q *reqctx.Request, values []string) string {
	value, ok := Single(values)
	if !ok {
		return ""
	}
	target, _ := g.CheckOwn(q, value)
	return target
}

// Single returns the one value that there is. The same one twice is one.
func Single(values []string) (string, bool) {
	if len(slices.Compact(slices.Clone(values))) != 1 {
		return "", false
	}
	return values[0], true
}

// FormTargets returns the origins that a form may lead to, for the page's form-action.
func (t Target) FormTargets() []string {
	if !t.External {
		return nil
	}
	u, err := url.Parse(t.Location)
	if err != nil {
		return nil
	}
	return []string{u.Scheme + "://" + u.Host}
}

// RedirectTarget returns where a form of ours leads when it is done: to own, a page of ours, or to t, by way of the
// page in between where that is on another host, or to otherwise where neither was asked for.
func (t Target) RedirectTarget(q *reqctx.Request, own, otherwise string) string {
	switch {
	case own != "":
		return own
	case t.External:
		return q.Prefix + "/continue?rt=" + url.QueryEscape(t.Raw)
	case t.Known():
		return t.Location
	}
	return otherwise
}

// Return-to values travel with a sign-in through a provider as what they were checked to be, and are checked again at
// its end.
const (
	markApp = "a:" // a place in the app, or on a trusted host
	markOwn = "o:" // one of our pages
	// MarkSealed begins a carried value that is sealed, and for the caller to open.
	MarkSealed = "s:"
)

// Carry returns the value that [Guard.Restore] reads: of own, a page of ours, or else of t; "" for neither.
func Carry(t Target, own string) string {
	switch {
	case own != "":
		return markOwn + own
	case t.Raw != "":
		return markApp + t.Raw
	case t.Sealed != "":
		return MarkSealed + t.Sealed
	}
	return ""
}

// Restore checks a carried value again and returns where to go: a page of ours in own, or a target.
func (g *Guard) Restore(q *reqctx.Request, carried string) (t Target, own string) {
	t = Target{Location: Home}
	if raw, ok := strings.CutPrefix(carried, markOwn); ok {
		own, _ = g.CheckOwn(q, raw)
		return t, own
	}
	if raw, ok := strings.CutPrefix(carried, markApp); ok {
		if target, external, ok := g.Check(q, raw); ok {
			t = Target{Raw: target, Location: target, External: external}
		}
	}
	return t, ""
}
