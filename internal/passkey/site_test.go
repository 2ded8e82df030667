package passkey_test

import (
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// Where there can be passkeys, which domain they belong to, and why not elsewhere.
func TestWherePasskeysBelongTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secure       bool
		host, domain string
		rpID         string
		reason       passkey.Reason
	}{
		"a host":                {true, "app.example.com", "", "app.example.com", ""},
		"below the domain":      {true, "app.example.com:8443", "example.com", "example.com", ""},
		"the domain":            {true, "example.com", "example.com", "example.com", ""},
		"another domain":        {true, "app.other.net", "example.com", "app.other.net", ""},
		"a longer name":         {true, "myexample.com", "example.com", "myexample.com", ""},
		"localhost":             {false, "localhost:8080", "", "localhost", ""},
		"localhost, by TLS":     {true, "localhost", "example.com", "localhost", ""},
		"below localhost":       {false, "app.localhost:8080", "", "app.localhost", ""},
		"IPv4":                  {true, "127.0.0.1", "", "", passkey.ReasonIP},
		"IPv4, plain":           {false, "127.0.0.1:80", "", "", passkey.ReasonIP},
		"IPv6":                  {true, "[::1]:8443", "", "", passkey.ReasonIP},
		"plain":                 {false, "app.example.com", "", "", passkey.ReasonHTTP},
		"plain, one label":      {false, "gate", "", "", passkey.ReasonHTTP},
		"like localhost":        {false, "localhost.example.com", "", "", passkey.ReasonHTTP},
		"one label":             {true, "gate", "", "", passkey.ReasonHost},
		"a final dot":           {true, "app.example.com.", "", "", passkey.ReasonHost},
		"a final dot, a domain": {true, "app.example.com.", "example.com", "", passkey.ReasonHost},
		"unknown":               {true, "", "", "", passkey.ReasonHost},
	} {
		q := &reqctx.Request{Secure: c.secure, Host: c.host}
		got, err := passkey.SiteOf(q, c.domain, "Example")
		if c.reason != "" {
			var no *passkey.UnavailableError
			if !errors.As(err, &no) || no.Reason != c.reason {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		if err != nil || got.RPID != c.rpID || got.Origin != q.Origin() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
