package sqlstore

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// sessionColumns are the columns of a session, in the order of sessionRow.dest.
const sessionColumns = `id token_hash user_id epoch created_at auth_at last_seen_at idle_ms expires_at remember method
	provider issuer subject sid sealed ip user_agent host claims
	methods mfa_at`

type sessionRow struct {
	s                                        store.Session
	created, auth, lastSeen, idleMS, expires int64
	mfa                                      int64
}

func (r *sessionRow) dest() []any {
	s := &r.s
	return []any{
		&s.ID, &s.TokenHash, &s.UserID, &s.Epoch, &r.created, &r.auth, &r.lastSeen, &r.idleMS, &r.expires,
		intBool{&s.Remember},
		&s.Method, &s.Provider, &s.Issuer, &s.Subject, &s.SID, &s.Sealed, &s.IP, &s.UserAgent,
		&s.Host, &s.Claims, &s.Methods, &r.mfa,
	}
}

func (r *sessionRow) session() store.Session {
	r.s.CreatedAt = fromMillis(r.created)
	r.s.AuthAt = fromMillis(r.auth)
	r.s.LastSeenAt = fromMillis(r.lastSeen)
	r.s.Idle = time.Duration(r.idleMS) * time.Millisecond
	r.s.ExpiresAt = fromMillis(r.expires)
	r.s.MFAAt = fromMillis(r.mfa)
	return r.s
}

func scanSession(sc scanner) (store.Session, error) {
	var r sessionRow
	if err := sc.Scan(r.dest()...); err != nil {
		return store.Session{}, err
	}
	return r.session(), nil
}

func scanListedSession(sc scanner) (store.SessionRow, error) {
	var r sessionRow
	var username string
	if err := sc.Scan(append(r.dest(), &username)...); err != nil {
		return store.SessionRow{}, err
	}
	return store.SessionRow{Session: r.session(), Username: username}, nil
}

// sessionUser is a session with its user.
type sessionUser struct {
	session store.Session
	user    store.User
}

func scanSessionUser(sc scanner) (sessionUser, error) {
	var s sessionRow
	var u userRow
	if err := sc.Scan(append(s.dest(), u.dest()...)...); err != nil {
		return sessionUser{}, err
	}
	user, err := u.user()
	return sessionUser{s.session(), user}, err
}

var (
	selectSession = `SELECT ` + columns("s.", sessionColumns) + ` FROM sessions s`

	selectSessionUser = `SELECT ` + columns("s.", sessionColumns) + `, ` + columns("u.", userColumns) +
		` FROM sessions s JOIN users u ON u.id = s.user_id`
	querySessionByToken = selectSessionUser + ` WHERE s.token_hash = $1`
	querySessionByID    = selectSessionUser + ` WHERE s.id = $1`
)

// SessionByToken implements [store.Reader].
func (r reader) SessionByToken(ctx context.Context, hash store.TokenHash) (store.Session, store.User, error) {
	su, err := one(ctx, r, "resolve a session", scanSessionUser, querySessionByToken, hash.String())
	return su.session, su.user, err
}

// Session implements [store.Reader].
func (r reader) Session(ctx context.Context, id string) (store.Session, store.User, error) {
	if !storable(id) {
		return store.Session{}, store.User{}, store.ErrNotFound
	}
	su, err := one(ctx, r, "read a session", scanSessionUser, querySessionByID, id)
	return su.session, su.user, err
}

var sessionOrder = order{list: "sessions", key: "s.last_seen_at", id: "s.id", isTime: true, desc: true}

// Sessions implements [store.Reader]. Sessions of an earlier epoch are not listed.
func (r reader) Sessions(ctx context.Context, q store.SessionQuery) (store.SessionPage, error) {
	from, err := sessionOrder.parseCursor(q.Cursor)
	if err != nil {
		return store.SessionPage{}, err
	}
	l := listing[store.SessionRow]{
		// A subquery per row: for a join, PostgreSQL would read all users for a few sessions.
		op: "list sessions", cols: columns("s.", sessionColumns) +
			", (SELECT u.username FROM users u WHERE u.id = s.user_id)",
		from: "FROM sessions s", keys: "FROM sessions s", order: sessionOrder,
		index: func(w *where) {
			if q.UserID != "" {
				w.add("s.user_id = %s", clean(q.UserID))
			}
		},
		filter:   func(w *where) { r.sessionFilter(w, q) },
		scan:     scanListedSession,
		cursorOf: func(s store.SessionRow) cursor { return cursor{Num: toMillis(s.LastSeenAt), ID: s.ID} },
	}
	if text := store.FoldName(clean(q.Text)); text != "" && q.UserID == "" {
		if l.sets, err = r.sessionSets(ctx, text); err != nil {
			return store.SessionPage{}, err
		}
	}
	list, err := l.page(ctx, r, from, pageSize(q.Limit))
	if err != nil {
		return store.SessionPage{}, err
	}
	return store.SessionPage{Items: list.rows, Next: list.next.text()}, nil
}

