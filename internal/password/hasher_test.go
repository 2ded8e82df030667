package password

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// cheap keeps tests fast; it is below what a configuration may set.
var cheap = Params{MemoryKiB: 64, Time: 1, Threads: 1}

func newTestHasher() *Hasher { return NewHasher(cheap, NewSlots(2, 64)) }

func TestHashIsVerifiedAndCurrent(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	for _, password := range []string{"x", "correct horse battery staple", "pässwörd ✓", strings.Repeat("a", MaxBytes)} {
		encoded, err := h.Hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		ok, outdated, err := h.Verify(t.Context(), encoded, password)
		if !ok || outdated || err != nil {
			t.Errorf("own hash: ok %t, outdated %t, %v", ok, outdated, err)
		}
		ok, outdated, err = h.Verify(t.Context(), encoded, password+" ")
		if ok || outdated || err != nil {
			t.Errorf("other password: ok %t, outdated %t, %v", ok, outdated, err)
		}
		if format, err := Identify(encoded); format != "argon2id" || err != nil {
			t.Errorf("Identify: %q, %v", format, err)
		}
	}
}

func TestEveryHashHasItsOwnSalt(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	first, err1 := h.Hash(t.Context(), "the same password")
	second, err2 := h.Hash(t.Context(), "the same password")
	if err1 != nil || err2 != nil || first == second {
		t.Errorf("two hashes of one password are equal (%v, %v)", err1, err2)
	}
}

// Keyboards compose characters differently; people do not know how theirs does.
func TestComposedAndDecomposedSpellingsAreOnePassword(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	encoded, err := h.Hash(t.Context(), "caf\u00e9 au lait")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := h.Verify(t.Context(), encoded, "cafe\u0301 au lait"); !ok || err != nil {
		t.Errorf("decomposed spelling: ok %t, %v", ok, err)
	}
	if ok, _, _ := h.Verify(t.Context(), encoded, "Caf\u00e9 au lait"); ok {
		t.Error("case was ignored")
	}
}

// A password is compared whole; nothing after some length is cut off.
func TestNothingIsTruncated(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	long := strings.Repeat("a", MaxBytes)
	encoded, err := h.Hash(t.Context(), long)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{long[:MaxBytes-1], long[:MaxBytes-1] + "b", long + "a", long[:72]} {
		if ok, _, err := h.Verify(t.Context(), encoded, other); ok || err != nil {
			t.Errorf("%d bytes: ok %t, %v", len(other), ok, err)
		}
	}
}

func TestWhatCanBeNoPasswordIsNotHashed(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	for _, password := range []string{"", strings.Repeat("a", MaxBytes+1), "\xff\xfe not text"} {
		var refused *PolicyError
		if _, err := h.Hash(t.Context(), password); !errors.As(err, &refused) {
			t.Errorf("Hash of %d bytes: %v", len(password), err)
		}
		if ok, _, err := h.Verify(t.Context(), mustHash(t, h, "some password"), password); ok || err != nil {
			t.Errorf("Verify of %d bytes: ok %t, %v", len(password), ok, err)
		}
	}
}

func TestOtherParametersAreOutdated(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	for _, p := range []Params{
		{MemoryKiB: 128, Time: 1, Threads: 1}, {MemoryKiB: 64, Time: 2, Threads: 1}, {MemoryKiB: 64, Time: 1, Threads: 2},
	} {
		encoded := mustHash(t, NewHasher(p, nil), "some password")
		ok, outdated, err := h.Verify(t.Context(), encoded, "some password")
		if !ok || !outdated || err != nil {
			t.Errorf("%s: ok %t, outdated %t, %v", p, ok, outdated, err)
		}
	}
	const shortSalt = "$argon2id$v=19$m=64,t=1,p=1$MTIzNDU2Nzg$"
	tag := argon2id([]byte("some password"), []byte("12345678"), cheap, tagBytes)
	ok, outdated, err := h.Verify(t.Context(), shortSalt+phcBase64.EncodeToString(tag), "some password")
	if !ok || !outdated || err != nil {
		t.Errorf("short salt: ok %t, outdated %t, %v", ok, outdated, err)
	}
}

