package store

import "time"

// UserKind says what an account stands for. The zero value is a person.
type UserKind string

// Kinds of accounts.
const (
	KindPerson  UserKind = "person"
	KindService UserKind = "service" // a program: it has tokens, and no password, identity, session or admin role
)

// TokenMethods says with which methods a token may be used. The zero value is none.
type TokenMethods string

// Methods of tokens.
const (
	TokenRead TokenMethods = "read" // GET, HEAD, OPTIONS, PROPFIND, REPORT
	TokenAll  TokenMethods = "all"
)

// AllHosts is the host of a token that means all hosts of all gates.
const AllHosts = "*"

// Token is a credential of a program: a person's or a service account's. Its text is shown once and stored hashed.
type Token struct {
	ID     string
	Hash   TokenHash
	UserID string
	Name   string // for people; may be empty
	Hint   string // the last four characters of the text, "" while nobody has it

	Hosts   []string // exact, or "*.x" for one label, without ports; or AllHosts; at least one
	Paths   []string // rules as of "public"; nil for all
	Methods TokenMethods
	Level   string // assurance of the session that made it, "aal1" or "aal2"; "" for tokens of service accounts

	// Provider, Issuer, Subject and Claims are those of the session that made it, "" for local ones: rights that a
	// provider gives apply as in that session. Claims follow what that provider says about the identity later, whether
	// it lets anybody in or not: see [Tx.RenewTokenClaims].
	Provider, Issuer, Subject string
	Claims                    string

	CreatedBy  string // display name of the actor
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	ReplacedBy string    // id of the token that it was rotated to, "" for none: it ends with that one
	LastUsedAt time.Time // zero: never; written in batches, at least a minute apart
	LastUsedIP string
}

// Expired reports whether a token is over at now.
func (t Token) Expired(now time.Time) bool { return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) }

// Fetched reports whether anybody has the text: a token that was approved for a program has none until that comes.
func (t Token) Fetched() bool { return t.Hint != "" }

// TokenSelector says which tokens to delete. Set exactly one.
type TokenSelector struct {
	ID     string // with those that it has replaced
	UserID string
}

// TokenQuery selects a page of tokens, newest first.
type TokenQuery struct {
	UserID string // "" for everyone's
	Cursor string
	Limit  int // 1–1000; 0 means 50
}

// TokenRow is a token in a list, with its owner's name and kind.
type TokenRow struct {
	Token
	Username string
	Kind     UserKind
}

// TokenPage is one page of tokens.
type TokenPage struct {
	Items []TokenRow
	Next  string
}

// TokenUse records the use of a token.
type TokenUse struct {
	TokenID string
	At      time.Time
	IP      string
}
