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

// Columns of a user, in the order of userRow.dest. A new user has the default values of factorColumns.
const (
	userColumns = newUserColumns + " " + factorColumns

	newUserColumns = `id username email email_verified display_name role role_granted group_names active pending
		managed is_local origin password_hash must_change password_changed_at epoch version created_at updated_at
		last_login_at role_provided provided_groups kind`
	factorColumns = `totp_count passkey_count ask_second_factor mfa_due_at mfa_failures codes_saved notices_seen_at`
)

// userRow scans a user.
type userRow struct {
	u                                   store.User
	groups, provided                    string
	changedAt, created, updated, lastIn int64
	dueAt, seenAt                       int64
}

func (r *userRow) dest() []any {
	u := &r.u
	return []any{
		&u.ID, &u.Username, &u.Email,
		intBool{&u.EmailVerified},
		&u.Name, &u.Role,
		intBool{&u.RoleGranted},
		&r.groups,
		intBool{&u.Active},
		intBool{&u.Pending},
		intBool{&u.Managed},
		intBool{&u.Local},
		&u.Origin, &u.PasswordHash,
		intBool{&u.MustChange},
		&r.changedAt, &u.Epoch, &u.Version, &r.created, &r.updated, &r.lastIn,
		intBool{&u.RoleProvided},
		&r.provided, &u.Kind,
		&u.Factors.TOTPs, &u.Factors.Passkeys,
		intBool{&u.Factors.Ask},
		&r.dueAt, &u.Factors.Failures,
		intBool{&u.Factors.CodesSaved},
		&r.seenAt,
	}
}

func (r *userRow) user() (store.User, error) {
	r.u.Groups, r.u.ProvidedGroups = parseGroups(r.groups), parseGroups(r.provided)
	normalizeProvided(&r.u)
	r.u.PasswordChangedAt = fromMillis(r.changedAt)
	r.u.CreatedAt = fromMillis(r.created)
	r.u.UpdatedAt = fromMillis(r.updated)
	r.u.LastLoginAt = fromMillis(r.lastIn)
	r.u.Factors.DueAt, r.u.Factors.NoticesSeenAt = fromMillis(r.dueAt), fromMillis(r.seenAt)
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
	// One statement, so that unknown and known names take the same time.
	queryUserByLogin = selectUser + ` WHERE u.username_key = $1
		OR (u.email_key = $1 AND u.is_local = 1 AND u.email_key <> '')
		ORDER BY CASE WHEN u.managed = 1 AND u.is_local = 1 AND u.email_key = $1 THEN 0 WHEN u.is_local = 0 THEN 3
			WHEN u.username_key = $1 THEN 1 ELSE 2 END LIMIT 1`
	queryActiveAdmins = selectUser + ` WHERE ` + canSignInAsAdmin + ` ORDER BY u.created_at, u.id LIMIT $1`
)

// canSignInAsAdmin is the condition that a user u is an administrator who can sign in. An invited administrator who
// never signed in does not count: without the others, the store would have none.
const canSignInAsAdmin = `u.role = 'admin' AND u.active = 1 AND u.pending = 0
	AND (u.password_hash <> '' OR EXISTS (SELECT 1 FROM identities i WHERE i.user_id = u.id))`

// grantedLocally is the condition that the role of a user u does not come from a provider, as in normalizeProvided.
const grantedLocally = `NOT (` + roleProvided + `)`

