// Package store holds the domain types of Gatehouse and the interface that every storage engine implements.
//
// It imports the standard library and x/text only. The one implementation is store/sqlstore (SQLite and PostgreSQL,
// one SQL text); store/storetest is the conformance suite that both engines run.
//
// # Rules of the contract
//
//   - Not found is [ErrNotFound]; a duplicate is a [ConflictError], which matches [ErrConflict]. Never a nil result
//     with a nil error.
//   - An engine that cannot be reached, is locked, full, read-only or closed returns an error that matches
//     [ErrUnavailable]. Callers fail closed on every error they do not know.
//   - Times are UTC, stored with millisecond precision. The zero time means "never" and is stored as 0.
//   - A change that can race is one conditional statement or one transaction. Everything that can end a session or
//     change permissions goes through [Store.Change], which runs one at a time per store and records a [Change] for
//     each subject, in the same transaction.
//   - Lists are paginated, and the cost of a page does not grow with the list. Where a search skips very many rows
//     that do not match, a page may hold fewer rows than requested, or none, and still have a Next, where the search
//     continues. Only a page without Next is the last one.
//   - Names are compared folded ([FoldName]); the store keeps the folded key beside the original text.
package store

import (
	"context"
	"errors"
	"time"
)

// Sentinel errors. Compare with [errors.Is].
var (
	// ErrNotFound means that there is no such row (any more).
	ErrNotFound = errors.New("not found")
	// ErrConflict means that a unique value is taken; the concrete error is a *[ConflictError].
	ErrConflict = errors.New("already taken")
	// ErrStale means that the row was changed by someone else since it was read (optimistic lock).
	ErrStale = errors.New("changed by someone else in the meantime")
	// ErrLastAdmin means that the change would leave the store without an active administrator.
	ErrLastAdmin = errors.New("at least one active administrator is required")
	// ErrUnavailable means that the engine cannot be reached or cannot respond now.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrNewerSchema means that the schema was written by a newer Gatehouse.
	ErrNewerSchema = errors.New("the store was written by a newer version of Gatehouse")
	// ErrBadCursor means that the cursor does not belong to this list. It is a client error, not a failure of the store.
	ErrBadCursor = errors.New("the page cursor is not valid")
)

// ConflictError says which unique value of a row is taken. It matches [ErrConflict].
type ConflictError struct {
	Field string // "username", "email", "identity", "id"
}

func (e *ConflictError) Error() string { return e.Field + " is already taken" }

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// MaxDevices is the number of known browsers that are stored per user.
const MaxDevices = 10

// AllUsers means all users, for methods that document it.
const AllUsers = "*"

// Store is an open store. All methods are safe for concurrent use.
type Store interface {
	Reader
	Throttle

	// Change runs fn in one write transaction. Changes run one at a time, also across processes that share the store, so
	// that what fn reads stays true until it commits (the last-admin rule depends on it). After the commit, every
	// watcher is notified of fn's changes before Change returns. An error of fn rolls back and is returned unchanged.
	Change(ctx context.Context, fn func(tx Tx) error) error

	// Touch records that sessions were used. A session that has ended in the meantime stays ended; a LastSeen older than
	// the stored one changes nothing. It records no Change.
	Touch(ctx context.Context, touches []Touch) error

	// RecordTokenUses records that tokens were used, like Touch: older uses than the stored one change nothing.
	RecordTokenUses(ctx context.Context, uses []TokenUse) error

	// AddEvents appends audit events outside of any change.
	AddEvents(ctx context.Context, events ...Event) error

	// Watch registers w until the returned function is called, which waits for calls of w in progress.
	Watch(w Watcher) (stop func())

	// Sweep deletes at most limit expired rows of each kind (sessions, flows, half-logins, links, tokens that expired long
	// ago, device grants, authenticator apps that were never confirmed, throttle counts, devices, trusted browsers,
	// one-time values, old changes; events older than keepEvents when that is positive) and returns their number.
	Sweep(ctx context.Context, now time.Time, keepEvents time.Duration, limit int) (int, error)

	// Ping returns nil when the store can be read.
	Ping(ctx context.Context) error
	// Info describes the store. It holds no secret.
	Info() Info
	// Close releases the store; later calls return ErrUnavailable. It may be called more than once.
	Close() error
}

