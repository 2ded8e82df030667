package admin

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

func (h audit) exportCSV(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.EventQuery(q.Query, h.Clock())
	if err != nil {
		return err
	}
	query.Cursor, query.Limit = "", exportPage
	var f csvFile
	return download(h.Deps, w, r, q, "audit.export", "audit.csv", "text/csv; charset=utf-8", func() (bool, error) {
		if f.w == nil {
			f = newCSV(w, "id", "time", "actor_kind", "actor_id", "actor", "action", "target_id", "target", "outcome", "ip",
				"user_agent", "request_id", "details")
		}
		more, err := h.readPage(r.Context(), &query, func(e store.Event) error {
			f.line(e.ID, e.Time.UTC().Format(time.RFC3339Nano), string(e.ActorKind()), e.ActorID, e.Actor, e.Action, e.TargetID,
				e.Target, string(e.Outcome), e.IP, e.UserAgent, e.RequestID, joinDetails(e.Details))
			return nil
		})
		if err != nil {
			return false, err
		}
		return more, f.flush()
	})
}

func (h audit) exportJSONL(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.EventQuery(q.Query, h.Clock())
	if err != nil {
		return err
	}
	query.Cursor, query.Limit = "", exportPage
	enc := json.NewEncoder(w)
	return download(h.Deps, w, r, q, "audit.export", "audit.jsonl", "application/jsonl", func() (bool, error) {
		return h.readPage(r.Context(), &query, func(e store.Event) error { return enc.Encode(api.NewEvent(e)) })
	})
}

// readPage reads the audit log page by page.
func (h audit) readPage(ctx context.Context, q *store.EventQuery, each func(store.Event) error) (bool, error) {
	list, err := h.Store.Events(ctx, *q)
	if err != nil {
		return false, err
	}
	for _, e := range list.Items {
		if err := each(e); err != nil {
			return false, err
		}
	}
	q.Cursor = list.Next
	return q.Cursor != "", nil
}

func joinDetails(details map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(details)) {
		parts = append(parts, k+"="+details[k])
	}
	return strings.Join(parts, "; ")
}
