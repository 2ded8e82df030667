package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// users are the pages about many users: the list, its export, and changes of several at once.
type users struct {
	*web.Deps
	Config
}

func (h users) routes() []web.Route {
	return append(
		change(h.Deps, "/admin/users/bulk", "user.update", form{h.bulkForm, h.bulk}),
		get("/admin/users", h.list),
		get("/admin/users/export.csv", h.export),
	)
}

// list shows users; search, filters, order and page are in the query.
func (h users) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.UserQuery(q.Query, h.Login.Second.DemandFor())
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
	list, err := h.readPage(r, query, dir == "back")
	if err != nil {
		return err
	}
	caption, err := h.caption(q, r, query, list)
	if err != nil {
		return err
	}
	t := userTable(q, query, list.items)
	t.Caption = caption
	t.setPages(q, userPageLinks(q, list))
	setNoMoreRows(q, t, query.Cursor)
	setPartial(q, t, len(list.items) < query.Limit && list.more(dir == "back"))
	s := &content{
		Actions: []action{
			{Href: q.At("/admin/users/invite"), Text: q.Text("users.invite"), Main: true},
			{Href: q.At("/admin/users/invite?kind=service"), Text: q.Text("users.service")},
			{Href: q.At("/admin/users/export.csv" + filter(q.Query).suffix()), Text: q.Text("table.csv")},
		},
		Search: h.searchForm(q, query), Sections: []section{{Table: t}},
	}
	q.UI.Write(w, r, newPage(q, "users", q.Text("admin.users"), s))
	return nil
}

// usersPage is a page of users with the query parameters of the pages beside it, nil for none.
type usersPage struct {
	items      []store.User
	prev, next url.Values
}

// more reports whether there is more in the direction in which the page was read.
func (p usersPage) more(back bool) bool {
	if back {
		return p.prev != nil
	}
	return p.next != nil
}

