// Package store holds the domain types of Gatehouse and the contract that every storage engine keeps.
//
// It imports the standard library and x/text only. The one implementation is store/sqlstore (SQLite and PostgreSQL, one SQL
// text); store/storetest is the conformance suite that both engines run.
//
// # Rules of the contract
//
//   - Not found is [ErrNotFound]; a duplicate is a [ConflictError], which matches [ErrConflict]. Never a nil result
//     with a nil error.
//   - An engine that cannot be reached, is locked, full, read-only or closed returns an error that matches
//     [ErrUnavailable]. Callers fail closed on every error they do not know.
//   - Times are UTC, kept with millisecond precision. The zero time means "never" and is kept as 0.
//   - A change that can race is one conditional statement or one transaction. Everything that can end a session or
//     change what a person may do goes through [Store.Change], which runs one at a time per store and records a
//     [Change] for each subject, in the same transaction.
//   - A list is read page by page, and what a page costs does not grow with the list. Where a search passes over very
//     many rows that do not match, a page may hold fewer than asked for, or none, and yet have a Next: the search goes
//     on there. The last page is the one without Next, and only then all has been seen.
//   - Names are compared folded ([FoldName]); the store keeps the folded key beside the text as it was typed.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sentinel errors. Compare with [errors.Is].
var (
	// ErrNotFound: there is no such row (any more).
	ErrNotFound = errors.New("not found")
	// ErrConflict: a unique value is taken; the concrete error is a *[ConflictError].
	ErrConflict = errors.New("already taken")
	// ErrStale: the row was changed by someone else since it was read (optimistic lock).
	ErrStale = errors.New("changed by someone else in the meantime")
	// ErrLastAdmin: the change would leave the store without an active administrator.
	ErrLastAdmin = errors.New("at least one active administrator is required")
	// ErrUnavailable: the engine cannot be reached or cannot answer now.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrNewerSchema: the schema was written by a newer Gatehouse.
	ErrNewerSchema = errors.New("the store was written by a newer version of Gatehouse")
	// ErrBadCursor: the cursor was not made by the list it was given to. A client's mistake, not the store's.
	ErrBadCursor = errors.New("the page cursor is not valid")
)

// ConflictError says which unique value of a row is taken. It matches [ErrConflict].
type ConflictError struct {
	Field string // "username", "email", "identity", "id"
}

func (e *ConflictError) Error() string { return fmt.Sprintf("%s is already taken", e.Field) }

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// MaxDevices is how many browsers a user is known by.
const MaxDevices = 10

// Everybody stands for all users where a method says so.
const Everybody = "*"

// Store is an open store. All methods are safe for concurrent use.
type Store interface {
	Reader
	Throttle

	// Change runs fn in one write transaction. Changes run one at a time, also across processes that share the
	// store, so that what fn reads stays true until it commits (the last-admin rule depends on it). When it has
	// committed, every watcher has been given fn's changes before Change returns. An error of fn rolls back and is
	// returned as it is.
	Change(ctx context.Context, fn func(tx Tx) error) error

	// Touch notes that sessions were used. A session that has ended meanwhile stays ended, a LastSeen older than
	// the one kept changes nothing. It records no Change.
	Touch(ctx context.Context, touches []Touch) error

	// AddEvents appends audit events outside of any change.
	AddEvents(ctx context.Context, events ...Event) error

	// Watch registers w until the returned function is called, which waits for calls of w under way.
	Watch(w Watcher) (stop func())

	// Sweep deletes at most limit expired rows of each kind (sessions, flows, links, throttle counts, devices,
	// once-values, old changes; events older than keepEvents when that is positive) and returns how many went.
	Sweep(ctx context.Context, now time.Time, keepEvents time.Duration, limit int) (int, error)

	// Ping returns nil when the store can be read.
	Ping(ctx context.Context) error
	// Info tells what store this is. It holds no secret.
	Info() Info
	// Close releases the store; later calls answer ErrUnavailable. It may be called more than once.
	Close() error
}

// Info describes an open store for people: no passwords in it.
type Info struct {
	Engine   string // "sqlite" or "postgres"
	Location string // absolute file path, or host/database
	Schema   int64  // schema version
}

