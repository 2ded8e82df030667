package machine_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func unknownKey(w *world, n int) string {
	return idp.RSA(2).Sign(w.claims(map[string]any{"jti": fmt.Sprint(n)}), map[string]any{"kid": fmt.Sprint("made up ", n)})
}

func TestKeysAreFetchedWhenTheFirstTokenComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newSet()
	w.calls("two configurations", 0)
	w.set.Recognizes(w.sign(nil))
	w.refused("another header", signRaw(t, idp.RSA(0), map[string]any{"crit": []string{"x"}}, w.claims(nil)))
	w.calls("a token that is refused by its form", 0)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, err := w.set.Verify(context.Background(), w.sign(map[string]any{"jti": fmt.Sprint(i)})); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.set = w.newSet() // a reload
	w.accepted("after a reload", w.sign(nil))
	w.calls("many at once, and a reload", 1)
}

// Anybody can make up key ids.
func TestUnknownKeysAreLookedUpOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 100 {
		w.refused("from the start", unknownKey(w, i))
	}
	w.calls("a flood from the start", 1)
	w.accepted("good", w.sign(nil))
	for minute := range 3 {
		w.clock.Advance(time.Minute)
		for i := range 50 {
			w.refused("flood", unknownKey(w, i))
		}
		w.calls("a flood", 2+minute)
	}
	for i := range 50 {
		w.refused("no key id", idp.RSA(2).Sign(w.claims(nil), map[string]any{"kid": nil}))
		w.refused("a known key id", idp.RSA(2).Sign(w.claims(map[string]any{"jti": fmt.Sprint(i)}), map[string]any{"kid": "rsa0"}))
	}
	w.calls("no key id, or a known one", 4)
	w.accepted("good again", w.sign(map[string]any{"jti": "two"}))
}

func TestANewKeyIsAcceptedAtOnceAndAnOldOneGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.accepted("old", w.sign(nil))
	w.idp.Keys(idp.RSA(1), idp.RSA(0))
	w.accepted("new", idp.RSA(1).Sign(w.claims(nil), nil))
	w.accepted("both are published", w.sign(map[string]any{"jti": "two"}))
	w.calls("one rotation", 2)
	w.idp.Keys(idp.RSA(1))
	w.clock.Advance(10 * time.Minute)
	w.refused("withdrawn", w.sign(nil))
	same := idp.RSA(2) // an issuer that gives a new key the old id
	same.ID = idp.RSA(1).ID
	w.idp.Keys(same)
	w.clock.Advance(time.Minute)
	w.accepted("a new key with an old id", same.Sign(w.claims(nil), nil))
}

func TestTheLastKeysServeADayOfOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.accepted("before", w.sign(nil))
	w.idp.Down(true)
	for _, hours := range []int{1, 5, 17} {
		w.clock.Advance(time.Duration(hours) * time.Hour)
		w.accepted("in the outage", w.sign(nil))
		w.refused("an unknown key in the outage", unknownKey(w, hours))
	}
	w.clock.Advance(59 * time.Minute)
	w.accepted("just within a day", w.sign(nil))
	w.clock.Advance(time.Minute)
	w.noKeys("after a day", w.sign(nil))
	w.idp.Down(false)
	w.clock.Advance(time.Minute)
	w.accepted("afterwards", w.sign(nil))
}

func TestAnOutageIsNotMadeWorseByTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.idp.Down(true)
	for range 30 {
		w.noKeys("down from the start", w.sign(nil))
	}
	if n := w.idp.Calls("discovery"); n > 4 { // an idle connection that breaks is tried again by net/http
		t.Errorf("%d requests", n)
	}
	w.idp.Down(false)
	w.clock.Advance(2 * time.Second)
	w.idp.SetFaults(func(f *idp.Faults) {
		f.Handle = func(endpoint string, rw http.ResponseWriter, _ *http.Request) bool {
			if endpoint == "jwks" {
				rw.WriteHeader(http.StatusBadGateway)
			}
			return endpoint == "jwks"
		}
	})
	for range 30 {
		w.noKeys("only the keys are down", w.sign(nil))
	}
	w.calls("only the keys are down", 1)
	w.idp.SetFaults(func(f *idp.Faults) { f.Handle = nil })
	w.noKeys("within the back-off", w.sign(nil))
	w.clock.Advance(time.Minute)
	w.accepted("afterwards", w.sign(nil))
}

// Old keys serve while an issuer hangs, and nobody waits for it to the end.
func TestAnIssuerThatHangsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.accepted("before", w.sign(nil))
	released := make(chan struct{})
	defer close(released)
	w.idp.SetFaults(func(f *idp.Faults) {
		f.Handle = func(_ string, _ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-released:
			case <-r.Context().Done():
			}
			return true
		}
	})
	w.clock.Advance(time.Hour)
	start := time.Now()
	w.accepted("meanwhile", w.sign(nil))
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fresh := newWorld(t)
	if _, err := fresh.set.Verify(ctx, fresh.sign(nil)); err == nil {
		t.Error("a request that is over acts as somebody")
	}
}

