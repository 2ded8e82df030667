package store

import "time"

// DeviceState says what became of a device grant. The zero value is none of them.
type DeviceState string

// States of device grants.
const (
	DevicePending  DeviceState = "pending"
	DeviceApproved DeviceState = "approved" // its token may be fetched, once
	DeviceDenied   DeviceState = "denied"
	DeviceUsed     DeviceState = "used" // its token has been fetched
)

// DeviceGrant is a program's request for a token, which a person approves in a browser (RFC 8628). The program has the
// device code, the person types the user code; both are stored hashed.
type DeviceGrant struct {
	ID       string
	Hash     TokenHash // of the device code
	CodeHash TokenHash // of the user code; unique among the stored ones

	Client  string // what the program calls itself
	Hosts   []string
	Paths   []string // nil for all
	Methods TokenMethods
	Site    string // host that was asked
	Origin  string // client address by which requests are bounded, an IPv6 address by its /64; "" if unknown
	IP      string

	CreatedAt time.Time
	ExpiresAt time.Time
	State     DeviceState
	UserID    string // who decided, "" while it is pending
	TokenID   string // of the token that was made when it was approved
}

// Expired reports whether a grant is over at now.
func (g DeviceGrant) Expired(now time.Time) bool { return !now.Before(g.ExpiresAt) }

// DeviceDecision is what a person says to a device grant: State is DeviceApproved, with the token, or DeviceDenied.
type DeviceDecision struct {
	State   DeviceState
	UserID  string
	TokenID string
}