// Reader is what can be asked of a store, in and outside of a transaction.
type Reader interface {
	// User returns the user with that id.
	User(ctx context.Context, id string) (User, error)
	// UserByUsername compares folded.
	UserByUsername(ctx context.Context, username string) (User, error)
	// UserByLogin returns the user whom a sign-in form means: by username first, then by e-mail, among local accounts; then
	// by the username of somebody who comes from a provider only, as such a name may be anybody's e-mail. The e-mail of the
	// managed root comes before all: the deployment says that it signs in.
	UserByLogin(ctx context.Context, login string) (User, error)
	// UserByLocalEmail returns the local account with that e-mail, compared folded.
	UserByLocalEmail(ctx context.Context, email string) (User, error)
	// FormerName reports whether a username was another's than this person's at a provider ("" for nobody's): that of an
	// account that was deleted or renamed since.
	FormerName(ctx context.Context, username, issuer, subject string) (bool, error)
	// Users lists users, one page.
	Users(ctx context.Context, q UserQuery) (UserPage, error)
	// CountUsers returns how many users match q, whatever its cursor. With a positive q.Limit it counts no further
	// than to one more than that, which means "more": pages must not wait for a million rows to be counted.
	CountUsers(ctx context.Context, q UserQuery) (int, error)
	// ActiveAdmins returns active administrators who can sign in, with a password or through a provider, oldest first, at
	// most limit (0: 100). Whoever was invited and never came is none yet.
	ActiveAdmins(ctx context.Context, limit int) ([]User, error)

	// SessionByToken returns the session whose token hashes to hash, and its user, in one query. It judges
	// neither expiry nor epoch: internal/session does.
	SessionByToken(ctx context.Context, hash TokenHash) (Session, User, error)
	// Session returns the session with that id and its user.
	Session(ctx context.Context, id string) (Session, User, error)
	// Sessions lists sessions that had not expired at q.Now, one page, newest use first.
	Sessions(ctx context.Context, q SessionQuery) (SessionPage, error)
	// CountSessions returns how many sessions had not expired at now, counting as far as [Reader.CountUsers] does with
	// that limit (0: all).
	CountSessions(ctx context.Context, now time.Time, limit int) (int, error)

	// Identity returns the link between a provider's person and a user.
	Identity(ctx context.Context, issuer, subject string) (Identity, error)
	// Identities returns all identities of a user.
	Identities(ctx context.Context, userID string) ([]Identity, error)

	// Link returns a one-time link without spending it, also a spent or expired one (the page says which).
	Link(ctx context.Context, hash TokenHash) (Link, error)
	// Links lists links that could still be used at q.Now, newest first, one page.
	Links(ctx context.Context, q LinkQuery) (LinkPage, error)
	// CountLinks returns how many links match q, counting as far as [Reader.CountUsers] does with its limit.
	CountLinks(ctx context.Context, q LinkQuery) (int, error)

	// KnownDevice reports whether the browser with that device token has signed in as that user.
	KnownDevice(ctx context.Context, hash TokenHash, userID string) (bool, error)

	// Event returns the audit event with that id.
	Event(ctx context.Context, id string) (Event, error)
	// Events lists audit events, newest first, one page.
	Events(ctx context.Context, q EventQuery) (EventPage, error)

	// Setting returns a value kept under a name (seed records, generated keys). ErrNotFound when absent.
	Setting(ctx context.Context, key string) (string, error)
}

