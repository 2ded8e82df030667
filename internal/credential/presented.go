package credential

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// Header is the header that holds a token of ours and nothing else, for programs whose Authorization is the app's.
const Header = "Gatehouse-Token"

// Carrier is where in a request a token is.
type Carrier int

// Carriers.
const (
	Nowhere   Carrier = iota
	Own               // Gatehouse-Token
	Bearer            // Authorization: Bearer (RFC 6750, section 2.1)
	Bare              // Authorization with the token alone, as cargo sends it
	Proxy             // Proxy-Authorization: Bearer
	Basic             // Authorization: Basic (RFC 7617), as the password, or as the username of an empty one
	Elsewhere         // a token of ours where none is accepted
)

// Presented is what a request has of ours among its credentials. The zero value is nothing.
type Presented struct {
	Carrier Carrier
	// Text is what should be the token; see [Valid]. "" where it is in a place that does not count.
	Text string
	// JWT means that Text is a JWT of an issuer that is configured.
	JWT bool
	// Several means that the request has more than one credential of ours, or repeats a header with one: nobody can tell
	// which counts (RFC 6750, section 2).
	Several bool
}

// Ours reports whether there is a credential of ours.
func (p Presented) Ours() bool { return p.Carrier != Nowhere }

// carriers are the headers that may have a credential of ours.
var carriers = [...]string{"Authorization", "Proxy-Authorization", Header}

// Take reads the credential of ours and removes the headers that have one: it is for the gate, and for nobody behind
// it. Other credentials stay as they are: they are the app's. removed has what was there. ourJWT reports whether a
// bearer token is a JWT that the gate judges; nil for none.
func Take(h http.Header, ourJWT func(token string) bool) (p Presented, removed http.Header) {
	isJWT := func(value string) bool {
		token, ok := afterScheme(value, "Bearer")
		return ok && ourJWT != nil && ourJWT(token)
	}
	for _, name := range carriers {
		values := h[name]
		jwt := name == "Authorization" && slices.ContainsFunc(values, isJWT)
		if len(values) == 0 || name != Header && !jwt && !slices.ContainsFunc(values, hidden) {
			continue
		}
		found := read(name, values[0])
		found.JWT = jwt
		found.Several = found.Several || len(values) > 1 || p.Ours()
		p = found
		if removed == nil {
			removed = make(http.Header, 1)
		}
		removed[name] = values
		delete(h, name)
	}
	return p, removed
}

// hidden reports whether a header's value has a token of ours in any place, also in one that does not count: it must
// not reach the app, and must not be read as if it were not there.
func hidden(value string) bool {
	if holds(value) {
		return true
	}
	_, rest, _ := strings.Cut(value, " ") // Basic, and whatever else is encoded like it
	for _, e := range encodings {
		if plain, err := e.DecodeString(strings.TrimSpace(rest)); err == nil && holds(string(plain)) {
			return true
		}
	}
	return false
}

// encodings are the spellings of base64. Clients that leave out the padding are understood.
var encodings = [...]*base64.Encoding{
	base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
}

// read reads a header's value that has a token of ours.
func read(name, value string) Presented {
	if name == Header {
		return Presented{Carrier: Own, Text: value}
	}
	if hasPrefix(value) && name == "Authorization" {
		return Presented{Carrier: Bare, Text: value}
	}
	if token, ok := afterScheme(value, "Bearer"); ok && name == "Authorization" {
		return Presented{Carrier: Bearer, Text: token}
	} else if ok {
		return Presented{Carrier: Proxy, Text: token}
	}
	if encoded, ok := afterScheme(value, "Basic"); ok && name == "Authorization" {
		return readBasic(encoded)
	}
	return Presented{Carrier: Elsewhere}
}

// afterScheme returns what follows an authentication scheme, which is in any case (RFC 9110, section 11.1).
func afterScheme(value, scheme string) (rest string, ok bool) {
	first, rest, _ := strings.Cut(value, " ")
	return strings.TrimLeft(rest, " "), strings.EqualFold(first, scheme)
}

// readBasic reads the credentials of Basic. The username beside a token is for people and says nothing, but a password
// beside a token would be a second credential.
func readBasic(encoded string) Presented {
	p := Presented{Carrier: Basic}
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		if plain, err = base64.RawStdEncoding.DecodeString(encoded); err != nil {
			return Presented{Carrier: Elsewhere}
		}
	}
	username, password, ok := strings.Cut(string(plain), ":")
	switch {
	case !ok: // no credentials of Basic (RFC 7617, section 2)
		return Presented{Carrier: Elsewhere}
	case !holds(username):
		p.Text = password
	case password == "":
		p.Text = username
	default:
		p.Several = true
	}
	return p
}
