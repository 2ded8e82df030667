package account

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Activity shows one's own part of the audit log.
type Activity struct{ *web.Deps }

// activityPage is the data of the "activity" page.
type activityPage struct {
	Items []activityItem
	Next  string
}

type activityItem struct {
	Time    time.Time
	What    string
	Outcome store.Outcome
	Result  string
	Who     string
	IP      string
	Device  string
}

// show shows what happened to the person's account, and not what an administrator did to those of others. Of what
// others did it tells who and when, but not from where.
func (h *Activity) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u := q.Live.User
	list, err := h.Store.Events(r.Context(), store.EventQuery{
		TargetID: u.ID, Cursor: r.URL.Query().Get("cursor"),
		Limit: perPage,
	})
	if err != nil {
		return err
	}
	d := activityPage{Next: nextPage(q.At("/account/activity"), list.Next)}
	for _, e := range list.Items {
		it := activityItem{
			Time: e.Time, What: q.Action(e.Action), Outcome: e.Outcome,
			Result: q.Text("outcome." + string(e.Outcome)), Who: q.ActorName(e.ActorID, e.Actor),
		}
		if e.ActorID == u.ID || e.ActorID == "" {
			it.IP, it.Device = e.IP, q.Device(e.UserAgent)
		}
		d.Items = append(d.Items, it)
	}
	q.UI.Write(w, r, accountPage(h.Deps, q, "activity", "activity", d))
	return nil
}
