package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// Client is a client at an OpenID provider that people sign in with. ID tokens for it are no machine's.
type Client struct {
	Issuer string
	ID     string
}

// Options of a [Set]. The zero value is the default of each.
type Options struct {
	Clock   func() time.Time // default time.Now
	Clients []Client         // of the configured providers
	// OwnKey reports whether a key, by its thumbprint (RFC 7638), is one that the gate signs its own assertions with:
	// those are for apps, and no issuer's keys may make them good here. An error means that it could not be found out.
	// Default: there are none.
	OwnKey func(ctx context.Context, thumbprint string) (bool, error)
}

// Set holds the issuers of one configuration. It is safe for concurrent use. The nil value recognizes no token.
type Set struct {
	issuers map[string]*issuer // by iss
	now     func() time.Time
	ownKey  func(ctx context.Context, thumbprint string) (bool, error)
	kept    *otter.Cache[[sha256.Size]byte, kept]
}

type issuer struct {
	Issuer
	verifier *oidc.Issuer
	want     oidc.ExpectedJWT
}

// Verified is what a good token says.
type Verified struct {
	Issuer  string // its name in the configuration
	Account string // name of the service account; it may be missing or inactive
	// ID stands for this very token as this account, in logs and for the app: the issuer's name, and a hash.
	ID      string
	Hash    [sha256.Size]byte
	Expires time.Time // exp; accepted for [Leeway] more
}

// Leeway is what the clocks of an issuer and of this machine may differ by.
const Leeway = oidc.Leeway

// kept is a result, from the time it was made until it is no longer used.
type kept struct {
	result      Verified
	from, until time.Time
}

const (
	keepFor = time.Minute // a verified result
	maxKept = 4096
)

var (
	// ErrInvalid means that a token is refused. The error that wraps it says why, for the operator.
	ErrInvalid = errors.New("the token is refused")
	// ErrNoKeys means that a token could not be verified: there are no keys of its issuer, which may be down.
	ErrNoKeys = errors.New("the keys of the token's issuer are not available")
)

// New returns the issuers of a configuration; nil if there are none. It makes no requests: keys are fetched when the
// first token comes.
func New(pool *oidc.Pool, issuers []Issuer, o Options) (*Set, error) {
	if len(issuers) == 0 {
		return nil, nil //nolint:nilnil // a set without issuers is nil
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.OwnKey == nil {
		o.OwnKey = func(context.Context, string) (bool, error) { return false, nil }
	}
	s := &Set{
		issuers: make(map[string]*issuer), now: o.Clock, ownKey: o.OwnKey,
		kept: otter.Must(&otter.Options[[sha256.Size]byte, kept]{MaximumSize: maxKept}),
	}
	if err := Check(issuers, o.Clients); err != nil {
		return nil, err
	}
	for _, c := range issuers {
		verifier, err := pool.Issuer(c.source())
		if err != nil {
			return nil, fmt.Errorf("token_issuer %s: %w", c.Name, err)
		}
		s.issuers[c.Issuer] = &issuer{Issuer: c, verifier: verifier, want: oidc.ExpectedJWT{
			Audiences: c.Audiences, NotFor: clientsAt(o.Clients, c.Issuer), SignAlgs: c.SignAlgs,
			AccessToken: c.AccessToken, MaxAge: c.MaxAge,
		}}
	}
	return s, nil
}

// Check returns the first problem with issuers that there are together, and with these clients.
func Check(issuers []Issuer, clients []Client) error {
	names, addresses := make(map[string]bool), make(map[string]string)
	for _, c := range issuers {
		if err := c.Validate(); err != nil {
			return err
		}
		if names[c.Name] {
			return fmt.Errorf("token_issuer %s: is given twice; each issuer needs a name of its own", c.Name)
		}
		if other := addresses[c.Issuer]; other != "" {
			return fmt.Errorf("token_issuer %s: issuer: is that of %s, too; write one block, with all audiences and rules",
				c.Name, other)
		}
		names[c.Name], addresses[c.Issuer] = true, c.Name
		for _, id := range clientsAt(clients, c.Issuer) {
			if slices.Contains(c.Audiences, id) {
				return fmt.Errorf("token_issuer %s: audience: is the client_id of an oidc provider with that issuer, and ID "+
					"tokens of people would be taken for programs; register an application of its own for programs", c.Name)
			}
		}
	}
	return nil
}

func clientsAt(clients []Client, issuer string) []string {
	var ids []string
	for _, c := range clients {
		if c.Issuer == issuer {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// Recognizes reports whether a bearer token names one of the issuers: then it is ours, good or bad. What has the form
// of a JWT and is too large to be read is ours, too. Every other token belongs to the app.
func (s *Set) Recognizes(token string) bool {
	return s != nil && (oidc.IsOversizedJWT(token) || s.issuerOf(token) != nil)
}

// issuerOf returns the issuer that a token names, before anything of it is verified.
func (s *Set) issuerOf(token string) *issuer {
	for _, iss := range oidc.UnverifiedIssuers(token) {
		if i := s.issuers[iss]; i != nil {
			return i
		}
	}
	return nil
}

// Verify verifies a token that [Set.Recognizes]. Errors are [ErrInvalid], [ErrNoKeys], or that of [Options.OwnKey].
func (s *Set) Verify(ctx context.Context, token string) (Verified, error) {
	if s == nil || len(token) > oidc.MaxJWT {
		return Verified{}, fmt.Errorf("%w: it is too large, or there is no issuer", ErrInvalid)
	}
	id, now := sha256.Sum256([]byte(token)), s.now()
	if k, ok := s.kept.GetIfPresent(id); ok && !now.Before(k.from) && now.Before(k.until) {
		return k.result, nil
	}
	i := s.issuerOf(token)
	if i == nil {
		return Verified{}, fmt.Errorf("%w: its issuer is not configured", ErrInvalid)
	}
	jwt, err := i.verifier.Verify(ctx, token, &i.want)
	switch {
	case err != nil && oidc.KindOf(err) == oidc.Invalid:
		return Verified{}, fmt.Errorf("%w: token_issuer %s: %w", ErrInvalid, i.Name, err)
	case err != nil:
		return Verified{}, fmt.Errorf("%w: token_issuer %s: %w", ErrNoKeys, i.Name, err)
	}
	own, err := s.ownKey(ctx, jwt.Key)
	if err != nil {
		return Verified{}, err
	}
	if own {
		return Verified{}, fmt.Errorf("%w: token_issuer %s: it is an assertion of this gate, for an app", ErrInvalid, i.Name)
	}
	account, ok := i.account(jwt)
	if !ok {
		return Verified{}, fmt.Errorf("%w: token_issuer %s: no rule (as) holds", ErrInvalid, i.Name)
	}
	acting := sha256.Sum256(append(id[:], account...)) // with other rules the same token acts as another account
	result := Verified{
		Issuer: i.Name, Account: account, Hash: id, Expires: jwt.Expires,
		ID: i.Name + ":" + hex.EncodeToString(acting[:16]),
	}
	s.keep(id, result, now, jwt.Until)
	return result, nil
}

// keep keeps good results only: bad tokens, however many, take nobody's place.
func (s *Set) keep(id [sha256.Size]byte, result Verified, now, until time.Time) {
	if most := now.Add(keepFor); most.Before(until) {
		until = most
	}
	if now.Before(until) {
		s.kept.Set(id, kept{result: result, from: now, until: until})
	}
}
