package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Event is an entry of the audit log.
type Event struct {
	ID        string            `json:"id"`
	Time      time.Time         `json:"time"`
	Actor     string            `json:"actor"`
	ActorKind store.ActorKind   `json:"actor_kind" enum:"person,command_line,environment,start_up,provider,anonymous,system"` //nolint:lll // one tag
	ActorID   string            `json:"actor_id"`
	Action    string            `json:"action"`
	Target    string            `json:"target"`
	Outcome   store.Outcome     `json:"outcome" enum:"success,failure,denied"`
	IP        string            `json:"ip"`
	RequestID string            `json:"request_id"`
	Details   map[string]string `json:"details"`
}

// NewEvent returns an entry of the audit log as it travels.
func NewEvent(e store.Event) Event {
	out := Event{
		ID: e.ID, Time: e.Time.UTC(), Actor: e.Actor, ActorKind: e.ActorKind(), ActorID: e.ActorID, Action: e.Action,
		Target: e.Target, Outcome: e.Outcome, IP: e.IP, RequestID: e.RequestID, Details: e.Details,
	}
	if out.Details == nil {
		out.Details = map[string]string{}
	}
	return out
}

// audit is the endpoint for the audit log.
type audit struct{ *web.Deps }

func (a audit) routes() []web.Route {
	params := slices.Concat([]string{
		"q", "actor", "actor_kind", "action", "outcome", "user", "from", "to", "since",
	}, pageParams)
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/audit", Access: web.Admin, Handle: a.list,
			Doc: &web.Operation{
				Summary: "Read the audit log, newest first",
				Params:  params, Gives: List[Event]{}, Status: http.StatusOK,
			},
		},
	}
}

func (a audit) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := EventQuery(q.Query, a.Clock())
	if err != nil {
		return err
	}
	if query.Cursor, query.Limit, err = readPage(q.Query); err != nil {
		return err
	}
	if err := auditRead(a.Deps, r, q, "audit.export", query.Limit); err != nil {
		return err
	}
	page, err := a.Store.Events(r.Context(), query)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, newList(page.Items, page.Next, NewEvent))
	return nil
}