// readPage reads a page forwards, or backwards with dir=back: in the opposite order, reversed.
func (h users) readPage(r *http.Request, q store.UserQuery, back bool) (usersPage, error) {
	if back {
		q.Sort = reversed(q.Sort)
	}
	list, err := h.Store.Users(r.Context(), q)
	if err != nil {
		return usersPage{}, err
	}
	out := usersPage{items: list.Items}
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

// reversed returns the opposite order.
func reversed(s store.UserSort) store.UserSort {
	if rest, ok := strings.CutPrefix(string(s), "-"); ok {
		return store.UserSort(rest)
	}
	return "-" + s
}

// caption returns how many users a list has. A search is not counted past the page that it fills: counting would read
// every user, where the page stops at the first few that match.
func (h users) caption(q *web.Request, r *http.Request, query store.UserQuery, list usersPage) (string, error) {
	n := len(list.items)
	switch {
	case query.Cursor == "" && list.next == nil && list.prev == nil:
		return q.Text("users.caption", "n", n), nil
	case query.Text != "" || query.Group != "" || query.Provider != "":
		return q.Text("users.caption_part", "n", n), nil
	}
	query.Limit = countLimit
	if query.Status == "active" || query.Role == store.RoleUser || query.Kind != "" || query.MFA != "" {
		query.Limit = unindexedLimit
	}
	n, err := h.Store.CountUsers(r.Context(), query)
	return countText(q, "users.caption", "users.caption_more", n, query.Limit), err
}

func userPageLinks(q *web.Request, list usersPage) []ui.Link {
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

func userTable(q *web.Request, query store.UserQuery, users []store.User) *table {
	t := &table{
		ID: "users", Empty: q.Text("users.none"),
		Bulk: &bulkView{
			Action: q.At("/admin/users/bulk"), Name: q.Text("bulk.name"), Label: q.Text("bulk.label"),
			All: q.Text("bulk.all"), Submit: q.Text("bulk.go"),
		},
	}
	t.Bulk.Options = append(t.Bulk.Options, option{Text: q.Text("bulk.choose"), Chosen: true}) // nothing by mistake
	for _, do := range bulkActions {
		t.Bulk.Options = append(t.Bulk.Options, option{Value: do, Text: q.Text("bulk." + do)})
	}
	if f := filter(q.Query); len(f) > 0 {
		t.Empty = q.Text("table.no_match")
		t.Clear = &ui.Link{Href: q.At("/admin/users"), Text: q.Text("table.clear")}
	}
	for _, c := range []struct {
		id   string
		sort store.UserSort
	}{
		{"users.user", store.SortUsername},
		{"users.email", store.SortEmail},
		{"users.role", ""},
		{"users.groups", ""},
		{"users.status", ""},
		{"users.last_login", store.SortLastLogin},
		{"users.created", store.SortCreated},
	} {
		t.Columns = append(t.Columns, sortable(q, query.Sort, q.Text(c.id), c.sort))
	}
	for _, u := range users {
		t.Rows = append(t.Rows, row{Pick: u.ID, Named: q.Text("bulk.pick", "name", u.Username), Cells: []cell{
			{Head: true, Text: u.Username, Href: q.At("/admin/users/" + u.ID), Small: u.Name},
			{Text: u.Email},
			{Text: roleText(q, u)},
			{Text: groupSummary(q, u.Groups)},
			{Marks: listMarks(q, u)},
			lastSignIn(q, u),
			{Time: u.CreatedAt},
		}})
	}
	return t
}

// roleText returns the role of a person, "" for a service account, which has none.
func roleText(q *web.Request, u store.User) string {
	if u.IsService() {
		return ""
	}
	return q.Text("role." + string(u.Role))
}

// lastSignIn returns when a person signed in; a service account never does.
func lastSignIn(q *web.Request, u store.User) cell {
	if u.IsService() {
		return cell{}
	}
	return cell{Time: u.LastLoginAt, Never: q.Text("users.never")}
}

// groupSummary names the first few of a user's groups, and how many more there are.
func groupSummary(q *web.Request, groups []string) string {
	const most = 3
	if len(groups) <= most {
		return identifier.JoinGroups(groups, ", ")
	}
	return q.Text("users.more_groups", "groups", identifier.JoinGroups(groups[:most], ", "), "n", len(groups)-most)
}

// sortable returns a column with a link that sorts by it, or reverses the order if it sorts already.
func sortable(q *web.Request, current store.UserSort, text string, by store.UserSort) column {
	if by == "" {
		return column{Text: text}
	}
	c, want := column{Text: text}, by
	switch current {
	case by:
		c.Sorted, want = "ascending", "-"+by
	case "-" + by:
		c.Sorted = "descending"
	}
	c.Href = q.At("/admin/users") + filter(q.Query).with(url.Values{"sort": {string(want)}}).suffix()
	return c
}

func (h users) searchForm(q *web.Request, query store.UserQuery) *search {
	s := &search{Action: q.At("/admin/users"), Name: q.Text("users.search"), Submit: q.Text("table.search")}
	for _, keep := range []string{"sort", "group"} {
		if x := q.Query.Get(keep); x != "" {
			s.Hidden = append(s.Hidden, pair{keep, x})
		}
	}
	s.Fields = []field{
		textField("q", q.Text("table.text"), query.Text, "search"),
		selectField(q, "status", q.Text("users.status"), query.Status, "status.", api.UserStatuses),
		selectField(q, "role", q.Text("users.role"), string(query.Role), "role.", api.Roles),
		selectField(q, "kind", q.Text("kind.kind"), string(query.Kind), "kind.", api.UserKinds),
		selectField(q, "mfa", q.Text("secondfactors.title"), q.Query.Get("mfa"), "secondfactors.state_", api.MFAStates),
	}
	if names := h.providerOptions(q, query.Provider); len(names) > 1 {
		s.Fields = append(s.Fields, field{
			Kind:  "select",
			Field: ui.Field{ID: "provider", Name: "provider", Label: q.Text("users.provider")}, Options: names,
		})
	}
	size := q.Query.Get("size")
	if size == "" {
		size = strconv.Itoa(defaultPageSize)
	}
	rows := field{Kind: "select", Field: ui.Field{ID: "size", Name: "size", Label: q.Text("table.size")}}
	for _, n := range pageSizes {
		rows.Options = append(rows.Options, option{n, n, n == size})
	}
	s.Fields = append(s.Fields, rows)
	if len(filter(q.Query)) > 0 {
		s.Extra = []action{{Href: q.At("/admin/users"), Text: q.Text("table.clear")}}
	}
	return s
}

// providerOptions are the ways to sign in that exist.
func (h users) providerOptions(q *web.Request, now string) []option {
	list := []option{{"", q.Text("table.any"), now == ""}}
	all := h.Providers()
	if len(all) == 0 {
		return list
	}
	list = append(list, option{"local", q.Text("users.local"), now == "local"})
	for _, p := range all {
		list = append(list, option{p.Name, p.Label, p.Name == now})
	}
	return list
}

func (h users) export(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.UserQuery(q.Query, h.Login.Second.DemandFor())
	if err != nil {
		return err
	}
	query.Cursor, query.Limit = "", exportPage
	var f csvFile
	return download(h.Deps, w, r, q, "user.export", "users.csv", "text/csv; charset=utf-8", func() (bool, error) {
		if f.w == nil {
			f = newCSV(w, "id", "username", "email", "name", "role", "groups", "active", "pending", "managed", "origin",
				"created_at", "updated_at", "last_login_at")
		}
		list, err := h.Store.Users(r.Context(), query)
		if err != nil {
			return false, err
		}
		for _, u := range list.Items {
			f.line(u.ID, u.Username, u.Email, u.Name, string(u.Role), identifier.JoinGroups(u.Groups, ","),
				strconv.FormatBool(u.Active), strconv.FormatBool(u.Pending),
				strconv.FormatBool(u.Managed), string(u.Origin),
				formatTime(u.CreatedAt), formatTime(u.UpdatedAt), formatTime(u.LastLoginAt))
		}
		query.Cursor = list.Next
		return query.Cursor != "", f.flush()
	})
}
