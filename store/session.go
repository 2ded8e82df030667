package store

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/base64"
	"fmt"
	"time"
)

// TokenHash is the SHA-256 of a secret token. Only this is kept: a stolen database gives no usable token.
type TokenHash [sha256.Size]byte

// HashToken hashes a token as it travels (the text, not its decoded bytes).
func HashToken(token string) TokenHash {
	var buf [64]byte // spares an allocation per request: tokens are 43 bytes
	if n := copy(buf[:], token); n == len(token) {
		return sha256.Sum256(buf[:n])
	}
	return sha256.Sum256([]byte(token))
}

// String returns the hash as it is kept: 43 characters of base64url.
func (h TokenHash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// Value implements driver.Valuer.
func (h TokenHash) Value() (driver.Value, error) { return h.String(), nil }

// Scan implements sql.Scanner.
func (h *TokenHash) Scan(src any) error {
	var s string
	switch v := src.(type) {
	case string:
		s = v
	case []byte:
		s = string(v)
	default:
		return fmt.Errorf("token hash: cannot scan %T", src)
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("token hash: malformed value in the store")
	}
	copy(h[:], b)
	return nil
}

// Session is a signed-in browser.
type Session struct {
	ID        string // public: shown in lists and the API; never the cookie's value nor derived from it
	TokenHash TokenHash
	UserID    string
	Epoch     int64 // the user's epoch when the session was made

	CreatedAt  time.Time     // of the first sign-in; kept when the token is rotated
	AuthAt     time.Time     // last time the person proved who they are (sign-in or reauth), zero if that is not known
	LastSeenAt time.Time     // written in batches
	Idle       time.Duration // over when unused for this long
	ExpiresAt  time.Time     // over at this time, whatever happens
	Remember   bool          // the cookie outlives the browser

	Method   string // "password", "oidc", "link"
	Provider string // name of the provider, "" for local sign-ins
	// Issuer, Subject and SID are what the provider said, for logout from there.
	Issuer, Subject, SID string
	// Claims are what the provider said of the person when the session began, was confirmed or refreshed last, as one
	// set and as internal/login writes it; "" where nobody knows, as an older version kept none.
	Claims string
	Sealed string // provider tokens, sealed; "" for none

	IP        string // client address at sign-in, kept without its zone, "" if unknown
	UserAgent string // at most 512 bytes
	Host      string // the site signed in to
}

// SessionTokens are what a provider gave anew for a session that goes on.
type SessionTokens struct {
	Sealed string
	Claims string
}

// Touch notes a use of a session.
type Touch struct {
	SessionID string
	LastSeen  time.Time
}

// SessionSelector says which sessions to end. Set exactly one of ID, UserID, Issuer (with Subject or SID) and All.
type SessionSelector struct {
	ID      string
	UserID  string
	Except  string // with UserID: the id of a session to keep
	Issuer  string
	Subject string
	SID     string
	All     bool
	// Replaced, with ID: another session begins in its place. Otherwise what ends is marked with [MarkEnded].
	Replaced bool
}

// SessionQuery selects a page of sessions.
type SessionQuery struct {
	UserID string // "" for everyone's
	Text   string // part of the username or IP, folded; a whole IP address means that address alone
	Now    time.Time
	Cursor string
	Limit  int // 1–1000; 0 means 50
}

// SessionPage is one page of sessions with their users' names.
type SessionPage struct {
	Items []SessionRow
	Next  string
}

// SessionRow is a session in a list.
type SessionRow struct {
	Session
	Username string
}

// MarkEnded is the kind of mark that is kept for [EndedFor] of sessions that were ended: by the id of a user whose sessions
// all were, by that of a session, and by [EndedAll]. A sign-in that had begun by then makes none.
const MarkEnded = "ended"

// EndedAll is the key of the mark that the sessions of everybody were ended.
const EndedAll = "*"

// EndedFor is how long it is kept that sessions were ended, at least as long as a sign-in may be under way.
const EndedFor = 15 * time.Minute

// Flow is a sign-in under way at a provider. It is taken once.
type Flow struct {
	Hash      TokenHash // of the value that travels as state
	Browser   TokenHash // of the cookie that binds it to the browser
	Provider  string
	UserID    string // with Purpose "link", "reauth": who does it
	Purpose   string // what for, such as "login"; internal/oidc names them
	Data      string // sealed: nonce, PKCE verifier, return-to
	CreatedAt time.Time
	ExpiresAt time.Time
}

// LinkPurpose is what a one-time link may be used for; a link of one purpose never serves another.
type LinkPurpose string

// Purposes of links.
const (
	LinkSetup    LinkPurpose = "setup"    // make the first administrator
	LinkPassword LinkPurpose = "password" // set a password: invitation or reset
)

// Link is a one-time link. Its token is shown once and kept hashed.
type Link struct {
	ID          string
	Hash        TokenHash
	Purpose     LinkPurpose
	UserID      string // "" for set-up links
	CreatedBy   string // actor, for people: a username, "command line", "start-up"
	EndSessions bool   // end the user's sessions when it is used
	CreatedAt   time.Time
	ExpiresAt   time.Time
	UsedAt      time.Time // zero: unspent
	CancelledAt time.Time // zero: not canceled
}

// LinkQuery selects a page of links that were neither used nor canceled and had not expired at Now.
type LinkQuery struct {
	Purpose LinkPurpose // "" for any
	UserID  string      // "" for everyone's
	Now     time.Time
	Cursor  string
	Limit   int // 1–1000; 0 means 50
}

// LinkPage is one page of links.
type LinkPage struct {
	Items []Link
	Next  string
}