// User enumeration: a sign-in for an unknown user, a user without a password, a malformed hash and a wrong password
// cost the same. Time is too uncertain to assert, memory is not: each must allocate that of one hash. (Not parallel: it
// reads what the whole process allocates.)
func TestNoMatchCostsOneHash(t *testing.T) {
	p := Params{MemoryKiB: 32 * 1024, Time: 1, Threads: 1}
	h := NewHasher(p, NewSlots(1, 0))
	encoded := mustHash(t, h, "some password")
	checks := map[string]func(){
		"wrong password": func() { _, _, _ = h.Verify(t.Context(), encoded, "another password") },
		"damaged hash":   func() { _, _, _ = h.Verify(t.Context(), "$argon2id$v=19$garbage", "some password") },
		"no hash":        func() { _, _, _ = h.Verify(t.Context(), "", "some password") },
		"empty password": func() { _, _, _ = h.Verify(t.Context(), encoded, "") },
		"long password":  func() { _, _, _ = h.Verify(t.Context(), encoded, strings.Repeat("a", MaxBytes+1)) },
		"unknown user":   func() { _ = h.DummyVerify(t.Context(), "some password") },
	}
	for name, check := range checks {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		check()
		runtime.ReadMemStats(&after)
		if bytes := after.TotalAlloc - before.TotalAlloc; bytes < uint64(p.MemoryKiB)*1024 {
			t.Errorf("%s: used %d bytes, less than one hash does", name, bytes)
		}
	}
}

func TestBusyAndCancelledAreErrorsAndNeverOK(t *testing.T) {
	t.Parallel()
	slots := NewSlots(1, 0)
	h := NewHasher(cheap, slots)
	encoded := mustHash(t, h, "some password")
	release, err := slots.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ok, outdated, err := h.Verify(t.Context(), encoded, "some password")
	var busy *BusyError
	if ok || outdated || !errors.Is(err, ErrBusy) || !errors.As(err, &busy) || busy.RetryAfter < time.Second {
		t.Errorf("Verify while busy: ok %t, outdated %t, %v", ok, outdated, err)
	}
	if _, err := h.Hash(t.Context(), "some password"); !errors.Is(err, ErrBusy) {
		t.Errorf("Hash while busy: %v", err)
	}
	if err := h.DummyVerify(t.Context(), "some password"); !errors.Is(err, ErrBusy) {
		t.Errorf("Dummy while busy: %v", err)
	}
	release()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, _, err := h.Verify(gone, encoded, "some password"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("Verify for a client who left: ok %t, %v", ok, err)
	}
	if ok, _, err := h.Verify(t.Context(), encoded, "some password"); !ok || err != nil {
		t.Errorf("Verify afterwards: ok %t, %v", ok, err)
	}
}

func TestHashesRunSideBySide(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	encoded := mustHash(t, h, "some password")
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if ok, _, err := h.Verify(t.Context(), encoded, "some password"); !ok || err != nil {
				t.Errorf("ok %t, %v", ok, err)
			}
		})
	}
	wg.Wait()
}

func mustHash(t *testing.T, h *Hasher, password string) string {
	t.Helper()
	encoded, err := h.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func BenchmarkHashDefault(b *testing.B) {
	h := NewHasher(DefaultParams, nil)
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "correct horse battery staple"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPolicyCheck(b *testing.B) {
	var p Policy
	for b.Loop() {
		if err := p.Check("correct horse battery staple", "alice", "alice@example.com", "Example"); err != nil {
			b.Fatal(err)
		}
	}
}

// bcryptOf makes a hash as an imported system would have it.
func bcryptOf(t *testing.T, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
