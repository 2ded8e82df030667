package assertion_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-auth/gatehouse/internal/assertion"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var t0 = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// watch returns the keys of a store as one process has them.
func watch(t *testing.T, st assertion.Store, clock *testenv.Clock) *assertion.Keys {
	t.Helper()
	k := assertion.NewKeys(st, clock.Now)
	t.Cleanup(k.Close)
	return k
}

func ringOf(t *testing.T, k *assertion.Keys) *assertion.Ring {
	t.Helper()
	r, err := k.Get(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signAt returns an assertion of that time, which is good for five minutes.
func signAt(t *testing.T, k *assertion.Keys, now time.Time) string {
	t.Helper()
	c := assertion.Claims{Issuer: "https://app.test", Audience: "https://app.test", Subject: "u1", Groups: []string{}}
	c.SetTimes(now, now.Add(5*time.Minute))
	text, err := ringOf(t, k).Sign(now, &c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func publicKeys(t *testing.T, k *assertion.Keys) (set jose.JSONWebKeySet) {
	t.Helper()
	doc, err := k.PublicKeys(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// check verifies an assertion as an app does.
func check(text string, set jose.JSONWebKeySet, now time.Time) error {
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return err
	}
	var c jwt.Claims
	if err := parsed.Claims(set, &c); err != nil {
		return err
	}
	return c.ValidateWithLeeway(jwt.Expected{Issuer: "https://app.test", AnyAudience: jwt.Audience{"https://app.test"}, Time: now}, 0)
}

func kidOf(t *testing.T, text string) string {
	t.Helper()
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Headers[0].KeyID
}

func TestAnAssertionIsAnES256JWTWhoseKeyIsNamedByItsThumbprint(t *testing.T) {
	t.Parallel()
	clock := testenv.NewClock(t0)
	k := watch(t, testenv.Store(t), clock)
	text, set := signAt(t, k, t0), publicKeys(t, k)
	head, err := base64.RawURLEncoding.DecodeString(text[:strings.IndexByte(text, '.')])
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(head, &header); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || !set.Keys[0].IsPublic() {
		t.Fatalf("published %+v", set)
	}
	thumbprint, err := set.Keys[0].Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	kid := base64.RawURLEncoding.EncodeToString(thumbprint)
	if header["alg"] != "ES256" || header["typ"] != "JWT" || header["kid"] != kid || len(header) != 3 {
		t.Errorf("the header is %v, want kid %s", header, kid)
	}
	if p := set.Keys[0]; p.KeyID != kid || p.Algorithm != "ES256" || p.Use != "sig" {
		t.Errorf("published %+v", p)
	}
	if err := check(text, set, t0); err != nil {
		t.Error(err)
	}
}

// However many Caddys start at once on an empty store, there is one key.
func TestProcessesThatStartTogetherAgreeOnOneKey(t *testing.T) {
	t.Parallel()
	place, clock := testenv.NewPlace(t), testenv.NewClock(t0)
	const n = 4
	kids := make([]string, n)
	var all []*assertion.Keys
	for range n {
		all = append(all, watch(t, place.Open(t), clock))
	}
	var wg sync.WaitGroup
	for i, k := range all {
		wg.Go(func() {
			r, err := k.Get(t.Context(), 0)
			if err != nil {
				t.Error(err)
				return
			}
			text, err := r.Sign(t0, new(assertion.Claims))
			if err != nil {
				t.Error(err)
				return
			}
			kids[i] = text[:strings.IndexByte(text, '.')]
		})
	}
	wg.Wait()
	for _, kid := range kids {
		if kid != kids[0] || kid == "" {
			t.Fatalf("the keys are %q", kids)
		}
	}
}

// Somebody who gets the row, and not the key that seals it, cannot sign.
func TestTheKeyIsSealedInTheStore(t *testing.T) {
	t.Parallel()
	place, clock := testenv.NewPlace(t), testenv.NewClock(t0)
	st := place.Open(t)
	k := watch(t, st, clock)
	signAt(t, k, t0)
	text, err := st.Setting(t.Context(), "assertion.keys")
	if err != nil || !strings.HasPrefix(text, "s1.1.") {
		t.Fatalf("stored %q, %v", text, err)
	}
	for _, bare := range []string{`"keys"`, `"private"`, "PRIVATE KEY", base64.StdEncoding.EncodeToString([]byte(`{"keys"`))[:8]} {
		if strings.Contains(place.Rows(t), bare) {
			t.Errorf("the store shows %q", bare)
		}
	}
	// A new sealing key changes nothing: the old one still opens.
	if _, err := seal.New(st).Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kidOf(t, signAt(t, watch(t, place.Open(t), clock), t0)) != kidOf(t, signAt(t, k, t0)) {
		t.Error("after a rotation of the sealing key there is another key")
	}
}

// Keys that cannot be opened are an error that says what to do, and are never replaced silently.
func TestKeysThatCannotBeOpenedAreReplacedOnlyOnDemand(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(text string) string{
		"changed":          func(s string) string { return s[:len(s)-2] + "AA" },
		"cut":              func(s string) string { return s[:len(s)/2] },
		"empty":            func(string) string { return "" },
		"another purpose":  func(string) string { return "s1.1." + strings.Repeat("A", 100) },
		"a lost seal key":  func(s string) string { return strings.Replace(s, "s1.1.", "s1.9.", 1) },
		"somebody's words": func(string) string { return `{"keys":[]}` },
	} {
		st, clock := testenv.Store(t), testenv.NewClock(t0)
		k := watch(t, st, clock)
		before := kidOf(t, signAt(t, k, t0))
		text, err := st.Setting(t.Context(), "assertion.keys")
		if err != nil {
			t.Fatal(err)
		}
		err = st.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "assertion.keys", damage(text)) })
		if err != nil {
			t.Fatal(err)
		}
		_, failed := k.Get(t.Context(), time.Hour)
		_, rotated := assertion.Rotate(t.Context(), st, t0)
		for _, err := range []error{failed, rotated} {
			if err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "rotate-keys --assertion --now") {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if _, err := assertion.Replace(t.Context(), st, t0); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text = signAt(t, k, t0)
		if kid := kidOf(t, text); kid == before {
			t.Errorf("%s: the key is the same", name)
		}
		if err := check(text, publicKeys(t, k), t0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without the store nothing is signed, except during grace with keys that were known when it was there last.
func TestWithoutTheStoreKeysServeForGraceOnly(t *testing.T) {
	t.Parallel()
	proxy, dsn := testenv.PostgresProxy(t)
	k := watch(t, testenv.OpenPostgres(t, dsn), testenv.NewClock(t0))
	signAt(t, k, t0)
	eventually(t, "a poll after the keys were read", func() bool {
		_, err := k.Get(t.Context(), 0)
		return err == nil && assertion.ReadBeforePoll(k)
	})
	ring := ringOf(t, k)
	proxy.Cut()
	eventually(t, "the keys not to be believed", func() bool {
		_, err := k.Get(t.Context(), 0)
		return errors.Is(err, store.ErrUnavailable)
	})
	if got, err := k.Get(t.Context(), time.Hour); err != nil || got != ring {
		t.Errorf("during grace: %v", err)
	}
	if _, err := k.Get(t.Context(), time.Millisecond); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("after grace: %v", err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Any number of requests sign at once, while the keys are replaced.
func TestManySignAtOnceWhileKeysChange(t *testing.T) {
	t.Parallel()
	st, clock := testenv.Store(t), testenv.NewClock(t0)
	k := watch(t, st, clock)
	signAt(t, k, t0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				r, err := k.Get(t.Context(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				c := assertion.Claims{Issuer: "https://app.test", Audience: "https://app.test"}
				c.SetTimes(t0, t0.Add(time.Minute))
				text, err := r.Sign(t0, &c)
				doc, err2 := r.PublicKeys(t0)
				var set jose.JSONWebKeySet
				if err := errors.Join(err, err2, json.Unmarshal(doc, &set), check(text, set, t0)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		if _, err := assertion.Replace(t.Context(), st, t0); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
