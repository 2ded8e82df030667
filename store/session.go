package store

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// TokenHash is the SHA-256 of a secret token. Only the hash is stored: a stolen database gives no usable token.
type TokenHash [sha256.Size]byte

// HashToken hashes a token in its encoded form (the text, not the decoded bytes).
func HashToken(token string) TokenHash {
	var buf [64]byte // saves an allocation per request: tokens are 43 bytes
	if n := copy(buf[:], token); n == len(token) {
		return sha256.Sum256(buf[:n])
	}
	return sha256.Sum256([]byte(token))
}

// String returns the hash as it is stored: 43 characters of base64url.
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
		return errors.New("token hash: malformed value in the store")
	}
	copy(h[:], b)
	return nil
}

// Session is a signed-in browser.
type Session struct {
	ID        string // public: shown in lists and the API; never the cookie's value nor derived from it
	TokenHash TokenHash
	UserID    string
	Epoch     int64 // the user's epoch when the session was created

	CreatedAt  time.Time     // of the first sign-in; unchanged when the token is rotated
	AuthAt     time.Time     // last authentication (sign-in or step-up), zero if unknown
	LastSeenAt time.Time     // written in batches
	Idle       time.Duration // expires when unused for this long
	ExpiresAt  time.Time     // absolute expiry
	Remember   bool          // the cookie outlives the browser

	Method   string // "password", "oidc", "link"
	Provider string // name of the provider, "" for local sign-ins
	// Issuer, Subject and SID come from the ID token and are needed for back-channel logout.
	Issuer, Subject, SID string
	// Claims are the provider's claims as of sign-in, step-up or the last refresh, serialized by internal/login; "" for
	// sessions of an older version, which stored none.
	Claims string
	Sealed string // provider tokens, encrypted; "" for none

	// Methods are how the person proved who it is, separated by blanks, see internal/assurance; "" for sessions of an
	// older version. MFAAt is when a second factor was last proved, zero for never.
	Methods string
	MFAAt   time.Time

	IP        string // client address at sign-in, without its zone, "" if unknown
	UserAgent string // at most 512 bytes
	Host      string // the site signed in to
}

// SessionTokens are refreshed tokens of a live session, and claims that came with them.
type SessionTokens struct {
	Sealed string
	Claims string // "" leaves the session's as they are: they may have been cleared since they were read
}

// Touch records the use of a session.
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
	NoSID   bool // with Subject: sessions whose name at the provider has no SID
	All     bool
	// Replaced, with ID, means that another session takes its place. Otherwise ended sessions are marked with
	// [MarkEnded].
	Replaced bool
}

// SessionQuery selects a page of sessions.
type SessionQuery struct {
	UserID string // "" for everyone's
	Text   string // part of the username or IP, folded; a complete IP address matches that address only
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

// MarkEnded is the kind of mark that is stored for [EndedMarkTTL] when sessions are ended: under the id of the user if
// all of the user's sessions ended, under the id of a single session, or under [EndedAll]. A sign-in that started
// before the mark creates no session.
const MarkEnded = "ended"

// EndedAll is the key of the mark that all sessions of all users were ended.
const EndedAll = "*"

// EndedMarkTTL is how long a mark of ended sessions is stored: at least as long as a sign-in may take.
const EndedMarkTTL = 15 * time.Minute

// Flow is a sign-in in progress at a provider. It can be taken once.
type Flow struct {
	Hash      TokenHash // of the state parameter
	Browser   TokenHash // of the cookie that binds the flow to the browser
	Provider  string
	UserID    string // with Purpose "link", "reauth": the signed-in user
	Purpose   string // such as "login"; defined in internal/oidc
	Data      string // encrypted: nonce, PKCE verifier, return URL
	CreatedAt time.Time
	ExpiresAt time.Time
}

// LinkPurpose is what a one-time link may be used for; it cannot be used for another purpose.
type LinkPurpose string

// Purposes of links.
const (
	LinkSetup    LinkPurpose = "setup"    // create the first administrator
	LinkPassword LinkPurpose = "password" // set a password: invitation or reset
)

// Link is a one-time link. Its token is shown once and stored hashed.
type Link struct {
	ID          string
	Hash        TokenHash
	Purpose     LinkPurpose
	UserID      string // "" for set-up links
	CreatedBy   string // display name of the actor: a username, "command line", "start-up"
	EndSessions bool   // end the user's sessions when it is used
	CreatedAt   time.Time
	ExpiresAt   time.Time
	UsedAt      time.Time // zero: unused
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
