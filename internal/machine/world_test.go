package machine_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const audience = "https://app.example.com"

// world is one issuer, which is a real server, and the set that it is configured in.
type world struct {
	t      *testing.T
	clock  *testenv.Clock
	idp    *idp.Provider
	pool   *oidc.Pool
	config machine.Issuer
	set    *machine.Set
}

func newWorld(t *testing.T, change ...func(*machine.Issuer)) *world {
	t.Helper()
	w := &world{t: t, clock: testenv.NewClock(began)}
	w.idp = idp.NewAt(t, w.clock.Now)
	// CI systems and clusters publish this much and no more.
	w.idp.SetFaults(func(f *idp.Faults) {
		f.Metadata = func(m map[string]any) {
			for name := range m {
				if name != "issuer" && name != "jwks_uri" && name != "id_token_signing_alg_values_supported" {
					delete(m, name)
				}
			}
		}
	})
	w.pool = oidc.NewPool(oidc.PoolOptions{Clock: w.clock.Now, Log: zap.NewNop()})
	t.Cleanup(w.pool.Close)
	w.config = machine.Issuer{
		Name: "ci", Issuer: w.idp.Issuer, Audiences: []string{audience}, Insecure: true,
		Rules: []machine.Rule{{Account: "deploy", Claims: []machine.Claim{{Path: "repository_id", Values: []string{"456789"}}}}},
	}
	for _, c := range change {
		c(&w.config)
	}
	w.set = w.newSet()
	return w
}

func (w *world) newSet(clients ...machine.Client) *machine.Set {
	w.t.Helper()
	set, err := machine.New(w.pool, []machine.Issuer{w.config}, machine.Options{Clock: w.clock.Now, Clients: clients})
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

// claims are those of a good token, with changes; nil removes one.
func (w *world) claims(changes map[string]any) map[string]any {
	now := w.clock.Now().Unix()
	c := map[string]any{
		"iss": w.idp.Issuer, "aud": audience, "sub": "repo:org/app:ref:refs/heads/main", "repository_id": "456789",
		"iat": now, "nbf": now, "exp": now + 300, "jti": "one",
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (w *world) sign(changes map[string]any) string { return idp.RSA(0).Sign(w.claims(changes), nil) }

// accepted returns what a good token says.
func (w *world) accepted(what, token string) machine.Verified {
	w.t.Helper()
	if !w.set.Recognizes(token) {
		w.t.Errorf("%s: it is not recognized", what)
	}
	v, err := w.set.Verify(w.t.Context(), token)
	if err != nil {
		w.t.Errorf("%s: %v", what, err)
	}
	return v
}

// refused expects that a token is refused, and returns why.
func (w *world) refused(what, token string) string {
	w.t.Helper()
	v, err := w.set.Verify(w.t.Context(), token)
	switch {
	case err == nil:
		w.t.Errorf("%s: it acts as %s", what, v.Account)
		return ""
	case !errors.Is(err, machine.ErrInvalid) || errors.Is(err, machine.ErrNoKeys):
		w.t.Errorf("%s: %v", what, err)
	case v != machine.Verified{}:
		w.t.Errorf("%s: refused with %+v", what, v)
	}
	return err.Error()
}

// noKeys expects that a token cannot be verified.
func (w *world) noKeys(what, token string) {
	w.t.Helper()
	if _, err := w.set.Verify(w.t.Context(), token); !errors.Is(err, machine.ErrNoKeys) {
		w.t.Errorf("%s: %v", what, err)
	}
}

// calls checks how often the keys were fetched.
func (w *world) calls(what string, want int) {
	w.t.Helper()
	if n := w.idp.Calls("jwks"); n != want {
		w.t.Errorf("%s: the keys were fetched %d times, want %d", what, n, want)
	}
}

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}
