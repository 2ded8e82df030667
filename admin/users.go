package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// turned returns the opposite order.
func turned(s store.UserSort) store.UserSort {
	if rest, ok := strings.CutPrefix(string(s), "-"); ok {
		return store.UserSort(rest)
	}
	return "-" + s
}

// Page sizes of the lists.
const defaultSize = 25

var sizes = []string{"25", "50", "100"}

func pageSize(q url.Values) (int, error) {
	s, err := api.Choice(q, "size", sizes...)
	if err != nil || s == "" {
		return defaultSize, err
	}
	return strconv.Atoi(s)
}

// userPage is a page of users with the addresses' parameters of the pages beside it, nil for none.
type userPage struct {
	items      []store.User
	prev, next url.Values
}

// stopped reports whether there is more in the direction in which the page was read.
func (p userPage) stopped(back bool) bool {
	if back {
		return p.prev != nil
	}
	return p.next != nil
}

// pageOfUsers reads a page forwards, or backwards where the address says dir=back: the turned order, turned again.
func (a *admin) pageOfUsers(r *http.Request, q store.UserQuery, back bool) (userPage, error) {
	if back {
		q.Sort = turned(q.Sort)
	}
	list, err := a.Store.Users(r.Context(), q)
	if err != nil {
		return userPage{}, err
	}
	out := userPage{items: list.Items}
	ahead, behind := list.Next, list.Prev
	if back {
		slices.Reverse(out.items)
		ahead, behind = behind, ahead
	}
	if ahead != "" {
		out.next = url.Values{"cursor": {ahead}}
	}
	if behind != "" {
		out.prev = url.Values{"cursor": {behind}, "dir": {"back"}}
	}
	return out, nil
}

// listUsers shows users; search, filters, order and page are in the address.
func (a *admin) listUsers(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.UserQuery(q.Query)
	if err != nil {
		return err
	}
	if query.Limit, err = pageSize(q.Query); err != nil {
		return err
	}
	dir, err := api.Choice(q.Query, "dir", "back")
	if err != nil {
		return err
	}
	list, err := a.pageOfUsers(r, query, dir == "back")
	if err != nil {
		return err
	}
	caption, err := a.howMany(q, r, query, list)
	if err != nil {
		return err
	}
	t := a.userTable(q, query, list.items)
	t.Caption = caption
	t.Pages = a.userPages(q, list)
	a.atEnd(q, t, query.Cursor)
	a.goOn(q, t, len(list.items) < query.Limit && list.stopped(dir == "back"))
	s := &screen{
		Actions: []action{
			{Href: q.At("/admin/users/invite"), Text: q.Text("users.invite"), Main: true},
			{Href: q.At("/admin/users/export.csv" + filter(q.Query).suffix()), Text: q.Text("table.csv")},
		},
		Search: a.userSearch(q, query), Sections: []section{{Table: t}},
	}
	q.UI.Write(w, r, a.page(q, "users", q.Text("admin.users"), s))
	return nil
}

// howMany says how many users a list holds. A search is not counted past the page that it fills: counting would read
// every user, where the page stops at the first few that match.
func (a *admin) howMany(q *web.Request, r *http.Request, query store.UserQuery, list userPage) (string, error) {
	n := len(list.items)
	switch {
	case query.Cursor == "" && list.next == nil && list.prev == nil:
		return q.Text("users.caption", "n", n), nil
	case query.Text != "" || query.Group != "" || query.Provider != "":
		return q.Text("users.caption_part", "n", n), nil
	}
	query.Limit = countLimit
	if query.Status == "active" || query.Role == store.RoleUser {
		query.Limit = fewLimit
	}
	n, err := a.Store.CountUsers(r.Context(), query)
	return a.counted(q, "users.caption", "users.caption_more", n, query.Limit), err
}

// params are parameters of an address in the making.
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

// suffix returns the parameters as they stand in an address, with the question mark.
func (p params) suffix() string {
	if len(p) == 0 {
		return ""
	}
	return "?" + url.Values(p).Encode()
}

func (a *admin) userPages(q *web.Request, list userPage) []ui.Link {
	if list.prev == nil && list.next == nil && q.Query.Get("cursor") == "" {
		return nil
	}
	base, f := q.At("/admin/users"), filter(q.Query)
	links := []ui.Link{{Href: base + f.suffix(), Text: q.Text("table.first")}}
	if list.prev != nil {
		links = append(links, ui.Link{Href: base + f.with(list.prev).suffix(), Text: q.Text("table.previous")})
	}
	if list.next != nil {
		links = append(links, ui.Link{Href: base + f.with(list.next).suffix(), Text: q.Text("table.following")})
	}
	return append(links, ui.Link{Href: base + f.with(url.Values{"dir": {"back"}}).suffix(), Text: q.Text("table.last")})
}

