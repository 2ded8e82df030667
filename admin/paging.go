package admin

import (
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// countLimit is how far a page counts: beyond that it says "more". Counting a million rows would take longer than all
// else on the page.
const (
	countLimit = 10_000
	// fewLimit is for counts that no index has ready.
	fewLimit = 1000
)

// number writes a count that goes as far as a limit.
func (a *admin) number(q *web.Request, n, limit int) string {
	if n > limit {
		return q.Text("count.more", "n", limit)
	}
	return strconv.Itoa(n)
}

// counted returns the text of a count that goes as far as a limit: more says that there are more.
func (a *admin) counted(q *web.Request, id, more string, n, limit int) string {
	if n > limit {
		return q.Text(more, "n", limit)
	}
	return q.Text(id, "n", n)
}

// atEnd lets a later page without rows say that there is no more, as the pages before it may have had some. So it is
// where a search goes on to the end and finds nothing, or where the rows were deleted.
func (a *admin) atEnd(q *web.Request, t *table, cursor string) {
	if cursor != "" {
		t.Empty = q.Text("table.no_more")
	}
}

// goOn tells, on a page that a search could not fill before it had passed over very many rows, that it goes on.
func (a *admin) goOn(q *web.Request, t *table, stopped bool) {
	if stopped {
		t.Caption, t.Empty = q.Text("table.part"), q.Text("table.none_yet")
	}
}

// searchedTo tells how far back a search of the audit log has come.
func (a *admin) searchedTo(q *web.Request, t *table, at time.Time) {
	if !at.IsZero() {
		far := q.Text("audit.searched", "time", at.UTC().Format("2006-01-02 15:04:05")+" UTC")
		t.Caption, t.Empty = far+" "+q.Text("table.part"), q.Text("table.none_yet")+" "+far
	}
}
