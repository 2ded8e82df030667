package store

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// Role is a user's role in Gatehouse. The zero value is no role and satisfies no rule.
type Role string

// The two roles.
const (
	RoleAdmin Role = "admin"
	RoleUser  Role = "user"
)

// Valid reports whether r is one of the two roles.
func (r Role) Valid() bool { return r == RoleAdmin || r == RoleUser }

// User is an account: of a person, who may sign in, or of a program.
type User struct {
	ID       string // 26 characters, made by NewID; never reused
	Kind     UserKind
	Username string // unique when folded; 1–254 characters, no control characters
	Email    string // may be empty; unique when folded among local accounts
	// EmailVerified means that an administrator, the deployment or a provider has verified Email. Rules by e-mail
	// address or domain apply only then.
	EmailVerified bool
	Name          string // display name; may be empty
	Role          Role
	// RoleGranted means that an administrator, the deployment or the command line set Role. Otherwise a provider's
	// groups decide it at every sign-in.
	RoleGranted bool
	// RoleProvided means that a provider made the user an administrator. The role is effective only in sessions from
	// that provider, and does not count for the last-admin rule. The store clears it where it cannot be true.
	RoleProvided bool
	Groups       []string // sorted, no duplicates, no commas
	// ProvidedGroups are those of Groups that come from a provider: they are effective only in sessions from it. The
	// store drops what is not in Groups.
	ProvidedGroups []string
	Active         bool // may sign in
	Pending        bool // created by a first sign-in, waits for an administrator's approval; never let through
	Managed        bool // the deployment's root administrator: e-mail, password, role and state are locked
	Local          bool // has, or may set, a password; false for accounts that come from a provider only
	Origin         Origin

	PasswordHash      string // PHC or an imported format; "" means no password
	MustChange        bool   // has to set a new password before anything else
	PasswordChangedAt time.Time

	Factors Factors // second factors

	Epoch   int64 // session epoch: a session of another epoch is over
	Version int64 // optimistic lock

	CreatedAt   time.Time
	UpdatedAt   time.Time
	LastLoginAt time.Time // zero: never signed in
}

// IsService reports whether u is a service account.
func (u User) IsService() bool { return u.Kind == KindService }

// IsActiveAdmin reports whether u is an active administrator. For the last-admin rule only those count who can also
// sign in; see [Reader.ActiveAdmins].
func (u User) IsActiveAdmin() bool { return u.Role == RoleAdmin && u.Active && !u.Pending }

// Origin says where an account came from.
type Origin string

// Origins.
const (
	OriginLocal    Origin = "local"    // created in Gatehouse: admin page, command line, set-up link
	OriginEnv      Origin = "env"      // created from the environment
	OriginOIDC     Origin = "oidc"     // created by a sign-in through a provider
	OriginImported Origin = "imported" // imported from another system
)

// PasswordChange is the argument of [Tx.SetPassword].
type PasswordChange struct {
	Hash       string
	MustChange bool
	At         time.Time
	KeepTokens bool   // the user's tokens stay: not a reset, which takes the account from whoever had it
	Rehash     bool   // same password, new format
	IfHash     string // with Rehash: write only over this hash
}

// Identity links a person at a provider to a user: by issuer and subject, never by e-mail (OpenID Connect Core 1.0,
// section 5.7).
type Identity struct {
	Issuer      string
	Subject     string
	UserID      string
	Provider    string // name in the configuration when last used
	Email       string
	Name        string
	Groups      []string
	CreatedAt   time.Time
	LastLoginAt time.Time
}

// ID identifies the identity in URLs: 32 characters, a one-way hash of issuer and subject.
func (i Identity) ID() string {
	sum := sha256.Sum256([]byte(i.Issuer + "\x00" + i.Subject))
	return hex.EncodeToString(sum[:16])
}

// UserSort names an order of users. A leading '-' reverses it.
type UserSort string

// Orders of users. Every order is made total by the id.
const (
	SortUsername  UserSort = "username"
	SortEmail     UserSort = "email"
	SortCreated   UserSort = "created"
	SortLastLogin UserSort = "last_login"
)

// UserQuery selects a page of users. The zero value is the first page of everyone by username.
type UserQuery struct {
	Text     string   // part of username, e-mail or name, folded
	Status   string   // "", "active", "inactive", "pending", "never" (never signed in)
	Role     Role     // "" for any
	Kind     UserKind // "" for any
	Provider string   // "", "local", or the name of a provider
	Group    string   // "" for any, else the name of a group as it is
	MFA      MFAState // "" for any
	// MFAFor, with MFANone alone, selects only those who have to have a second factor. It may be nil.
	MFAFor *MFADemand
	Sort   UserSort
	Cursor string // Next of the page before; opaque
	Limit  int    // 1–1000; 0 means 50
}

// MFAState selects users by their second factors.
type MFAState string

// States of second factors in a query.
const (
	MFAAny  MFAState = "any"  // has one
	MFANone MFAState = "none" // has none; service accounts are not among them
)

// MFADemand says who has to have a second factor: administrators, and members of any of the groups; or everybody.
type MFADemand struct {
	All    bool
	Admins bool
	Groups []string
}

// UserPage is one page of users; Next is "" on the last one. Prev is the cursor of the previous page, to be read in
// the reversed order; "" when the page was requested without a cursor.
type UserPage struct {
	Items []User
	Next  string
	Prev  string
}

// MaxKey is the maximum length of a key in bytes.
const MaxKey = identifier.MaxKey

// FoldName returns the key under which a username or e-mail is unique. Two spellings with one key are one name.
func FoldName(s string) string { return identifier.Fold(s) }
