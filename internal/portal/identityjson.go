package portal

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// IdentityJSON is a person at a provider who is a user here, in the JSON API.
type IdentityJSON struct {
	ID          string     `json:"id"`
	Provider    string     `json:"provider"`
	Issuer      string     `json:"issuer"`
	Subject     string     `json:"subject"`
	Email       string     `json:"email"`
	Name        string     `json:"name"`
	CreatedAt   time.Time  `json:"created_at"`
	LastLoginAt *time.Time `json:"last_login_at"`
}

// NewIdentityJSON shows an identity.
func NewIdentityJSON(i store.Identity) IdentityJSON {
	j := IdentityJSON{
		ID: i.ID(), Provider: i.Provider, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email, Name: i.Name, CreatedAt: i.CreatedAt.UTC(),
	}
	if !i.LastLoginAt.IsZero() {
		t := i.LastLoginAt.UTC()
		j.LastLoginAt = &t
	}
	return j
}
