package admin

import (
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// countLimit is how far a page counts: beyond that it says "more". Counting a million rows would take longer than all
// else on the page.
const (
	countLimit = 10_000
	// unindexedLimit is for counts that no index has ready.
	unindexedLimit = 1000
)

// countNumber returns a count that goes as far as a limit.
func countNumber(q *web.Request, n, limit int) string {
	if n > limit {
		return q.Text("count.more", "n", limit)
	}
	return strconv.Itoa(n)
}

// countText returns the text of a count that goes as far as a limit: more says that there are more.
func countText(q *web.Request, id, more string, n, limit int) string {
	if n > limit {
		return q.Text(more, "n", limit)
	}
	return q.Text(id, "n", n)
}

// Page sizes of the lists.
const defaultPageSize = 25

var pageSizes = []string{"25", "50", "100"}

func pageSize(q url.Values) (int, error) {
	s, err := api.Choice(q, "size", pageSizes...)
	if err != nil || s == "" {
		return defaultPageSize, err
	}
	return strconv.Atoi(s)
}

// params are query parameters of a link.
type params url.Values

// filter returns what an address selects, without the place in the list.
func filter(q url.Values) params { return params(api.Filter(q)) }

// with returns a copy with more or other parameters.
func (p params) with(more url.Values) params {
	out := params{}
	for _, from := range []url.Values{url.Values(p), more} {
		for k, values := range from {
			out[k] = values
		}
	}
	return out
}

// suffix returns the encoded query with its question mark, "" for none.
func (p params) suffix() string {
	if len(p) == 0 {
		return ""
	}
	return "?" + url.Values(p).Encode()
}

// cursorLinks returns the links of a list that is read in one direction: to its beginning and to the next page.
func cursorLinks(q *web.Request, path, cursor string) []ui.Link {
	var links []ui.Link
	f := filter(q.Query)
	if q.Query.Get("cursor") != "" {
		links = append(links, ui.Link{Href: q.At(path) + f.suffix(), Text: q.Text("table.newest")})
	}
	if cursor != "" {
		links = append(links, ui.Link{
			Href: q.At(path) + f.with(map[string][]string{"cursor": {cursor}}).suffix(),
			Text: q.Text("list.next"),
		})
	}
	return links
}

// setPages gives a table the links to its other pages.
func (t *table) setPages(q *web.Request, links []ui.Link) {
	t.Pages, t.PagesAs = links, q.Text("table.pages")
}

// setNoMoreRows makes a later page without rows say that there is no more, as the pages before it may have had some: a
// search came to the end without a match, or the rows were deleted.
func setNoMoreRows(q *web.Request, t *table, cursor string) {
	if cursor != "" {
		t.Empty = q.Text("table.no_more")
	}
}

// setPartial makes a page say that the search is not at its end: it stops after very many rows, even if the page is not
// full.
func setPartial(q *web.Request, t *table, stopped bool) {
	if stopped {
		t.Caption, t.Empty = q.Text("table.part"), q.Text("table.none_yet")
	}
}

// setSearchedUntil makes a page say how far back a search of the audit log has come.
func setSearchedUntil(q *web.Request, t *table, at time.Time) {
	if !at.IsZero() {
		far := q.Text("audit.searched", "time", at.UTC().Format("2006-01-02 15:04:05")+" UTC")
		t.Caption, t.Empty = far+" "+q.Text("table.part"), q.Text("table.none_yet")+" "+far
	}
}