// Info describes an open store for people: no passwords in it.
type Info struct {
	Engine   string // "sqlite" or "postgres"
	Location string // absolute file path, or host/database
	Schema   int64  // schema version
}

// Reader holds the queries of a store, which can run inside and outside of a transaction.
type Reader interface {
	// User returns the user with that id.
	User(ctx context.Context, id string) (User, error)
	// UserByUsername compares folded.
	UserByUsername(ctx context.Context, username string) (User, error)
	// UserByLogin returns the user that the input of a sign-in form identifies: among local accounts by username, then
	// by e-mail; then by the username of an account that comes from a provider only, since such a name may be someone
	// else's e-mail address. The e-mail address of the managed administrator takes precedence over all of these.
	UserByLogin(ctx context.Context, login string) (User, error)
	// UserByLocalEmail returns the local account with that e-mail, compared folded.
	UserByLocalEmail(ctx context.Context, email string) (User, error)
	// FormerName reports whether a username belonged to another account that has been deleted or renamed since. An
	// account that was linked to this issuer and subject does not count; they may be "".
	FormerName(ctx context.Context, username, issuer, subject string) (bool, error)
	// Users lists users, one page.
	Users(ctx context.Context, q UserQuery) (UserPage, error)
	// CountUsers returns how many users match q, whatever its cursor. With a positive q.Limit it stops counting at one
	// more than that, which means "more": pages must not wait for a million rows to be counted.
	CountUsers(ctx context.Context, q UserQuery) (int, error)
	// ActiveAdmins returns active administrators who can sign in, with a password or through a provider, oldest first,
	// at most limit (0: 100). An invited administrator who has never signed in does not count.
	ActiveAdmins(ctx context.Context, limit int) ([]User, error)

	// SessionByToken returns the session whose token hashes to hash, and its user, in one query. It checks neither
	// expiry nor epoch: internal/session does.
	SessionByToken(ctx context.Context, hash TokenHash) (Session, User, error)
	// Session returns the session with that id and its user.
	Session(ctx context.Context, id string) (Session, User, error)
	// Sessions lists sessions that had not expired at q.Now, one page, newest use first.
	Sessions(ctx context.Context, q SessionQuery) (SessionPage, error)
	// CountSessions returns how many sessions had not expired at now, counting as far as [Reader.CountUsers] does with
	// that limit (0: all).
	CountSessions(ctx context.Context, now time.Time, limit int) (int, error)

	// Identity returns the identity with that issuer and subject.
	Identity(ctx context.Context, issuer, subject string) (Identity, error)
	// Identities returns all identities of a user.
	Identities(ctx context.Context, userID string) ([]Identity, error)

	// Link returns a one-time link without using it, including used and expired ones (the page says which).
	Link(ctx context.Context, hash TokenHash) (Link, error)
	// Links lists links that could still be used at q.Now, newest first, one page.
	Links(ctx context.Context, q LinkQuery) (LinkPage, error)
	// CountLinks returns how many links match q, counting as far as [Reader.CountUsers] does with its limit.
	CountLinks(ctx context.Context, q LinkQuery) (int, error)

	// TokenByHash returns the token with that hash, and its owner, in one query. It checks neither expiry nor the owner's
	// state: internal/session does.
	TokenByHash(ctx context.Context, hash TokenHash) (Token, User, error)
	// Token returns the token with that id and its owner.
	Token(ctx context.Context, id string) (Token, User, error)
	// Tokens lists tokens, one page, newest first, expired and replaced ones too.
	Tokens(ctx context.Context, q TokenQuery) (TokenPage, error)
	// CountTokens returns how many tokens of a user had not expired at now and have not been replaced.
	CountTokens(ctx context.Context, userID string, now time.Time) (int, error)
	// ExpiredTokens returns tokens that had expired at now, were not replaced, and whose expiry has not been noted with
	// [Tx.NoteExpired], at most limit.
	ExpiredTokens(ctx context.Context, now time.Time, limit int) ([]TokenRow, error)

	// DeviceGrant returns the device grant with that device code, expired and decided ones too.
	DeviceGrant(ctx context.Context, hash TokenHash) (DeviceGrant, error)
	// DeviceGrantByCode returns the device grant with that user code, expired and decided ones too.
	DeviceGrantByCode(ctx context.Context, hash TokenHash) (DeviceGrant, error)
	// CountDeviceGrants returns how many device grants are pending at now: all of them, and those of an origin.
	CountDeviceGrants(ctx context.Context, origin string, now time.Time) (all, own int, err error)

	// TOTPs returns the authenticator apps of a user, oldest first, with the one that is not confirmed.
	TOTPs(ctx context.Context, userID string) ([]TOTP, error)
	// RecoveryCodes returns how many recovery codes a user has.
	RecoveryCodes(ctx context.Context, userID string) (RecoveryCodes, error)
	// Passkeys returns the passkeys of a user, oldest first.
	Passkeys(ctx context.Context, userID string) ([]Passkey, error)
	// PasskeyByCredential returns the passkey with that credential id on a domain, and its user.
	PasskeyByCredential(ctx context.Context, rpID, credentialID string) (Passkey, User, error)
	// PasskeySites returns the domains that there are passkeys of, with their number.
	PasskeySites(ctx context.Context) ([]PasskeySite, error)
	// HalfLogin returns the half-login with that hash and its user, expired ones too.
	HalfLogin(ctx context.Context, hash TokenHash) (HalfLogin, User, error)

	// TrustedBrowser returns the trusted browser with that hash, expired ones too; ErrNotFound also for one whose trust
	// has ended.
	TrustedBrowser(ctx context.Context, hash TokenHash) (TrustedBrowser, error)
	// TrustedBrowsers returns the trusted browsers of a user, newest first, expired ones too.
	TrustedBrowsers(ctx context.Context, userID string) ([]TrustedBrowser, error)

	// KnownDevice reports whether the browser with that device token has signed in as that user.
	KnownDevice(ctx context.Context, hash TokenHash, userID string) (bool, error)

	// Event returns the audit event with that id.
	Event(ctx context.Context, id string) (Event, error)
	// Events lists audit events, newest first, one page.
	Events(ctx context.Context, q EventQuery) (EventPage, error)

	// Setting returns the value stored under a name (seed records, generated keys). ErrNotFound when absent.
	Setting(ctx context.Context, key string) (string, error)
}

