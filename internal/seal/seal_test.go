package seal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

func sealed(t *testing.T, s *seal.Sealer, plain, purpose, row string) string {
	t.Helper()
	v, err := s.Seal(t.Context(), []byte(plain), purpose, row)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAnotherProcessOpensASealedValue(t *testing.T) {
	t.Parallel()
	db := testenv.Store(t)
	v := sealed(t, seal.New(db), "a refresh token", "session", "row1")
	got, err := seal.New(db).Open(t.Context(), v, "session", "row1")
	if err != nil || string(got) != "a refresh token" {
		t.Fatalf("opened %q, %v", got, err)
	}
}

// A sealed value reveals nothing, not even that two plaintexts are equal.
func TestASealedValueRevealsNothing(t *testing.T) {
	t.Parallel()
	s := seal.New(testenv.Store(t))
	a, b := sealed(t, s, "canary-secret", "session", "row1"), sealed(t, s, "canary-secret", "session", "row1")
	if a == b {
		t.Error("two seals of one value are equal: the nonce repeats")
	}
	if strings.Contains(a, "canary") {
		t.Errorf("the value can be read in %q", a)
	}
}

// A value that is moved to another row, used for another purpose or changed in any byte is refused.
func TestASealedValueIsBoundToPurposeAndRow(t *testing.T) {
	t.Parallel()
	s := seal.New(testenv.Store(t))
	v := sealed(t, s, "value", "flow", "row1")
	for name, open := range map[string]struct{ v, purpose, row string }{
		"another row":       {v, "flow", "row2"},
		"another purpose":   {v, "session", "row1"},
		"shifted boundary":  {v, "flo", "wrow1"},
		"empty":             {"", "flow", "row1"},
		"no format":         {strings.TrimPrefix(v, "s1."), "flow", "row1"},
		"a key nobody made": {strings.Replace(v, "s1.1.", "s1.2.", 1), "flow", "row1"},
		"key zero":          {strings.Replace(v, "s1.1.", "s1.0.", 1), "flow", "row1"},
		"key spelled twice": {strings.Replace(v, "s1.1.", "s1.01.", 1), "flow", "row1"},
		"cut short":         {v[:len(v)-1], "flow", "row1"},
		"hardly anything":   {"s1.1.AAAA", "flow", "row1"},
		"much too long":     {"s1.1." + strings.Repeat("A", 300<<10), "flow", "row1"},
	} {
		if got, err := s.Open(t.Context(), open.v, open.purpose, open.row); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%s: opened %q, %v", name, got, err)
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := len("s1.1."); i < len(v); i++ {
		for bit := range 6 {
			at := strings.IndexByte(alphabet, v[i])
			w := v[:i] + string(alphabet[at^1<<bit]) + v[i+1:]
			if got, err := s.Open(t.Context(), w, "flow", "row1"); !errors.Is(err, seal.ErrSealed) {
				t.Fatalf("byte %d, bit %d: opened %q, %v", i, bit, got, err)
			}
		}
	}
}

func TestADamagedKeyIsAnErrorAndNotAnEmptyKey(t *testing.T) {
	t.Parallel()
	db := testenv.Store(t)
	err := db.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "seal.key.1", "AAAA") })
	if err != nil {
		t.Fatal(err)
	}
	_, err = seal.New(db).Seal(t.Context(), []byte("x"), "flow", "row")
	if err == nil || errors.Is(err, seal.ErrSealed) || !strings.Contains(err.Error(), "seal.key.1") {
		t.Errorf("sealed with a damaged key: %v", err)
	}
}

func TestWithoutAStoreNothingIsSealed(t *testing.T) {
	t.Parallel()
	db := testenv.Store(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.New(db).Seal(t.Context(), []byte("x"), "flow", "row"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	db := testenv.Store(f)
	s := seal.New(db)
	v, err := s.Seal(f.Context(), []byte("value"), "flow", "row")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v)
	f.Add("s1.1.")
	f.Add("")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := s.Open(t.Context(), in, "flow", "row")
		if err == nil && (in != v || string(got) != "value") {
			t.Errorf("opened %q to %q", in, got)
		}
	})
}

// After a rotation, new values have the new key, also in processes that were running before, and older values can
// still be opened.
func TestRotationCreatesAKeyAndKeepsTheOldOnes(t *testing.T) {
	t.Parallel()
	db := testenv.Store(t)
	running := seal.New(db)
	before := sealed(t, running, "old", "session", "row1")
	for want := 2; want <= 3; want++ {
		n, err := seal.New(db).Rotate(t.Context())
		if err != nil || n != want {
			t.Fatalf("rotation made key %d, %v, want %d", n, err, want)
		}
		after := sealed(t, running, "new", "session", "row1")
		if prefix := fmt.Sprintf("s1.%d.", want); !strings.HasPrefix(after, prefix) {
			t.Fatalf("the running process seals with another key: %.8s, want %s", after, prefix)
		}
		for v, plain := range map[string]string{before: "old", after: "new"} {
			got, err := seal.New(db).Open(t.Context(), v, "session", "row1")
			if err != nil || string(got) != plain {
				t.Fatalf("opened %q, %v, want %q", got, err, plain)
			}
		}
	}
}

// A rotation overwrites no key, even before the first value and after the setting of the current key was lost.
func TestRotationOverwritesNoKey(t *testing.T) {
	t.Parallel()
	db := testenv.Store(t)
	s := seal.New(db)
	if n, err := s.Rotate(t.Context()); err != nil || n != 2 {
		t.Fatalf("the first rotation made key %d, %v", n, err)
	}
	v := sealed(t, s, "value", "flow", "row1")
	for _, damaged := range []string{"1", "", "02", "-1", "x", "99999999999999999999"} {
		err := db.Change(t.Context(), func(tx store.Tx) error { return tx.SetSetting(t.Context(), "seal.current", damaged) })
		if err != nil {
			t.Fatal(err)
		}
		if damaged == "1" {
			if n, err := s.Rotate(t.Context()); err != nil || n != 3 {
				t.Fatalf("made key %d, %v, want 3", n, err)
			}
		} else if _, err := s.Seal(t.Context(), nil, "flow", "row1"); err == nil ||
			!strings.Contains(err.Error(), "seal.current") {
			t.Fatalf("with the note %q: %v", damaged, err)
		}
		if got, err := seal.New(db).Open(t.Context(), v, "flow", "row1"); err != nil || string(got) != "value" {
			t.Fatalf("with the note %q: opened %q, %v", damaged, got, err)
		}
	}
}
