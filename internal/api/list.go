package api

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// List is a page of a list; Next is the cursor of the next one, "" on the last.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// newList returns a page of rows, each as it travels.
func newList[R, T any](rows []R, next string, shape func(R) T) List[T] {
	out := List[T]{Items: make([]T, len(rows)), Next: next}
	for i, row := range rows {
		out.Items[i] = shape(row)
	}
	return out
}

// Bounds of the page size of a list.
const (
	defaultLimit = 50
	maxLimit     = 1000
)

var pageParams = []string{"cursor", "limit"}

// readPage reads cursor and limit of a list. A limit of 0 is the store's default.
func readPage(query url.Values) (cursor string, limit int, err error) {
	if s := query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxLimit {
			return "", 0, ui.BadInput(http.StatusBadRequest, "input.limit", ui.Fault("limit", "input.limit_field"))
		}
	}
	return query.Get("cursor"), limit, nil
}

// auditRead audits a read that takes so much of a list that it is an export, whatever it is called.
func auditRead(d *web.Deps, r *http.Request, q *web.Request, action string, limit int) error {
	if limit == 0 {
		limit = defaultLimit
	}
	details := ExportDetails("json", q.Query)
	details["limit"] = strconv.Itoa(limit)
	return d.Accounts.AuditListRead(r.Context(), q.Actor(), action, limit, details)
}

// nonNil returns an empty list for nil, so that programs always find a list.
func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// timeOrNil returns a time in UTC, nil for the zero time.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// millisOrNil is [timeOrNil] in whole milliseconds.
func millisOrNil(t time.Time) *time.Time { return timeOrNil(t.Truncate(time.Millisecond)) }

func noContent(w http.ResponseWriter, r *http.Request) {
	ui.Harden(w, r)
	w.WriteHeader(http.StatusNoContent)
}
