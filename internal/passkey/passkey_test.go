package passkey_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

const origin = "https://app.example.com"

var site = passkey.Site{RPID: "example.com", Origin: origin, Name: "Example"}

// world is a service, and a person with a handle.
type world struct {
	*passkey.Service
	clock   *testenv.Clock
	user    store.User
	handle  string
	browser string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	clock := testenv.NewClock(time.Now())
	return &world{
		Service: &passkey.Service{Sealer: seal.New(testenv.Store(t)), Clock: clock.Now}, clock: clock,
		user:   store.User{ID: store.NewID(clock.Now()), Username: "ada", Name: "Ada Lovelace"},
		handle: passkey.NewHandle(), browser: store.NewToken(),
	}
}

func (w *world) at(kind passkey.Kind) passkey.Ceremony {
	c := passkey.Ceremony{Kind: kind, Site: site, Browser: w.browser, UserID: w.user.ID}
	if kind == passkey.SignIn {
		c.UserID = ""
	}
	return c
}

// register makes a passkey with a key.
func (w *world) register(t testing.TB, key *authenticator.Key) store.Passkey {
	t.Helper()
	o, err := w.BeginRegistration(t.Context(), w.at(passkey.Register), w.user, w.handle, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := w.FinishRegistration(t.Context(), w.at(passkey.Register), o.State, key.Create(o.PublicKey), w.user, w.handle)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// prove begins a ceremony and verifies the response of a key.
func (w *world) prove(t testing.TB, kind passkey.Kind, key *authenticator.Key, p store.Passkey) (*passkey.Assertion, error) {
	t.Helper()
	o, err := w.BeginAssertion(t.Context(), w.at(kind), []store.Passkey{p})
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.ReadAssertion(t.Context(), w.at(kind), o.State, key.Get(o.PublicKey))
	if err != nil {
		return nil, err
	}
	return a, a.Verify(p)
}

func members(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAPasskeyProvesItsOwnerInEveryCeremony(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t), authenticator.New(origin)
	key.AAGUID, key.Flags = [16]byte{0xab}, key.Flags|authenticator.BackupEligible|authenticator.BackedUp
	p := w.register(t, key)
	if !p.UserVerified || !p.BackupEligible || !p.BackedUp || p.RPID != "example.com" || p.Handle != w.handle ||
		!strings.HasPrefix(p.AAGUID, "ab00") || len(p.AAGUID) != 32 || len(p.Transports) != 1 || p.Attachment != "platform" ||
		p.Discoverable != "" || !p.SignsInAlone() {
		t.Errorf("registered as %+v", p)
	}
	for _, kind := range []passkey.Kind{passkey.SignIn, passkey.Second, passkey.StepUp} {
		a, err := w.prove(t, kind, key, p)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		} else if a.CredentialID() != p.CredentialID || !a.UserVerified() || a.RPID() != p.RPID {
			t.Errorf("%s: %s, verified %v", kind, a.CredentialID(), a.UserVerified())
		}
	}
}

// What a browser is given before anybody is known says nothing about anybody, and what it is given afterwards names the
// passkeys of the person that belong here.
func TestTheOptionsSayWhatTheCeremonyNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here, there := w.register(t, authenticator.New(origin)), store.Passkey{RPID: "other.test", UserID: w.user.ID, Handle: w.handle}
	create, err := w.BeginRegistration(t.Context(), w.at(passkey.Register), w.user, w.handle, []store.Passkey{here, there})
	if err != nil {
		t.Fatal(err)
	}
	m := members(t, create.PublicKey)
	choice, _ := m["authenticatorSelection"].(map[string]any)
	user, _ := m["user"].(map[string]any)
	exclude, _ := m["excludeCredentials"].([]any)
	params, _ := m["pubKeyCredParams"].([]any)
	if choice["residentKey"] != "preferred" || choice["userVerification"] != "preferred" || m["attestation"] != "none" ||
		user["id"] != w.handle || user["name"] != "ada" || user["displayName"] != "Ada Lovelace" || len(exclude) != 1 ||
		len(params) != 3 || !strings.Contains(string(mustJSON(t, m["extensions"])), "credProps") {
		t.Errorf("to make one: %s", mustJSON(t, m))
	}

	other := newWorld(t)
	var first map[string]any
	for _, who := range []*world{w, other} {
		o, err := who.BeginAssertion(t.Context(), who.at(passkey.SignIn), nil)
		if err != nil {
			t.Fatal(err)
		}
		m := members(t, o.PublicKey)
		delete(m, "challenge")
		if m["userVerification"] != "required" || m["allowCredentials"] != nil || m["rpId"] != "example.com" {
			t.Errorf("to sign in: %s", mustJSON(t, m))
		}
		if first != nil && !bytes.Equal(mustJSON(t, first), mustJSON(t, m)) {
			t.Errorf("%s and %s", mustJSON(t, first), mustJSON(t, m))
		}
		first = m
	}
	second, err := w.BeginAssertion(t.Context(), w.at(passkey.Second), []store.Passkey{here, there})
	if err != nil {
		t.Fatal(err)
	}
	m = members(t, second.PublicKey)
	if allowed, _ := m["allowCredentials"].([]any); len(allowed) != 1 || m["userVerification"] != "discouraged" {
		t.Errorf("after a password: %s", mustJSON(t, m))
	}
	if _, err := w.BeginAssertion(t.Context(), w.at(passkey.Second), []store.Passkey{there}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("without a passkey here: %v", err)
	}
	if len(create.State) > passkey.MaxState || len(second.State) > passkey.MaxState {
		t.Errorf("states of %d and %d bytes", len(create.State), len(second.State))
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// State is for one kind of ceremony, one browser, one origin, one domain and one person, for ten minutes.
func TestStateCountsWhereItBegan(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t), authenticator.New(origin)
	p := w.register(t, key)
	o, err := w.BeginAssertion(t.Context(), w.at(passkey.Second), []store.Passkey{p})
	if err != nil {
		t.Fatal(err)
	}
	response := key.Get(o.PublicKey)
	for name, edit := range map[string]func(c *passkey.Ceremony){
		"another kind":    func(c *passkey.Ceremony) { c.Kind = passkey.StepUp },
		"as sign-in":      func(c *passkey.Ceremony) { c.Kind, c.UserID = passkey.SignIn, "" },
		"another browser": func(c *passkey.Ceremony) { c.Browser = store.NewToken() },
		"no browser":      func(c *passkey.Ceremony) { c.Browser = "" },
		"another origin":  func(c *passkey.Ceremony) { c.Site.Origin = "https://b.example.com" },
		"another port":    func(c *passkey.Ceremony) { c.Site.Origin += ":8443" },
		"another domain":  func(c *passkey.Ceremony) { c.Site.RPID = "app.example.com" },
		"another person":  func(c *passkey.Ceremony) { c.UserID = store.NewID(w.clock.Now()) },
	} {
		c := w.at(passkey.Second)
		edit(&c)
		if _, err := w.ReadAssertion(t.Context(), c, o.State, response); !errors.Is(err, passkey.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := w.ReadAssertion(t.Context(), w.at(passkey.Second), o.State, response); err != nil || a.Verify(p) != nil {
		t.Errorf("where it began: %v", err)
	}
	w.clock.Advance(passkey.TTL)
	if _, err := w.ReadAssertion(t.Context(), w.at(passkey.Second), o.State, response); !errors.Is(err, passkey.ErrRefused) {
		t.Errorf("after ten minutes: %v", err)
	}
}

// State of another version, or broken, is refused like any other.
func TestUnknownStateIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, text := range []string{"", "x", "s1.1.AAAA", strings.Repeat("a", passkey.MaxState+1)} {
		if _, err := w.ReadAssertion(t.Context(), w.at(passkey.SignIn), text, "{}"); !errors.Is(err, passkey.ErrRefused) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// Each part of a good response is exchanged for another. The answer is the same for all of them.
func TestATamperedResponseHasOneAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, other := authenticator.New(origin), authenticator.New(origin)
	p, foreign := w.register(t, good), w.register(t, other)
	inner := func(m map[string]any) map[string]any { return m["response"].(map[string]any) }
	for name, edit := range map[string]func(k *authenticator.Key){
		"type":              func(k *authenticator.Key) { k.Client = set("type", "webauthn.create") },
		"challenge":         func(k *authenticator.Key) { k.Client = set("challenge", strings.Repeat("A", 43)) },
		"cross origin":      func(k *authenticator.Key) { k.Client = set("crossOrigin", true) },
		"top origin":        func(k *authenticator.Key) { k.Client = set("topOrigin", "https://evil.test") },
		"sibling":           func(k *authenticator.Key) { k.Origin = "https://b.example.com" },
		"parent":            func(k *authenticator.Key) { k.Origin = "https://example.com" },
		"other port":        func(k *authenticator.Key) { k.Origin = origin + ":8443" },
		"default port":      func(k *authenticator.Key) { k.Origin = origin + ":443" },
		"plain":             func(k *authenticator.Key) { k.Origin = "http://app.example.com" },
		"upper case":        func(k *authenticator.Key) { k.Origin = "https://APP.example.com" },
		"trailing dot":      func(k *authenticator.Key) { k.Origin = origin + "." },
		"with a path":       func(k *authenticator.Key) { k.Origin = origin + "/" },
		"no origin":         func(k *authenticator.Key) { k.Origin = "null" },
		"domain":            func(k *authenticator.Key) { k.RPID = "app.example.com" },
		"nobody there":      func(k *authenticator.Key) { k.Flags &^= authenticator.UserPresent },
		"not verified":      func(k *authenticator.Key) { k.Flags &^= authenticator.UserVerified },
		"backed up at once": func(k *authenticator.Key) { k.Flags |= authenticator.BackedUp },
		"somebody's handle": func(k *authenticator.Key) { k.Handle = bytes.Repeat([]byte{7}, 64) },
		"no handle":         func(k *authenticator.Key) { k.Handle = nil },
		"somebody's id":     func(k *authenticator.Key) { k.ID = other.ID },
		"another key":       func(k *authenticator.Key) { id := k.ID; *k = *other; k.ID = id },
		"no signature":      func(k *authenticator.Key) { k.Response = func(m map[string]any) { inner(m)["signature"] = "" } },
		"signature":         func(k *authenticator.Key) { k.Response = func(m map[string]any) { inner(m)["signature"] = "MEUCIQ" } },
		"authenticator data": func(k *authenticator.Key) {
			k.Response = func(m map[string]any) { inner(m)["authenticatorData"] = "AAAA" }
		},
		"client data":        func(k *authenticator.Key) { k.Response = func(m map[string]any) { inner(m)["clientDataJSON"] = "e30" } },
		"raw id":             func(k *authenticator.Key) { k.Response = func(m map[string]any) { m["rawId"] = "AAAA" } },
		"kind of credential": func(k *authenticator.Key) { k.Response = func(m map[string]any) { m["type"] = "password" } },
		"nothing": func(k *authenticator.Key) {
			k.Response = func(m map[string]any) { maps.DeleteFunc(m, func(string, any) bool { return true }) }
		},
		"too long": func(k *authenticator.Key) {
			k.Response = func(m map[string]any) { m["more"] = strings.Repeat("a", passkey.MaxAssertion) }
		},
	} {
		key := *good
		edit(&key)
		if _, err := w.prove(t, passkey.SignIn, &key, p); err == nil || err.Error() != passkey.ErrRefused.Error() &&
			!errors.Is(err, passkey.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.prove(t, passkey.SignIn, good, foreign); !errors.Is(err, passkey.ErrRefused) {
		t.Errorf("judged as another passkey: %v", err)
	}
	if _, err := w.prove(t, passkey.SignIn, good, p); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func set(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

// Browsers and their extensions add members that nobody has asked for: they are ignored, whatever they hold.
func TestWhatNobodyAskedForIsIgnored(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t), authenticator.New(origin)
	extra := func(m map[string]any) {
		m["clientExtensionResults"] = map[string]any{
			"appid": false, "credProps": map[string]any{"rk": true, "new": 1}, "prf": "odd", "uvm": 7, "unheardOf": []any{},
		}
		m["toJSON"] = map[string]any{"a": []any{nil}}
		m["response"].(map[string]any)["publicKeyAlgorithm"] = "text"
		m["response"].(map[string]any)["new"] = true
	}
	key.Response, key.Client = extra, set("other_keys_can_be_added_here", "do not compare clientDataJSON")
	p := w.register(t, key)
	if p.Discoverable != "yes" {
		t.Errorf("credProps were read as %q", p.Discoverable)
	}
	if _, err := w.prove(t, passkey.SignIn, key, p); err != nil {
		t.Error(err)
	}
}

// The counter and the backup flags of an authenticator, as the store has them and as it now says.
func TestCountersAndBackupFlagsOverTime(t *testing.T) {
	t.Parallel()
	const none, eligible, both = 0, authenticator.BackupEligible, authenticator.BackupEligible | authenticator.BackedUp
	for name, c := range map[string]struct {
		before, now byte
		old, count  uint32
		refused     bool
		back        bool
	}{
		"no counter": {}, "counts up": {old: 5, count: 6}, "begins to count": {count: 1},
		"stands still": {old: 5, count: 5, back: true}, "counts back": {old: 5, count: 3, back: true},
		"stops counting":          {old: 5, back: true},
		"synced, and counts back": {before: both, now: both, old: 5, count: 3},
		"synced, and stops":       {before: both, now: eligible, old: 5},
		"begins to be synced":     {before: none, now: both, old: 5, count: 5},
		"may be synced":           {before: none, now: eligible},
		"not backed up any more":  {before: both, now: eligible},
		"not eligible any more":   {before: both, now: none, refused: true},
		"backed up, not eligible": {before: none, now: authenticator.BackedUp, refused: true},
	} {
		w, key := newWorld(t), authenticator.New(origin)
		key.Flags, key.Counter = key.Flags|c.before, c.old
		p := w.register(t, key)
		key.Flags, key.Counter = key.Flags&^both|c.now, c.count
		a, err := w.prove(t, passkey.SignIn, key, p)
		if c.refused {
			if !errors.Is(err, passkey.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		next, err := a.Next(p.PasskeyState)
		want := store.PasskeyState{
			SignCount: c.count, UserVerified: true, BackupEligible: c.now&eligible != 0,
			BackedUp: c.now == both, CounterBack: c.back,
		}
		if err != nil || next != want {
			t.Errorf("%s: %+v, %v; want %+v", name, next, err, want)
		}
		key.Counter++ // the next use is a good one again, for good
		p.PasskeyState = next
		if a, err = w.prove(t, passkey.SignIn, key, p); err != nil {
			t.Errorf("%s, once more: %v", name, err)
		} else if after, err := a.Next(next); err != nil || after.CounterBack != c.back {
			t.Errorf("%s, once more: %+v, %v", name, after, err)
		}
	}
}

// What a use of a passkey says of user verification is of that use: whatever it was at another one, it is not kept.
func TestUserVerificationIsOfThisCeremony(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t), authenticator.New(origin)
	key.Flags &^= authenticator.UserVerified
	p := w.register(t, key)
	if p.UserVerified || p.SignsInAlone() {
		t.Errorf("registered as %+v", p)
	}
	a, err := w.prove(t, passkey.Second, key, p)
	if err != nil || a.UserVerified() {
		t.Fatalf("after a password: %v", err)
	}
	key.Flags |= authenticator.UserVerified
	if a, err = w.prove(t, passkey.Second, key, p); err != nil || !a.UserVerified() {
		t.Fatalf("with a PIN: %v", err)
	}
	if next, err := a.Next(p.PasskeyState); err != nil || next.UserVerified {
		t.Errorf("the state after it: %+v, %v", next, err)
	}
}
