package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

// userColumns are the columns of a user, in the order of userDest.
const userColumns = `id username email email_verified display_name role role_granted group_names active pending
	managed is_local origin password_hash must_change password_changed_at epoch version created_at updated_at
	last_login_at`

// userRow scans a user.
type userRow struct {
	u                                   store.User
	groups                              string
	changedAt, created, updated, lastIn int64
}

func (r *userRow) dest() []any {
	u := &r.u
	return []any{
		&u.ID, &u.Username, &u.Email, intBool{&u.EmailVerified}, &u.Name, &u.Role, intBool{&u.RoleGranted}, &r.groups,
		intBool{&u.Active}, intBool{&u.Pending}, intBool{&u.Managed}, intBool{&u.Local}, &u.Origin, &u.PasswordHash,
		intBool{&u.MustChange}, &r.changedAt, &u.Epoch, &u.Version, &r.created, &r.updated, &r.lastIn,
	}
}

func (r *userRow) user() (store.User, error) {
	r.u.Groups = parseGroups(r.groups)
	r.u.PasswordChangedAt = fromMillis(r.changedAt)
	r.u.CreatedAt = fromMillis(r.created)
	r.u.UpdatedAt = fromMillis(r.updated)
	r.u.LastLoginAt = fromMillis(r.lastIn)
	return r.u, nil
}

func scanUser(s scanner) (store.User, error) {
	var r userRow
	if err := s.Scan(r.dest()...); err != nil {
		return store.User{}, err
	}
	return r.user()
}

var (
	selectUser = `SELECT ` + columns("u.", userColumns) + ` FROM users u`

	queryUserByID       = selectUser + ` WHERE u.id = $1`
	queryUserByUsername = selectUser + ` WHERE u.username_key = $1`
	queryUserByEmail    = selectUser + ` WHERE u.email_key = $1 AND u.is_local = 1 AND u.email_key <> ''`
	// One statement, so that a name that is unknown costs what a known one does.
	queryUserByLogin = selectUser + ` WHERE u.username_key = $1
		OR (u.email_key = $1 AND u.is_local = 1 AND u.email_key <> '')
		ORDER BY CASE WHEN u.username_key = $1 THEN 0 ELSE 1 END LIMIT 1`
	queryActiveAdmins = selectUser + ` WHERE u.role = 'admin' AND u.active = 1 AND u.pending = 0
		ORDER BY u.created_at, u.id LIMIT $1`
)

// User implements [store.Reader].
func (r reader) User(ctx context.Context, id string) (store.User, error) {
	if !keepable(id) {
		return store.User{}, store.ErrNotFound
	}
	return one(ctx, r, "read a user", scanUser, queryUserByID, id)
}

// UserByUsername implements [store.Reader].
func (r reader) UserByUsername(ctx context.Context, username string) (store.User, error) {
	return r.userByName(ctx, queryUserByUsername, username)
}

// UserByLogin implements [store.Reader].
func (r reader) UserByLogin(ctx context.Context, login string) (store.User, error) {
	return r.userByName(ctx, queryUserByLogin, login)
}

// UserByLocalEmail implements [store.Reader].
func (r reader) UserByLocalEmail(ctx context.Context, email string) (store.User, error) {
	return r.userByName(ctx, queryUserByEmail, email)
}

// userByName looks a folded name up. A name that no user can have is not folded: folding replaces what is broken in it,
// and could make it somebody's.
func (r reader) userByName(ctx context.Context, query, name string) (store.User, error) {
	if !keepable(name) {
		return store.User{}, store.ErrNotFound
	}
	key := store.FoldName(name)
	if key == "" {
		return store.User{}, store.ErrNotFound
	}
	return one(ctx, r, "look a user up", scanUser, query, key)
}

// ActiveAdmins implements [store.Reader].
func (r reader) ActiveAdmins(ctx context.Context, limit int) ([]store.User, error) {
	if limit <= 0 {
		limit = 100
	}
	return all(ctx, r, "list the administrators", scanUser, queryActiveAdmins, int64(limit))
}

// userOrder is an order of users: by one column, made total by the id.
type userOrder struct {
	column string
	isTime bool
	unique bool // the column needs no id beside it
	desc   bool
	scan   string // see dialect.unindexed
}

func parseUserSort(sort store.UserSort) (userOrder, error) {
	name, desc := strings.CutPrefix(string(sort), "-")
	switch store.UserSort(name) {
	case store.SortUsername, "":
		return userOrder{column: "username_key", unique: true, desc: desc}, nil
	case store.SortEmail:
		return userOrder{column: "email_key", desc: desc}, nil
	case store.SortCreated:
		return userOrder{column: "created_at", isTime: true, desc: desc}, nil
	case store.SortLastLogin:
		return userOrder{column: "last_login_at", isTime: true, desc: desc}, nil
	}
	return userOrder{}, fmt.Errorf("%w: no order of users is named %q", errBadQuery, sort)
}

