package assertion

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Claims are what an assertion says. Times are Unix seconds. The names are those of RFC 7519, section 4.1, of OpenID
// Connect Core 1.0, sections 2 and 5.1, and of OpenID Connect Front-Channel Logout 1.0 (sid).
//
// There is no nonce, azp or events among them: an assertion cannot pass for an ID token or a logout token.
type Claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	Subject   string `json:"sub"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	ExpiresAt int64  `json:"exp"`
	ID        string `json:"jti"`

	// What is not known is left out, and not said to be empty: an app must not take two people without an address for one.
	Username      string   `json:"preferred_username,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified *bool    `json:"email_verified,omitempty"`
	Name          string   `json:"name,omitempty"`
	Groups        []string `json:"groups,omitzero"` // nil is left out, none is []
	Role          string   `json:"role,omitempty"`
	AuthTime      int64    `json:"auth_time,omitempty"`
	AMR           []string `json:"amr,omitzero"` // RFC 8176
	ACR           string   `json:"acr,omitempty"`
	Session       string   `json:"sid,omitempty"`
}

// SetTimes has the assertion begin now and end at a time, with an id of its own. The end is the next whole second: one
// that is over when it arrives would be of no use.
func (c *Claims) SetTimes(now, end time.Time) {
	c.IssuedAt = now.Unix()
	c.NotBefore = c.IssuedAt
	c.ExpiresAt = end.Unix()
	if end.Nanosecond() > 0 {
		c.ExpiresAt++
	}
	c.ID = rand.Text()
}

// SessionHash returns the name of a session for apps: not its id, by which an administrator's API finds it.
func SessionHash(id string) string {
	sum := sha256.Sum256([]byte("gatehouse session\x00" + id))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
