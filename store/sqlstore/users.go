package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/store"
)

// userColumns are the columns of a user, in the order of userDest.
const userColumns = `id username email email_verified display_name role role_granted group_names active pending
	managed is_local origin password_hash must_change password_changed_at epoch version created_at updated_at
	last_login_at role_provided provided_groups`

// userRow scans a user.
type userRow struct {
	u                                   store.User
	groups, provided                    string
	changedAt, created, updated, lastIn int64
}

func (r *userRow) dest() []any {
	u := &r.u
	return []any{
		&u.ID, &u.Username, &u.Email, intBool{&u.EmailVerified}, &u.Name, &u.Role, intBool{&u.RoleGranted}, &r.groups,
		intBool{&u.Active}, intBool{&u.Pending}, intBool{&u.Managed}, intBool{&u.Local}, &u.Origin, &u.PasswordHash,
		intBool{&u.MustChange}, &r.changedAt, &u.Epoch, &u.Version, &r.created, &r.updated, &r.lastIn,
		intBool{&u.RoleProvided}, &r.provided,
	}
}

func (r *userRow) user() (store.User, error) {
	r.u.Groups, r.u.ProvidedGroups = parseGroups(r.groups), parseGroups(r.provided)
	onlyProvided(&r.u)
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
		ORDER BY CASE WHEN u.managed = 1 AND u.is_local = 1 AND u.email_key = $1 THEN 0 WHEN u.is_local = 0 THEN 3
			WHEN u.username_key = $1 THEN 1 ELSE 2 END LIMIT 1`
	queryActiveAdmins = selectUser + ` WHERE ` + ableAdmin + ` ORDER BY u.created_at, u.id LIMIT $1`
)

// ableAdmin is the condition that a user u is an administrator who can sign in. Whoever was invited and never came is
// nobody to rely on: a store whose other administrators are gone would have none.
const ableAdmin = `u.role = 'admin' AND u.active = 1 AND u.pending = 0
	AND (u.password_hash <> '' OR EXISTS (SELECT 1 FROM identities i WHERE i.user_id = u.id))`

// grantedHere is the condition that the role of a user u is no provider's, as onlyProvided says it.
const grantedHere = `NOT (` + roleProvided + `)`

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
// and could make it somebody's. Neither is one that is too long: folding a form full of text takes a while.
func (r reader) userByName(ctx context.Context, query, name string) (store.User, error) {
	if !keepable(name) || len(name) > utf8.UTFMax*identifier.MaxLength {
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

func parseUserSort(sort store.UserSort) (order, error) {
	name, desc := strings.CutPrefix(string(sort), "-")
	o := order{id: "u.id", desc: desc}
	column := ""
	switch store.UserSort(name) {
	case store.SortUsername, "":
		column, o.unique = "username_key", true
	case store.SortEmail:
		column = "email_key"
	case store.SortCreated:
		column, o.isTime = "created_at", true
	case store.SortLastLogin:
		column, o.isTime = "last_login_at", true
	default:
		return order{}, fmt.Errorf("%w: no order of users is named %q", errBadQuery, sort)
	}
	o.key = "u." + column
	o.list = usersList(column, desc)
	return o, nil
}

func usersList(column string, desc bool) string {
	if desc {
		return "users -" + column
	}
	return "users " + column
}

// turned is the order turned round.
func (o order) turned() order {
	o.desc = !o.desc
	o.list = usersList(strings.TrimPrefix(o.key, "u."), o.desc)
	return o
}

// userPlace returns the place of a user in an order.
func userPlace(o order, u store.User) cursor {
	c := cursor{List: o.list, ID: u.ID}
	switch o.key {
	case "u.username_key":
		c.Text = store.FoldName(u.Username)
	case "u.email_key":
		c.Text = store.FoldName(u.Email)
	case "u.created_at":
		c.Num = toMillis(u.CreatedAt)
	case "u.last_login_at":
		c.Num = toMillis(u.LastLoginAt)
	}
	return c
}

// userStatus are the conditions of a status. Those of partial indexes have to be written as the schema does.
var userStatus = map[string]string{
	"":         "",
	"active":   "u.active = 1 AND u.pending = 0",
	"inactive": "u.active = 0",
	"pending":  "u.pending = 1",
	"never":    "u.last_login_at <= 0",
}

// userFilter holds the conditions of a query: index that of a partial index, if there is one, rest all others.
type userFilter struct {
	index string
	rest  []func(*where)
	sets  []set
}

func (r reader) userFilter(q store.UserQuery) (userFilter, error) {
	var f userFilter
	status, ok := userStatus[q.Status]
	if !ok {
		return f, fmt.Errorf("%w: no status of users is named %q", errBadQuery, q.Status)
	}
	// What is no index's condition is hidden from the planner, which would else walk an index of that and sort.
	hide := r.dia.unindexed
	switch {
	case status == "":
	case q.Status == "active":
		f.also(hide + "u.active = 1 AND " + hide + "u.pending = 0")
	default:
		f.index = status
	}
	switch {
	case q.Role == "":
	case q.Role == store.RoleAdmin && f.index == "":
		f.index = "u.role = 'admin'"
	default:
		f.also(hide+"u.role = %s", clean(string(q.Role)))
	}
	r.addUserText(&f, q)
	r.addUserGroup(&f, q)
	r.addUserProvider(&f, q)
	return f, nil
}

func (f *userFilter) also(condition string, values ...any) {
	f.rest = append(f.rest, func(w *where) { w.add(condition, values...) })
}

// A part needs at least minGram characters to be found by the index of texts, and is looked for by no more than its
// first maxGram: each costs a look-up, and a text may be as long as an address.
const (
	minGram = 3
	maxGram = 64
)

func (r reader) addUserText(f *userFilter, q store.UserQuery) {
	text := store.FoldName(clean(q.Text))
	if text == "" {
		return
	}
	f.also(r.dia.contains+"(u.search, %s) > 0", text)
	if set, ok := r.usersWith(text); ok {
		f.sets = append(f.sets, set)
	}
}

// usersWith returns the set of users in whose names or address a folded text stands.
func (r reader) usersWith(text string) (set, bool) {
	n := 0
	for at := range text {
		if n == maxGram {
			text = text[:at]
			break
		}
		n++
	}
	return r.dia.usersWith(text), n >= minGram
}

func (r reader) addUserGroup(f *userFilter, q store.UserQuery) {
	if q.Group == "" {
		return
	}
	// In a JSON list of texts a name is whole between its quotation mark, with what comes before that, and the next
	// one: a quotation mark within a name has a backslash before it.
	raw, _ := json.Marshal(clean(q.Group)) // a string always marshals
	name := string(raw)
	f.also("("+r.dia.contains+"(u.group_names, %s) > 0 OR "+r.dia.contains+"(u.group_names, %s) > 0)", "["+name, ","+name)
	f.sets = append(f.sets, r.dia.usersIn(clean(q.Group)))
}

func (r reader) addUserProvider(f *userFilter, q store.UserQuery) {
	switch q.Provider {
	case "":
	case "local":
		f.also(r.dia.unindexed + "u.is_local = 1")
		f.sets = append(f.sets, set{query: `SELECT c.id FROM users c WHERE c.is_local = 1`})
	default:
		f.also("EXISTS (SELECT 1 FROM identities i WHERE i.user_id = u.id AND i.provider = %s)", clean(q.Provider))
		f.sets = append(f.sets, set{query: `SELECT i.user_id FROM identities i WHERE i.provider = %s`, values: []any{clean(q.Provider)}})
	}
}

// conditions adds the condition of the partial index.
func (f userFilter) conditions(w *where) {
	if f.index != "" {
		w.add(f.index)
	}
}

// others adds all other conditions.
func (f userFilter) others(w *where) {
	for _, add := range f.rest {
		add(w)
	}
}

// Users implements [store.Reader].
func (r reader) Users(ctx context.Context, q store.UserQuery) (store.UserPage, error) {
	order, err := parseUserSort(q.Sort)
	if err != nil {
		return store.UserPage{}, err
	}
	f, err := r.userFilter(q)
	if err != nil {
		return store.UserPage{}, err
	}
	from, err := order.place(q.Cursor)
	if err != nil {
		return store.UserPage{}, err
	}
	l := listing[store.User]{
		op: "list users", cols: columns("u.", userColumns), from: "FROM users u", keys: "FROM users u", order: order,
		index: f.conditions, sets: f.sets, scan: scanUser,
		at: func(u store.User) cursor { return userPlace(order, u) },
	}
	if len(f.rest) > 0 {
		l.filter = f.others
	}
	list, err := l.page(ctx, r, from, pageSize(q.Limit))
	if err != nil {
		return store.UserPage{}, err
	}
	page := store.UserPage{Items: list.rows, Next: list.next.text()}
	if from != nil && len(list.rows) > 0 {
		page.Prev = userPlace(order.turned(), list.rows[0]).String()
	}
	return page, nil
}

// CountUsers implements [store.Reader].
func (r reader) CountUsers(ctx context.Context, q store.UserQuery) (int, error) {
	f, err := r.userFilter(q)
	if err != nil {
		return 0, err
	}
	var w where
	f.conditions(&w)
	f.others(&w)
	few, err := r.fewest(ctx, "count users", f.sets, r.reach.few)
	if err != nil {
		return 0, err
	}
	switch {
	case few == nil:
	case few.ids != nil && len(few.ids) == 0:
		return 0, nil
	default:
		w.terms = append(w.terms, few.holds(&w, "u.id", r.reach.few))
	}
	return r.countTo(ctx, "count users", "FROM users u", w, q.Limit)
}

// userSearch is the text in which lists look for a part of a user.
func userSearch(u store.User) string {
	return store.FoldName(u.Username) + "\n" + store.FoldName(u.Email) + "\n" + store.FoldName(u.Name)
}