func TestWhatAnIssuerMayServe(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(f *idp.Faults, w *world){
		"another issuer in the metadata": func(f *idp.Faults, _ *world) {
			f.Metadata = func(m map[string]any) { m["issuer"] = "https://evil.example" }
		},
		"no jwks_uri": func(f *idp.Faults, _ *world) { f.Metadata = func(m map[string]any) { delete(m, "jwks_uri") } },
		"a jwks_uri of a file": func(f *idp.Faults, _ *world) {
			f.Metadata = func(m map[string]any) { m["jwks_uri"] = "file:///etc/passwd" }
		},
		"no keys":         func(f *idp.Faults, _ *world) { f.JWKS = func([]any) any { return map[string]any{"keys": []any{}} } },
		"a list":          func(f *idp.Faults, _ *world) { f.JWKS = func(keys []any) any { return keys } },
		"keys of 300 KiB": func(f *idp.Faults, _ *world) { f.JWKS = large(300 << 10) },
		"65 keys": func(f *idp.Faults, _ *world) {
			f.JWKS = func(k []any) any { return map[string]any{"keys": slicesOf(k[0], 65)} }
		},
		"a redirect to the key": func(f *idp.Faults, w *world) { f.Handle = redirect(w.idp.Issuer + "/jwks2") },
		"only a shared secret": func(f *idp.Faults, _ *world) {
			f.JWKS = func([]any) any {
				return map[string]any{"keys": []any{map[string]any{"kty": "oct", "k": "AAAA", "alg": "HS256", "kid": "rsa0"}}}
			}
		},
	} {
		w := newWorld(t)
		w.idp.SetFaults(func(f *idp.Faults) { change(f, w) })
		w.noKeys(what, w.sign(nil))
		w.refused(what, idp.SignHMAC(w.claims(nil), []byte("secret-secret-secret-secret-secr")))
	}
	w := newWorld(t)
	w.idp.SetFaults(func(f *idp.Faults) { f.JWKS = large(200 << 10) })
	w.accepted("keys of 200 KiB", w.sign(nil))
}

func large(size int) func(keys []any) any {
	return func(keys []any) any { return map[string]any{"keys": keys, "pad": strings.Repeat("x", size)} }
}

func slicesOf(v any, n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func redirect(to string) func(string, http.ResponseWriter, *http.Request) bool {
	return func(endpoint string, w http.ResponseWriter, r *http.Request) bool {
		if endpoint != "jwks" || strings.HasSuffix(r.URL.Path, "2") {
			return false
		}
		http.Redirect(w, r, to, http.StatusFound)
		return true
	}
}

func TestKeysOfAFileNeedNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Keys = payload(t, map[string]any{"keys": []any{idp.RSA(0).JWK()}})
	w.set = w.newSet()
	w.accepted("with the key of the file", w.sign(nil))
	w.refused("with another one", idp.RSA(1).Sign(w.claims(nil), nil))
	w.calls("a file", 0)
	if n := w.idp.Calls("discovery"); n != 0 {
		t.Errorf("%d requests for metadata", n)
	}
	for what, keys := range map[string]string{"nothing": "", "no JSON": "x", "no keys": `{"keys":[]}`, "a private key": `{"keys":[{"kty":"EC","d":"AQ"}]}`} {
		w.config.Keys = []byte(keys)
		if err := w.config.Validate(); err == nil || !strings.Contains(err.Error(), "token_issuer ci: jwks: the file") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAnAddressOfTheKeysNeedsNoMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.KeysURL = w.idp.Issuer + "/jwks"
	w.config.Issuer = "https://kubernetes.default.svc"
	w.set = w.newSet()
	w.accepted("good", w.sign(map[string]any{"iss": "https://kubernetes.default.svc"}))
	w.calls("an address", 1)
	if n := w.idp.Calls("discovery"); n != 0 {
		t.Errorf("%d requests for metadata", n)
	}
}

// An issuer, or the address in its metadata, must not lead into the operator's network (SSRF).
func TestAnIssuerOnThisMachineNeedsInsecureHTTP(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for want, insecure := range []bool{false, true} {
		w := newWorld(t)
		w.pool = oidc.NewPool(oidc.PoolOptions{Clock: w.clock.Now, Roots: roots})
		t.Cleanup(w.pool.Close)
		w.config.Issuer, w.config.Insecure = s.URL, insecure
		w.set = w.newSet()
		w.noKeys(fmt.Sprint("insecure ", insecure), w.sign(map[string]any{"iss": s.URL}))
		if n := len(asked); n != want {
			t.Errorf("insecure %v: %d requests", insecure, n)
		}
	}
}

// The same issuer with and without TLS, or with keys from elsewhere, is another one: nothing is shared.
func TestKeysAreNotSharedWithAnotherSourceOrAProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.accepted("by discovery", w.sign(nil))
	w.config.KeysURL = w.idp.Issuer + "/jwks2"
	w.idp.Keys(idp.RSA(1))
	w.set = w.newSet()
	w.refused("with the other address", w.sign(nil))
	w.accepted("with its own key", idp.RSA(1).Sign(w.claims(nil), nil))
	var none *machine.Set
	if _, err := none.Verify(t.Context(), w.sign(nil)); err == nil {
		t.Error("without issuers a token is accepted")
	}
}