func (r reader) sessionFilter(w *where, q store.SessionQuery) {
	w.add("s.epoch = (SELECT u.epoch FROM users u WHERE u.id = s.user_id)")
	// Without SQLite's index: nearly all sessions match, and it would then sort them.
	w.add(r.dia.unindexed+"s.over_at > %s", toMillis(q.Now))
	text := store.FoldName(clean(q.Text))
	switch ip, whole := wholeIP(text); {
	case text == "":
	case whole:
		w.add("s.ip = %s", ip)
	default:
		w.add(r.dia.contains+"(s.search, %s) > 0", text)
	}
}

// sessionSets returns the sets of sessions that can match a text: by complete IP address, or by users if they are few
// and no IP address can contain the text.
func (r reader) sessionSets(ctx context.Context, text string) ([]set, error) {
	if ip, whole := wholeIP(text); whole {
		return []set{{query: `SELECT c.id FROM sessions c WHERE c.ip = %s AND c.ip <> ''`, values: []any{ip}}}, nil
	}
	users, ok := r.usersMatching(text)
	if !ok || strings.Trim(text, "0123456789abcdef.:") == "" {
		return nil, nil
	}
	few, err := r.firstSmallSet(ctx, "list sessions", []set{users}, r.budget.firstSort)
	if err != nil || few == nil {
		return nil, err
	}
	if few.ids != nil && len(few.ids) == 0 {
		return []set{*few}, nil // nobody, so no session
	}
	return []set{few.within(`SELECT c.id FROM sessions c WHERE c.user_id`)}, nil
}

// wholeIP parses an IP address and returns it in its stored form.
func wholeIP(text string) (string, bool) {
	ip, err := netip.ParseAddr(text)
	return ip.WithZone("").String(), err == nil
}

// withoutZone returns an address in its stored form. A zone names a network interface of the server, not of the
// client, and could be any text that a search has to consider.
func withoutZone(ip string) string {
	ip, _, _ = strings.Cut(ip, "%")
	return ip
}

// CountSessions implements [store.Reader].
func (r reader) CountSessions(ctx context.Context, now time.Time, limit int) (int, error) {
	var w where
	w.add("over_at > %s", toMillis(now))
	return r.countTo(ctx, "count sessions", "FROM sessions", w, limit)
}

// CreateSession implements [store.Tx].
func (t *tx) CreateSession(ctx context.Context, s store.Session) error {
	return t.run(ctx, "create a session", func(ctx context.Context, q queryer) error { return insertSession(ctx, q, s) })
}

func insertSession(ctx context.Context, q queryer, s store.Session) error {
	if err := checkKeys(s.ID, s.UserID, s.Issuer, s.Subject, s.SID, s.Sealed, s.Claims, s.Method, s.Provider,
		s.Methods); err != nil {
		return fmt.Errorf("the session: %w", err)
	}
	if s.ID == "" || s.TokenHash == (store.TokenHash{}) || s.ExpiresAt.IsZero() || s.Idle <= 0 {
		// A session that never expires, or that an empty cookie could resolve to, is a bug of the caller.
		return fmt.Errorf("%w: a session needs an id, a token, an idle time and an end", errArgument)
	}
	if s.LastSeenAt.IsZero() {
		s.LastSeenAt = s.CreatedAt
	}
	var username string
	err := q.QueryRowContext(ctx, `SELECT username FROM users WHERE id = $1`, s.UserID).Scan(&username)
	if err != nil {
		return err
	}
	if err := checkService(ctx, q, s.UserID); err != nil {
		return err
	}
	idle := idleMillis(s.Idle)
	seen, expires := toMillis(s.LastSeenAt), toMillis(s.ExpiresAt)
	ip := clip(withoutZone(s.IP), maxIP)
	_, err = q.ExecContext(ctx, `INSERT INTO sessions (`+columns("", sessionColumns)+`, over_at, search) VALUES (`+
		placeholders(24)+`)`,
		s.ID, s.TokenHash.String(), s.UserID, s.Epoch, toMillis(s.CreatedAt), toMillis(s.AuthAt), seen, idle, expires,
		toInt(s.Remember), s.Method, s.Provider, s.Issuer, s.Subject, s.SID, s.Sealed, ip, clip(s.UserAgent, maxUserAgent),
		clip(s.Host, maxHost), s.Claims, s.Methods, toMillis(s.MFAAt), min(seen+idle, expires), sessionSearch(username, ip))
	return err
}

// Client input is truncated; limits in bytes for an address, the header, a DNS name with port.
const (
	maxIP        = 64
	maxUserAgent = 512
	maxHost      = 260
)

// sessionSearch returns the text that searches of sessions match: the folded username and the IP address.
func sessionSearch(username, ip string) string {
	return clip(store.FoldName(username), maxUserKey) + "\n" + strings.ToLower(ip)
}