func (a *admin) userTable(q *web.Request, query store.UserQuery, users []store.User) *table {
	t := &table{
		ID: "users", Empty: q.Text("users.none"), PagesAs: q.Text("table.pages"),
		Bulk: &bulkView{Action: q.At("/admin/users/bulk"), Name: q.Text("bulk.name"), Label: q.Text("bulk.label"), All: q.Text("bulk.all"), Submit: q.Text("bulk.go")},
	}
	for _, do := range bulkActs {
		t.Bulk.Options = append(t.Bulk.Options, option{Value: do, Text: q.Text("bulk." + do)})
	}
	if f := filter(q.Query); len(f) > 0 {
		t.Empty = q.Text("table.no_match")
		t.Clear = &ui.Link{Href: q.At("/admin/users"), Text: q.Text("table.clear")}
	}
	for _, c := range []struct {
		id   string
		sort store.UserSort
	}{{"users.user", store.SortUsername}, {"users.email", store.SortEmail}, {"users.role", ""}, {"users.status", ""},
		{"users.last_login", store.SortLastLogin}, {"users.created", store.SortCreated}} {
		t.Columns = append(t.Columns, a.sortable(q, query.Sort, q.Text(c.id), c.sort))
	}
	for _, u := range users {
		t.Rows = append(t.Rows, row{Pick: u.ID, Named: q.Text("bulk.pick", "name", u.Username), Cells: []cell{
			{Head: true, Text: u.Username, Href: q.At("/admin/users/" + u.ID), Small: u.Name},
			{Text: u.Email}, {Text: q.Text("role." + string(u.Role))}, {Marks: a.marks(q, u)},
			{Time: u.LastLoginAt, Never: q.Text("users.never")}, {Time: u.CreatedAt},
		}})
	}
	return t
}

// sortable makes a column that sorts, and turns the order when it sorts already.
func (a *admin) sortable(q *web.Request, now store.UserSort, text string, by store.UserSort) column {
	if by == "" {
		return column{Text: text}
	}
	c, want := column{Text: text}, by
	switch now {
	case by:
		c.Sorted, want = "ascending", "-"+by
	case "-" + by:
		c.Sorted = "descending"
	}
	c.Href = q.At("/admin/users") + filter(q.Query).with(url.Values{"sort": {string(want)}}).suffix()
	return c
}

// marks says in words what is particular about an account.
func (a *admin) marks(q *web.Request, u store.User) []mark {
	var list []mark
	switch {
	case u.Pending:
		list = append(list, warn(q.Text("mark.pending")))
	case !u.Active:
		list = append(list, bad(q.Text("mark.inactive")))
	default:
		list = append(list, good(q.Text("mark.active")))
	}
	if u.Managed {
		list = append(list, plain(q.Text("mark.managed")))
	}
	switch u.Origin {
	case store.OriginOIDC:
		list = append(list, plain(q.Text("mark.oidc")))
	case store.OriginImported:
		list = append(list, plain(q.Text("mark.imported")))
	case store.OriginEnv, store.OriginLocal:
	}
	if u.LastLoginAt.IsZero() {
		list = append(list, plain(q.Text("mark.never")))
	}
	if u.MustChange {
		list = append(list, warn(q.Text("mark.must_change")))
	}
	return list
}

func (a *admin) userSearch(q *web.Request, query store.UserQuery) *search {
	s := &search{Action: q.At("/admin/users"), Name: q.Text("users.search"), Submit: q.Text("table.search")}
	for _, keep := range []string{"sort", "group"} {
		if x := q.Query.Get(keep); x != "" {
			s.Hidden = append(s.Hidden, pair{keep, x})
		}
	}
	s.Fields = []field{
		textField("q", q.Text("table.text"), query.Text, "search"),
		a.selectField(q, "status", q.Text("users.status"), query.Status, "status.", api.UserStatuses),
		a.selectField(q, "role", q.Text("users.role"), string(query.Role), "role.", api.Roles),
	}
	if names := a.providerOptions(q, query.Provider); len(names) > 1 {
		s.Fields = append(s.Fields, field{Kind: "select", Field: ui.Field{ID: "provider", Name: "provider", Label: q.Text("users.provider")}, Options: names})
	}
	size := q.Query.Get("size")
	if size == "" {
		size = strconv.Itoa(defaultSize)
	}
	rows := field{Kind: "select", Field: ui.Field{ID: "size", Name: "size", Label: q.Text("table.size")}}
	for _, n := range sizes {
		rows.Options = append(rows.Options, option{n, n, n == size})
	}
	s.Fields = append(s.Fields, rows)
	if len(filter(q.Query)) > 0 {
		s.Extra = []action{{Href: q.At("/admin/users"), Text: q.Text("table.clear")}}
	}
	return s
}

// textField makes a line of a search.
func textField(name, label, value, kind string) field {
	return field{Kind: "find", Field: ui.Field{ID: name, Name: name, Label: label, Value: value, Type: kind}}
}

// selectField makes a choice among values whose words are the texts prefix+value, or any.
func (a *admin) selectField(q *web.Request, name, label, now, prefix string, values []string) field {
	f := field{Kind: "select", Field: ui.Field{ID: name, Name: name, Label: label}, Options: []option{{"", q.Text("table.any"), now == ""}}}
	for _, value := range values {
		f.Options = append(f.Options, option{value, q.Text(prefix + value), value == now})
	}
	return f
}

// providerOptions are the ways to sign in that exist.
func (a *admin) providerOptions(q *web.Request, now string) []option {
	list := []option{{"", q.Text("table.any"), now == ""}}
	all := a.Providers()
	if len(all) == 0 {
		return list
	}
	list = append(list, option{"local", q.Text("users.local"), now == "local"})
	for _, p := range all {
		list = append(list, option{p.Name, p.Label, p.Name == now})
	}
	return list
}