func (o userOrder) clause() string {
	dir := ""
	if o.desc {
		dir = " DESC"
	}
	if o.unique {
		return " ORDER BY " + o.key() + dir
	}
	return " ORDER BY " + o.key() + dir + ", u.id" + dir
}

func (o userOrder) key() string { return o.scan + "u." + o.column }

// list names the order in cursors.
func (o userOrder) list() string {
	if o.desc {
		return "users -" + o.column
	}
	return "users " + o.column
}

// after adds the condition that rows come after the cursor.
func (o userOrder) after(w *where, c cursor) {
	cmp := ">"
	if o.desc {
		cmp = "<"
	}
	var key any = c.Text
	if o.isTime {
		key = c.Num
	}
	if o.unique {
		w.add(o.key()+" "+cmp+" %s", key)
		return
	}
	w.add("("+o.key()+", u.id) "+cmp+" (%s, %s)", key, c.ID)
}

func (o userOrder) cursorAt(u store.User) cursor {
	c := cursor{List: o.list(), ID: u.ID}
	switch o.column {
	case "username_key":
		c.Text = store.FoldName(u.Username)
	case "email_key":
		c.Text = store.FoldName(u.Email)
	case "created_at":
		c.Num = toMillis(u.CreatedAt)
	case "last_login_at":
		c.Num = toMillis(u.LastLoginAt)
	}
	return c
}

var userStatus = map[string]string{
	"":         "",
	"active":   "u.active = 1 AND u.pending = 0",
	"inactive": "u.active = 0",
	"pending":  "u.pending = 1",
	"never":    "u.last_login_at <= 0",
}

// userFilter is the condition of a query. The literals match the partial indexes of the schema.
func (r reader) userFilter(q store.UserQuery) (where, error) {
	var w where
	status, ok := userStatus[q.Status]
	if !ok {
		return w, fmt.Errorf("%w: no status of users is named %q", errBadQuery, q.Status)
	}
	if status != "" {
		w.add(status)
	}
	switch q.Role {
	case "":
	case store.RoleAdmin:
		w.add("u.role = 'admin'")
	default:
		w.add("u.role = %s", clean(string(q.Role)))
	}
	switch q.Provider {
	case "":
	case "local":
		w.add("u.is_local = 1")
	default:
		w.add("EXISTS (SELECT 1 FROM identities i WHERE i.user_id = u.id AND i.provider = %s)", clean(q.Provider))
	}
	if q.Group != "" {
		// In a JSON list of texts a name is whole between its quotation mark, with what comes before that, and the next
		// one: a quotation mark within a name has a backslash before it.
		name, _ := json.Marshal(clean(q.Group)) // a string always marshals
		w.add("("+r.dia.contains+"(u.group_names, %s) > 0 OR "+r.dia.contains+"(u.group_names, %s) > 0)",
			"["+string(name), ","+string(name))
	}
	if text := store.FoldName(clean(q.Text)); text != "" {
		w.add(r.dia.contains+"(u.search, %s) > 0", text)
	}
	return w, nil
}

// Users implements [store.Reader].
func (r reader) Users(ctx context.Context, q store.UserQuery) (store.UserPage, error) {
	order, err := parseUserSort(q.Sort)
	if err != nil {
		return store.UserPage{}, err
	}
	w, err := r.userFilter(q)
	if err != nil {
		return store.UserPage{}, err
	}
	if q.Text != "" || q.Group != "" || q.Provider != "" {
		// Perhaps one in a million passes: reading the table from front to back finds it much sooner than following an
		// index to and fro.
		order.scan = r.dia.unindexed
	}
	after, ok, err := parseCursor(q.Cursor, order.list())
	if err != nil {
		return store.UserPage{}, err
	}
	if ok {
		order.after(&w, after)
	}
	size := pageSize(q.Limit)
	limit := w.arg(int64(size + 1)) // one more tells whether there is a next page
	query := selectUser + w.String() + order.clause() + " LIMIT " + limit
	users, err := all(ctx, r, "list users", scanUser, query, w.args...)
	if err != nil {
		return store.UserPage{}, err
	}
	page := store.UserPage{Items: users}
	if len(users) > size {
		page.Items = users[:size]
		page.Next = order.cursorAt(users[size-1]).String()
	}
	if ok && len(users) > 0 {
		turned := order
		turned.desc = !order.desc
		page.Prev = turned.cursorAt(users[0]).String()
	}
	return page, nil
}

// CountUsers implements [store.Reader].
func (r reader) CountUsers(ctx context.Context, q store.UserQuery) (int, error) {
	w, err := r.userFilter(q)
	if err != nil {
		return 0, err
	}
	return one(ctx, r, "count users", scanInt, `SELECT count(*) FROM users u`+w.String(), w.args...)
}

// userSearch is the text in which lists look for a part of a user.
func userSearch(u store.User) string {
	return store.FoldName(u.Username) + "\n" + store.FoldName(u.Email) + "\n" + store.FoldName(u.Name)
}