// Tx is a write transaction. It is valid until the function given to [Store.Change] returns.
type Tx interface {
	Reader

	// CreateUser inserts u. ID, Username and CreatedAt are required; keys are derived. ConflictError on a duplicate.
	CreateUser(ctx context.Context, u User) error
	// UpdateUser writes every field of u but ID, CreatedAt, Epoch, PasswordHash, MustChange and PasswordChangedAt
	// where its Version is still the stored one (else ErrStale), and returns it as stored. Making a user inactive
	// ends its sessions, links and flows, and moves its epoch, so that re-activation revives nothing.
	// ErrLastAdmin when no active administrator would be left who can sign in.
	UpdateUser(ctx context.Context, u User) (User, error)
	// DeleteUser removes the user with its sessions, identities, links and devices. ErrLastAdmin as above.
	DeleteUser(ctx context.Context, id string) error
	// SetPassword writes hash ("" removes the password, ErrLastAdmin as above) and mustChange, cancels unspent links that set this
	// user's password, and makes the account local when hash is not empty (ConflictError on the e-mail).
	// It ends no session: see EndSessions. Two hashes of one password (re-hash) differ in p.Rehash: then
	// PasswordChangedAt stays and links stay, and the write happens only if the stored hash is still p.IfHash
	// (else ErrStale: the password was changed while the old one was being checked).
	SetPassword(ctx context.Context, userID string, p PasswordChange) error
	// SetLastLogin notes a sign-in. It does not move Version.
	SetLastLogin(ctx context.Context, userID string, at time.Time) error
	// BumpEpoch moves the user's session epoch on by one: all sessions of before are over, whatever happens to
	// their rows. It marks the user with [MarkEnded], so that sign-ins that were under way come to nothing.
	BumpEpoch(ctx context.Context, userID string) error

	// CreateSession inserts s. The user must exist.
	CreateSession(ctx context.Context, s Session) error
	// ReplaceSession deletes the session oldID and inserts s, which goes on in its place: every name that a provider had
	// for the old one is one of the new one, too. ErrNotFound when oldID has ended meanwhile.
	ReplaceSession(ctx context.Context, oldID string, s Session) error
	// EndSessions deletes the selected sessions and returns them. Selecting nothing is an error, not everything. Issuer
	// with Subject or SID selects by every name that [Tx.NameSession] gave, too.
	EndSessions(ctx context.Context, sel SessionSelector) ([]Session, error)
	// SetSessionTokens replaces what a provider gave for a session if it still lives and Sealed is still old: ErrStale
	// otherwise, for what is newer is never replaced by what is older.
	SetSessionTokens(ctx context.Context, id string, old string, t SessionTokens) error
	// NameSession notes one more name that a provider has for a session, by which it can be ended. sid may be "".
	NameSession(ctx context.Context, id, issuer, subject, sid string) error

	// CreateIdentity links a provider's person to a user. ConflictError when linked already.
	CreateIdentity(ctx context.Context, i Identity) error
	// UpdateIdentity writes Email, Name, LastLoginAt and Groups of the identity, and Provider unless it is "".
	UpdateIdentity(ctx context.Context, i Identity) error
	// DeleteIdentity unlinks. Sessions that began with the identity have Claims that say nothing: what it gave ends. ErrLastAdmin when
	// no administrator would be left who can sign in.
	DeleteIdentity(ctx context.Context, issuer, subject string) error
	// MoveIdentity links an identity to another user instead, with the same consequences.
	MoveIdentity(ctx context.Context, issuer, subject, userID string) error

	// CreateLink inserts a one-time link and cancels earlier unspent ones of the same purpose and user
	// (set-up links, which have no user, are left).
	CreateLink(ctx context.Context, l Link) error
	// TakeLink spends the link if it is unspent, not canceled and not expired at now, and returns it.
	// ErrNotFound otherwise. Of any number of callers at once, one gets it.
	TakeLink(ctx context.Context, hash TokenHash, now time.Time) (Link, error)
	// CancelLinks cancels unspent links of a purpose for a user ("" for links without one) and returns how many.
	CancelLinks(ctx context.Context, purpose LinkPurpose, userID string) (int, error)

	// EndFlows ends the sign-ins at providers that the user has under way while signed in.
	EndFlows(ctx context.Context, userID string) error
	// CreateFlow keeps a sign-in under way.
	CreateFlow(ctx context.Context, f Flow) error
	// TakeFlow returns a flow and deletes it; ErrNotFound when taken before or expired at now.
	TakeFlow(ctx context.Context, hash TokenHash, now time.Time) (Flow, error)

	// PutDevice notes that the browser with that device token signed in as the user. Of more than [MaxDevices] the one
	// that was seen longest ago is forgotten.
	PutDevice(ctx context.Context, hash TokenHash, userID string, at, expires time.Time) error
	// ForgetDevices forgets all browsers that signed in as the user, or as anybody ([Everybody]), but those in keep, and
	// returns how many.
	ForgetDevices(ctx context.Context, userID string, keep ...TokenHash) (int, error)
	// Once returns true the first time kind and key are given before expires has passed, false after that.
	Once(ctx context.Context, kind, key string, now, expires time.Time) (bool, error)

	// Mark notes that something happened to key, and keeps that until then. A later end replaces an earlier one.
	Mark(ctx context.Context, kind, key string, until time.Time) error
	// Marked reports whether Mark was given kind and key with an end after at.
	Marked(ctx context.Context, kind, key string, at time.Time) (bool, error)

	// ClearAttempts forgets the failures counted under key.
	ClearAttempts(ctx context.Context, key string) error
	// AddEvent appends an audit event in this transaction.
	AddEvent(ctx context.Context, e Event) error
	// SetSetting writes a value.
	SetSetting(ctx context.Context, key, value string) error
	// SetSettingOnce writes value if the key is absent, and returns the value that stands.
	SetSettingOnce(ctx context.Context, key, value string) (string, error)
	// NoteChange records a Change of the caller's own (the methods above record theirs).
	NoteChange(ctx context.Context, c Change) error
}