// User implements [store.Reader].
func (r reader) User(ctx context.Context, id string) (store.User, error) {
	if !storable(id) {
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

// userByName looks up a folded name. An invalid name is not folded: folding replaces invalid characters, and the
// result could be the name of a user. Nor is one that is too long: folding a large form value is expensive.
func (r reader) userByName(ctx context.Context, query, name string) (store.User, error) {
	if !storable(name) || len(name) > utf8.UTFMax*identifier.MaxLength {
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
	var column string
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

// reversed returns the reversed order.
func (o order) reversed() order {
	o.desc = !o.desc
	o.list = usersList(strings.TrimPrefix(o.key, "u."), o.desc)
	return o
}

// userCursor returns the position of a user in an order.
func userCursor(o order, u store.User) cursor {
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

// userStatus maps a status to its condition. Those of partial indexes have to be written as in the schema.
var userStatus = map[string]string{
	"":         "",
	"active":   "u.active = 1 AND u.pending = 0",
	"inactive": "u.active = 0",
	"pending":  "u.pending = 1",
	"never":    "u.last_login_at <= 0",
}

// userFilter holds the conditions of a query: index is that of a partial index, if there is one; rest are all others.
type userFilter struct {
	index string
	rest  []func(*where)
	sets  []set
}

func (r reader) newUserFilter(q store.UserQuery) (userFilter, error) {
	var f userFilter
	status, ok := userStatus[q.Status]
	if !ok {
		return f, fmt.Errorf("%w: no status of users is named %q", errBadQuery, q.Status)
	}
	// Other conditions are written so that the planner does not use an index for them and sort.
	noIndex := r.dia.unindexed
	switch {
	case status == "":
	case q.Status == "active":
		f.add(noIndex + "u.active = 1 AND " + noIndex + "u.pending = 0")
	default:
		f.index = status
	}
	switch {
	case q.Kind == "":
	case q.Kind == store.KindService && f.index == "":
		f.index = "u.kind = 'service'"
	default:
		f.add(noIndex+"u.kind = %s", clean(string(q.Kind)))
	}
	switch {
	case q.Role == "":
	case q.Role == store.RoleAdmin && f.index == "":
		f.index = "u.role = 'admin'"
	default:
		f.add(noIndex+"u.role = %s", clean(string(q.Role)))
	}
	r.addUserText(&f, q)
	r.addUserGroup(&f, q)
	r.addUserProvider(&f, q)
	err := r.addUserMFA(&f, q)
	return f, err
}

func (f *userFilter) add(condition string, values ...any) {
	f.rest = append(f.rest, func(w *where) { w.add(condition, values...) })
}

// A text needs at least minGram characters to be found by the trigram index, and only its first maxGram are used:
// each costs a lookup, and a text may be as long as an e-mail address.
const (
	minGram = 3
	maxGram = 64
)

func (r reader) addUserText(f *userFilter, q store.UserQuery) {
	text := store.FoldName(clean(q.Text))
	if text == "" {
		return
	}
	f.add(r.dia.contains+"(u.search, %s) > 0", text)
	if set, ok := r.usersMatching(text); ok {
		f.sets = append(f.sets, set)
	}
}

// usersMatching returns the set of users whose names or e-mail address contain a folded text.
func (r reader) usersMatching(text string) (set, bool) {
	n := 0
	for at := range text {
		if n == maxGram {
			text = text[:at]
			break
		}
		n++
	}
	return r.dia.usersMatching(text), n >= minGram
}

func (r reader) addUserGroup(f *userFilter, q store.UserQuery) {
	if q.Group == "" {
		return
	}
	condition, values := r.inGroup(q.Group)
	f.add(condition, values...)
	f.sets = append(f.sets, r.dia.usersInGroup(clean(q.Group)))
}

// inGroup returns the condition that a user is a member of a group. In a JSON list, a complete name is preceded by [ or
// a comma and enclosed in quotation marks; those within a name are escaped.
func (r reader) inGroup(group string) (condition string, values []any) {
	raw, _ := json.Marshal(clean(group)) // a string always marshals
	name := string(raw)
	contains := r.dia.contains + "(u.group_names, %s) > 0"
	return "(" + contains + " OR " + contains + ")", []any{"[" + name, "," + name}
}

func (r reader) addUserProvider(f *userFilter, q store.UserQuery) {
	switch q.Provider {
	case "":
	case "local":
		f.add(r.dia.unindexed + "u.is_local = 1")
		f.sets = append(f.sets, set{query: `SELECT c.id FROM users c WHERE c.is_local = 1`})
	default:
		f.add("EXISTS (SELECT 1 FROM identities i WHERE i.user_id = u.id AND i.provider = %s)", clean(q.Provider))
		f.sets = append(f.sets, set{
			query:  `SELECT i.user_id FROM identities i WHERE i.provider = %s`,
			values: []any{clean(q.Provider)},
		})
	}
}

// applyIndex adds the condition of the partial index.
func (f userFilter) applyIndex(w *where) {
	if f.index != "" {
		w.add(f.index)
	}
}

// applyRest adds all other conditions.
func (f userFilter) applyRest(w *where) {
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
	f, err := r.newUserFilter(q)
	if err != nil {
		return store.UserPage{}, err
	}
	from, err := order.parseCursor(q.Cursor)
	if err != nil {
		return store.UserPage{}, err
	}
	l := listing[store.User]{
		op: "list users", cols: columns("u.", userColumns), from: "FROM users u", keys: "FROM users u", order: order,
		index: f.applyIndex, sets: f.sets, scan: scanUser,
		cursorOf: func(u store.User) cursor { return userCursor(order, u) },
	}
	if len(f.rest) > 0 {
		l.filter = f.applyRest
	}
	list, err := l.page(ctx, r, from, pageSize(q.Limit))
	if err != nil {
		return store.UserPage{}, err
	}
	page := store.UserPage{Items: list.rows, Next: list.next.text()}
	if from != nil && len(list.rows) > 0 {
		page.Prev = userCursor(order.reversed(), list.rows[0]).String()
	}
	return page, nil
}

// CountUsers implements [store.Reader].
func (r reader) CountUsers(ctx context.Context, q store.UserQuery) (int, error) {
	f, err := r.newUserFilter(q)
	if err != nil {
		return 0, err
	}
	var w where
	f.applyIndex(&w)
	f.applyRest(&w)
	few, err := r.firstSmallSet(ctx, "count users", f.sets, r.budget.firstSort)
	if err != nil {
		return 0, err
	}
	switch {
	case few == nil:
	case few.ids != nil && len(few.ids) == 0:
		return 0, nil
	default:
		w.terms = append(w.terms, few.inCondition(&w, "u.id", r.budget.firstSort))
	}
	return r.countTo(ctx, "count users", "FROM users u", w, q.Limit)
}

// userSearch returns the text that searches of users match.
func userSearch(u store.User) string {
	return store.FoldName(u.Username) + "\n" + store.FoldName(u.Email) + "\n" + store.FoldName(u.Name)
}