// idleMillis rounds up, so that a positive duration does not become 0.
func idleMillis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// ReplaceSession implements [store.Tx].
func (t *tx) ReplaceSession(ctx context.Context, oldID string, s store.Session) error {
	err := t.run(ctx, "replace a session", func(ctx context.Context, q queryer) error {
		names, err := sessionNames(ctx, q, clean(oldID))
		if err != nil {
			return err
		}
		replaced, err := collect(ctx, q, func(s scanner) (methods string, err error) {
			err = s.Scan(&methods)
			return methods, err
		}, `DELETE FROM sessions WHERE id = $1 RETURNING methods`, clean(oldID))
		if err != nil {
			return err
		}
		if len(replaced) == 0 {
			return store.ErrNotFound
		}
		keepNoTrust(replaced[0], &s)
		if err := insertSession(ctx, q, s); err != nil {
			return err
		}
		for _, name := range names {
			if err := nameSession(ctx, q, s.ID, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeSession, oldID)
	return nil
}

// EndSessions implements [store.Tx].
func (t *tx) EndSessions(ctx context.Context, sel store.SessionSelector) ([]store.Session, error) {
	w, err := selectSessions(sel)
	if err != nil {
		return nil, err
	}
	var ended []store.Session
	err = t.run(ctx, "end sessions", func(ctx context.Context, q queryer) error {
		if sel.All { // who has only done the first step is not to come in after that, either
			if _, err := q.ExecContext(ctx, `DELETE FROM half_logins`); err != nil {
				return err
			}
		}
		var err error
		if ended, err = collect(ctx, q, scanSession, selectSession+w.String(), w.args...); err != nil || len(ended) == 0 {
			return err
		}
		// Changes run one at a time, so both statements select the same sessions.
		if _, err = q.ExecContext(ctx, `DELETE FROM sessions AS s`+w.String(), w.args...); err != nil {
			return err
		}
		return t.markEnded(ctx, q, sel, ended)
	})
	if err != nil {
		return nil, err
	}
	for _, s := range ended {
		t.recordChange(store.ChangeSession, s.ID)
	}
	return ended, nil
}

// markEnded marks ended sessions, so that a sign-in in progress in the same browser does not survive them.
func (t *tx) markEnded(ctx context.Context, q queryer, sel store.SessionSelector, ended []store.Session) error {
	until := t.now().Add(store.EndedMarkTTL)
	switch {
	case sel.Replaced:
		return nil
	case sel.All: // one row, not a million
		return t.mark(ctx, q, store.MarkEnded, store.EndedAll, until)
	}
	for _, s := range ended {
		if err := t.mark(ctx, q, store.MarkEnded, s.ID, until); err != nil {
			return err
		}
	}
	return nil
}

// selectSessions rejects a selector that is empty or ambiguous: an empty field that a caller forgot to check must not
// end all sessions.
func selectSessions(sel store.SessionSelector) (where, error) {
	var w where
	ways := 0
	for _, way := range []bool{sel.ID != "", sel.UserID != "", sel.Issuer != "", sel.All} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1:
		return w, fmt.Errorf("%w: select sessions in exactly one way, not %d", errArgument, ways)
	case sel.Except != "" && sel.UserID == "":
		return w, fmt.Errorf("%w: Except goes with UserID only", errArgument)
	case sel.NoSID && (sel.Subject == "" || sel.SID != ""):
		return w, fmt.Errorf("%w: NoSID goes with Subject, and not with SID", errArgument)
	case (sel.Subject+sel.SID != "") != (sel.Issuer != ""):
		return w, fmt.Errorf("%w: Issuer goes with Subject or SID, and they with it", errArgument)
	}
	if sel.Issuer != "" {
		return selectByProviderName(sel)
	}
	for _, part := range []struct{ condition, value string }{
		{"s.id = %s", sel.ID},
		{"s.user_id = %s", sel.UserID},
		{"s.id <> %s", sel.Except},
	} {
		if part.value != "" {
			w.add(part.condition, part.value)
		}
	}
	return w, checkKeys(sel.ID, sel.UserID, sel.Except)
}

// SetSessionTokens implements [store.Tx].
func (t *tx) SetSessionTokens(ctx context.Context, id, old string, tokens store.SessionTokens) error {
	if err := checkKeys(id, old, tokens.Sealed, tokens.Claims); err != nil {
		return err
	}
	err := t.run(ctx, "store tokens of a session", func(ctx context.Context, q queryer) error {
		n, err := affected(ctx, q, `UPDATE sessions SET sealed = $3, claims = CASE WHEN $4 = '' THEN claims ELSE $4 END
			WHERE id = $1 AND sealed = $2`, id, old, tokens.Sealed, tokens.Claims)
		if err != nil || n > 0 {
			return err
		}
		var one int64
		if err := q.QueryRowContext(ctx, `SELECT 1 FROM sessions WHERE id = $1`, id).Scan(&one); err != nil {
			return err
		}
		return store.ErrStale
	})
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeSession, id)
	return nil
}
