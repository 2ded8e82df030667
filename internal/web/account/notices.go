package account

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// fewCodes is how many recovery codes are so few that the person is told.
const fewCodes = 2

// banners returns what somebody has to do about the own second factors.
func banners(q *web.Request, o account.FactorOverview) []ui.Banner {
	var list []ui.Banner
	codes := func(text string) ui.Banner {
		return ui.Banner{Kind: ui.Warn, Text: text, Href: q.At(recoveryCodesPage), Link: q.Text("codes.title")}
	}
	if account.CodesNeedPassword(&q.Live.Session) {
		list = append(list, ui.Banner{
			Kind: ui.Warn, Text: q.Text("banner.replace"), Href: q.At(twoFactorPage), Link: q.Text("account.two-factor"),
		})
	}
	switch {
	case !o.Any():
	case o.Codes.Left == 0:
		list = append(list, codes(q.Text("codes.none")))
	case o.Codes.Left <= fewCodes:
		list = append(list, codes(q.Text("banner.few", "n", o.Codes.Left)))
	case !o.CodesSaved:
		list = append(list, codes(q.Text("banner.unsaved")))
	}
	return list
}

// notice is something that has happened to somebody's second factors.
type notice struct {
	Text string
	Time time.Time // of the last one
	Who  string
	IP   string
	Dev  string
}

// noticesData are the notices that have not been seen.
type noticesData struct {
	Items []notice
	Seen  string // until when they go
	Wrong bool   // wrong codes are among them
}

// notices returns what has happened to the person's second factors since they last said to have seen it. Wrong codes,
// each of which came after the right password, are one line.
func (h *Overview) notices(r *http.Request, q *web.Request) (noticesData, error) {
	u := q.Live.User
	events, err := h.Accounts.Factors.Notices(r.Context(), u)
	if err != nil || len(events) == 0 {
		return noticesData{}, err
	}
	d := noticesData{Seen: strconv.FormatInt(events[0].Time.UnixMilli(), 10)}
	wrong, at := 0, -1
	for _, e := range events {
		n := notice{Text: q.Action(e.Action), Time: e.Time, Who: q.ActorName(e.ActorID, e.Actor)}
		if name := e.Details["name"]; name != "" {
			n.Text += ": " + name
		}
		if e.ActorID == u.ID || e.ActorID == "" {
			n.IP, n.Dev = e.IP, q.Device(e.UserAgent)
		}
		if e.Action == "mfa.fail" && e.Outcome == store.Failure {
			if wrong++; wrong > 1 {
				continue
			}
			at, n.Who, d.Wrong = len(d.Items), "", true
		}
		d.Items = append(d.Items, n)
	}
	if at >= 0 {
		d.Items[at].Text = q.Text("notices.wrong", "n", wrong)
	}
	return d, nil
}