// Tx is a write transaction. It is valid until the function given to [Store.Change] returns.
type Tx interface {
	Reader

	// CreateUser inserts u, without Factors. ID, Username and CreatedAt are required; folded keys are derived.
	// ConflictError on a duplicate.
	CreateUser(ctx context.Context, u User) error
	// UpdateUser writes every field of u but ID, CreatedAt, Epoch, PasswordHash, MustChange, PasswordChangedAt and Factors
	// where its Version is still the stored one (else ErrStale), and returns it as stored. Making a user inactive ends its
	// sessions, half-logins, links and flows, and a person's tokens, and increments its epoch, so that re-activation
	// revives nothing. ErrLastAdmin when no active administrator would be left who can sign in. Kind never changes.
	UpdateUser(ctx context.Context, u User) (User, error)
	// DeleteUser removes the user with its sessions, half-logins, identities, links, tokens, devices and second factors.
	// ErrLastAdmin as above.
	DeleteUser(ctx context.Context, id string) error
	// SetPassword writes hash ("" removes the password, ErrLastAdmin as above) and mustChange, cancels unused links that
	// set this user's password, and makes the account local when hash is not empty (ConflictError on the e-mail). It
	// deletes the user's half-logins, and tokens unless p.KeepTokens is set. It ends no session: see EndSessions. Two
	// hashes of one password (re-hash) differ in p.Rehash: then PasswordChangedAt, links, half-logins and tokens stay, and
	// the write happens only if the stored hash is still p.IfHash (else ErrStale: the password was changed while the old
	// one was being checked).
	SetPassword(ctx context.Context, userID string, p PasswordChange) error
	// SetLastLogin records a sign-in. It does not change Version.
	SetLastLogin(ctx context.Context, userID string, at time.Time) error
	// BumpEpoch increments the user's session epoch: all earlier sessions are invalid, whatever happens to their rows.
	// It deletes the user's half-logins and marks the user with [MarkEnded], so that sign-ins in progress fail.
	BumpEpoch(ctx context.Context, userID string) error

	// CreateSession inserts s. The user must exist, and be a person.
	CreateSession(ctx context.Context, s Session) error
	// ReplaceSession deletes the session oldID and inserts s in its place: provider session ids of the old one are
	// copied to the new one. ErrNotFound when oldID has ended in the meantime.
	ReplaceSession(ctx context.Context, oldID string, s Session) error
	// EndSessions deletes the selected sessions and returns them. An empty selector is an error and does not select
	// everything. Issuer with Subject or SID also selects by what [Tx.AddSessionName] added. All deletes all half-logins,
	// too.
	EndSessions(ctx context.Context, sel SessionSelector) ([]Session, error)
	// SetSessionTokens replaces the provider tokens of a live session if Sealed is still old. Otherwise it returns
	// ErrStale, so that newer tokens are never overwritten by older ones.
	SetSessionTokens(ctx context.Context, id string, old string, t SessionTokens) error
	// AddSessionName adds a further issuer, subject and provider session id by which the session can be ended. sid may be
	// "".
	AddSessionName(ctx context.Context, id, issuer, subject, sid string) error

	// CreateIdentity links an identity to a user. ConflictError when it is linked already.
	CreateIdentity(ctx context.Context, i Identity) error
	// UpdateIdentity writes Email, Name, LastLoginAt and Groups of the identity, and Provider unless it is "".
	UpdateIdentity(ctx context.Context, i Identity) error
	// DeleteIdentity unlinks an identity. Claims of sessions that began with it, and of tokens that were made in these,
	// are cleared, so that roles and groups it provided end. ErrLastAdmin when no administrator would be left who can
	// sign in.
	DeleteIdentity(ctx context.Context, issuer, subject string) error
	// MoveIdentity links an identity to another user instead, with the same consequences.
	MoveIdentity(ctx context.Context, issuer, subject, userID string) error

	// CreateLink inserts a one-time link and cancels earlier unused ones of the same purpose and user (set-up links,
	// which have no user, are not canceled).
	CreateLink(ctx context.Context, l Link) error
	// TakeLink marks the link as used if it is unused, not canceled and not expired at now, and returns it. ErrNotFound
	// otherwise. Of any number of concurrent callers, one gets it.
	TakeLink(ctx context.Context, hash TokenHash, now time.Time) (Link, error)
	// CancelLinks cancels unused links of a purpose for a user ("" for links without one) and returns how many.
	CancelLinks(ctx context.Context, purpose LinkPurpose, userID string) (int, error)

	// CreateToken inserts t. The user must exist.
	CreateToken(ctx context.Context, t Token) error
	// ReplaceToken inserts t in place of the token oldID, which stays valid until oldEnds at the latest, and never longer
	// than it would have been. ErrNotFound when oldID is gone or expired, ErrStale when it was replaced before.
	ReplaceToken(ctx context.Context, oldID string, oldEnds time.Time, t Token) error
	// DeleteTokens deletes the selected tokens, and those that they replaced, and returns them. An empty selector is an
	// error.
	DeleteTokens(ctx context.Context, sel TokenSelector) ([]Token, error)
	// RenewTokenClaims gives what a provider has just said about an identity to the tokens that were made in sessions of
	// it: those of i.Issuer, i.Subject, i.UserID and i.Provider, for another provider of the same issuer may have other
	// claims. Those that were made before the identity was unlinked or moved stay without, even if it is linked again.
	// Call it with claims of a response alone, never with those that a session has kept: they may be older than the
	// tokens'.
	RenewTokenClaims(ctx context.Context, i Identity, claims string) error
	// SetTokenText gives a token that nobody has the text of yet its hash, hint and end. ErrNotFound when it is gone,
	// expired at now, or was replaced.
	SetTokenText(ctx context.Context, id string, hash TokenHash, hint string, expires, now time.Time) error
	// NoteExpired records that the expiry of these tokens is in the audit log.
	NoteExpired(ctx context.Context, ids ...string) error

	// CreateDeviceGrant inserts a pending grant. ConflictError when its user code is in use.
	CreateDeviceGrant(ctx context.Context, g DeviceGrant) error
	// DecideDeviceGrant records what a person decided about a grant. ErrNotFound when there is none with that user code
	// that has not expired at now, ErrStale when it was decided before.
	DecideDeviceGrant(ctx context.Context, code TokenHash, d DeviceDecision, now time.Time) error
	// TakeDeviceGrant marks an approved grant as used and returns it as it was; ErrNotFound when it is not approved, was
	// taken before or has expired at now. Of any number of concurrent callers, one gets it.
	TakeDeviceGrant(ctx context.Context, hash TokenHash, now time.Time) (DeviceGrant, error)

	// SetFactors writes Ask, DueAt, Failures, CodesSaved and NoticesSeenAt of a user's factors. Like every change of
	// factors it changes Version and records a [ChangeUser]; ErrNotFound when there is no such user. The use of a factor
	// does neither.
	SetFactors(ctx context.Context, userID string, f Factors) error
	// PutTOTP inserts an authenticator app that is not confirmed, in place of the user's earlier one of that state. The
	// user must be a person.
	PutTOTP(ctx context.Context, t TOTP) error
	// ConfirmTOTP confirms an authenticator app of a user by the time step of a code, and names it. ErrNotFound when
	// there is none of that id that is not confirmed, or it has waited for [TOTPSetupTTL] at that time; ConflictError
	// ("totp") when the user has [MaxTOTPs]. The code counts as used.
	ConfirmTOTP(ctx context.Context, userID, id, name string, step int64, at time.Time) error
	// UseTOTP records the time step of a code of a confirmed authenticator app. ErrStale when that step, or a later one,
	// was used before: of any number of concurrent callers, one succeeds. ErrNotFound when there is none.
	UseTOTP(ctx context.Context, userID, id string, step int64, at time.Time) error
	// RenameTOTP names a confirmed authenticator app of a user.
	RenameTOTP(ctx context.Context, userID, id, name string) error
	// DeleteTOTPs deletes an authenticator app of a user, or with "" all of them, the one that is not confirmed too, and
	// returns those deleted.
	DeleteTOTPs(ctx context.Context, userID, id string) ([]TOTP, error)
	// ReplaceRecoveryCodes deletes a user's recovery codes and inserts others, by their hashes; none is allowed.
	ReplaceRecoveryCodes(ctx context.Context, userID string, hashes []TokenHash, at time.Time) error
	// UseRecoveryCode marks a user's recovery code as used. ErrNotFound when there is none that is unused: of any number
	// of concurrent callers, one succeeds.
	UseRecoveryCode(ctx context.Context, userID string, hash TokenHash, at time.Time) error
	// SetPasskeyHandleOnce gives a user a handle for passkeys if there is none, and returns the one that is stored.
	SetPasskeyHandleOnce(ctx context.Context, userID, fresh string) (handle string, err error)
	// CreatePasskey inserts p, whose Handle is not read. The user must be a person. ConflictError: the credential is
	// registered on that domain ("credential"), or the user has [MaxPasskeys] ("passkey").
	CreatePasskey(ctx context.Context, p Passkey) error
	// UsePasskey records a use of a user's passkey, and what has changed by it.
	UsePasskey(ctx context.Context, userID, id string, s PasskeyState, at time.Time) error
	// DistrustPasskey records that a user's passkey signs in alone no more, until a use says so again. It is no use.
	DistrustPasskey(ctx context.Context, userID, id string) error
	// RenamePasskey names a passkey of a user.
	RenamePasskey(ctx context.Context, userID, id, name string) error
	// DeletePasskeys deletes a passkey of a user, or with "" all of them, and returns those deleted, without Handle.
	DeletePasskeys(ctx context.Context, userID, id string) ([]Passkey, error)
	// CreateHalfLogin inserts h. Of one user there are [MaxHalfLogins] from browsers that are not known, beyond which the
	// oldest of these is deleted, and one from each known browser, which replaces that browser's earlier one.
	CreateHalfLogin(ctx context.Context, h HalfLogin) error
	// TakeHalfLogin returns a half-login and deletes it; ErrNotFound when it was taken before or has expired at now. Of
	// any number of concurrent callers, one gets it.
	TakeHalfLogin(ctx context.Context, hash TokenHash, now time.Time) (HalfLogin, error)
	// EndHalfLogins deletes the half-logins of a user.
	EndHalfLogins(ctx context.Context, userID string) error
	// SetSessionLevels calls level for each session of a user and stores what it returns where that differs.
	SetSessionLevels(ctx context.Context, userID string, level func(s Session) SessionLevel) error

	// EndFlows deletes the flows that the user started while signed in (linking, step-up).
	EndFlows(ctx context.Context, userID string) error
	// CreateFlow stores a sign-in in progress.
	CreateFlow(ctx context.Context, f Flow) error
	// TakeFlow returns a flow and deletes it; ErrNotFound when it was taken before or has expired at now.
	TakeFlow(ctx context.Context, hash TokenHash, now time.Time) (Flow, error)

	// PutDevice records that the browser with that device token signed in as the user. Beyond [MaxDevices] the least
	// recently seen one is deleted.
	PutDevice(ctx context.Context, hash TokenHash, userID string, at, expires time.Time) error
	// ForgetDevices deletes all known browsers of the user, or of all users ([AllUsers]), except those in keep, and
	// returns their number.
	ForgetDevices(ctx context.Context, userID string, keep ...TokenHash) (int, error)
	// CreateTrustedBrowser inserts b. The user must be a person. Beyond [MaxTrustedBrowsers] the oldest one is deleted.
	CreateTrustedBrowser(ctx context.Context, b TrustedBrowser) error
	// UseTrustedBrowser records a sign-in in a trusted browser. It lasts no longer for that.
	UseTrustedBrowser(ctx context.Context, hash TokenHash, at time.Time, ip, userAgent string) error
	// ForgetTrustedBrowser deletes a trusted browser of a user. No session of the user stands on such trust afterwards,
	// since none says which browser it stands on.
	ForgetTrustedBrowser(ctx context.Context, userID, id string) error
	// ForgetTrustedBrowsers deletes all trusted browsers of the user, or of all users ([AllUsers]), except those in keep,
	// and returns their number. Where none is left, no session stands on such trust afterwards.
	ForgetTrustedBrowsers(ctx context.Context, userID string, keep ...TokenHash) (int, error)
	// LimitTrust lets no trusted browser last longer than that from its beginning, and returns how many end sooner than
	// they would have. Of users with one whose trust is over by that, no session stands on such trust afterwards. With 0
	// all are deleted.
	LimitTrust(ctx context.Context, lasts time.Duration) (int, error)
	// UseOnce reports whether kind and key are used for the first time before expires (replay protection).
	UseOnce(ctx context.Context, kind, key string, now, expires time.Time) (bool, error)

	// Mark records that an event of this kind happened to key, and keeps the record until then. A later expiry replaces
	// an earlier one.
	Mark(ctx context.Context, kind, key string, until time.Time) error
	// Marked reports whether a mark of kind and key exists that expires after at.
	Marked(ctx context.Context, kind, key string, at time.Time) (bool, error)

	// ClearAttempts resets the failures counted under key.
	ClearAttempts(ctx context.Context, key string) error
	// ClearUserAttempts resets the failures counted under all keys that end in a colon and the user's id: those of each
	// of their browsers and sessions.
	ClearUserAttempts(ctx context.Context, userID string) error
	// AddEvent appends an audit event in this transaction.
	AddEvent(ctx context.Context, e Event) error
	// SetSetting writes a value.
	SetSetting(ctx context.Context, key, value string) error
	// SetSettingOnce writes value if the key is absent, and returns the stored value.
	SetSettingOnce(ctx context.Context, key, value string) (string, error)
	// RecordChange records an additional Change (the methods above record theirs).
	RecordChange(ctx context.Context, c Change) error
}
