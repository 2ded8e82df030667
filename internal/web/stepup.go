package web

import (
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// StepUpPage is where somebody proves again who they are, below the mount prefix.
const StepUpPage = "/reauth"

// StepUpReturn returns where a step-up leads afterwards: to own, a page of ours, or else to t, a place of the app on
// this site. A page of ours beside a sealed way back is two places, and neither.
func (q *Request) StepUpReturn(form *ui.Form) (t returnto.Target, own string) {
	own = q.OwnPage(form, "rt")
	if own != "" && len(q.values(form, "back")) > 0 {
		return returnto.Target{Location: returnto.Home}, ""
	}
	if t = q.ReturnTo(form); t.External {
		t = returnto.Target{Location: returnto.Home}
	}
	return t, own
}

// StepUpQuery returns the parameters that [Request.StepUpReturn] reads.
func StepUpQuery(t returnto.Target, own string) url.Values {
	if own != "" {
		return url.Values{"rt": {own}}
	}
	return t.Query("")
}

// StepUpURL returns the address of the step-up that leads to own, or else to t, afterwards.
func (q *Request) StepUpURL(t returnto.Target, own string) string {
	return returnto.At(q.At(StepUpPage), StepUpQuery(t, own))
}

// pageBefore returns the page of ours that a form was sent from, as the browser says; "" for none.
func (q *Request) pageBefore() string {
	u, err := url.Parse(q.http.Referer())
	if err != nil || u.User != nil {
		return ""
	}
	if origin, ok := reqctx.OriginOf(u); !ok || origin != q.Origin() {
		return ""
	}
	own, _ := q.deps.Guard.CheckOwn(q.Request, u.RequestURI())
	return own
}
