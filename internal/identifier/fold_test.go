package identifier_test

import (
	"math/rand"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// ignorable is Default_Ignorable_Code_Point of DerivedCoreProperties.txt, Unicode 15.0.
var ignorable = [][2]rune{
	{0x00ad, 0x00ad},
	{0x034f, 0x034f},
	{0x061c, 0x061c},
	{0x115f, 0x1160},
	{0x17b4, 0x17b5},
	{0x180b, 0x180f},
	{0x200b, 0x200f},
	{0x202a, 0x202e},
	{0x2060, 0x206f},
	{0x3164, 0x3164},
	{0xfe00, 0xfe0f},
	{0xfeff, 0xfeff},
	{0xffa0, 0xffa0},
	{0xfff0, 0xfff8},
	{0x1bca0, 0x1bca3},
	{0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
}

func TestIgnorableCharactersAreExactlyThoseOfUnicode(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		want := false
		for _, span := range ignorable {
			want = want || r >= span[0] && r <= span[1]
		}
		if got := identifier.Ignorable(r); got != want {
			t.Errorf("U+%04X: %v, want %v", r, got, want)
		}
	}
}

func TestNamesThatLookTheSameAreOneName(t *testing.T) {
	t.Parallel()
	for _, span := range ignorable {
		for r := span[0]; r <= span[1]; r++ {
			for _, s := range []string{
				"admin" + string(r), string(r) + "admin", "ad" + string(r) + "min",
				" " + string(r) + " admin", "admin" + string(r) + " ",
			} {
				if key := identifier.Fold(s); key != "admin" {
					t.Fatalf("%+q folds to %+q", s, key)
				}
			}
		}
	}
	for _, pair := range [][2]string{
		{"ADMIN", "admin"},
		{"\uff41dmin", "admin"},
		{"Stra\u00dfe", "STRASSE"},
		{"\u212aim", "kim"},
		{"e\u0301", "\u00e9"},
		{"E\u034f\u0301", "\u00e9"},
		{"\ufb01n", "FIN"},
		{"\u00a0admin\u2003", "admin"},
		{"ad\u00admin", "admin"},
		{"\u1e9e", "ss"},
		{"\u03c3", "\u03c2"},
		{"\uab70\u13f8", "\u13a0\u13f0"},
		{"\u0149", "\u02bcn"},
		{"\u1fb3", "\u03b1\u03b9"},
		{"\u200badmin\ufe0f", "Admin"},
	} {
		if identifier.Fold(pair[0]) != identifier.Fold(pair[1]) {
			t.Errorf("%+q and %+q are two names", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"admin", "admin2"}, {"\u0430dmin", "admin"}, {"e", "\u00e9"}, {"a b", "ab"}} {
		if identifier.Fold(pair[0]) == identifier.Fold(pair[1]) {
			t.Errorf("%+q and %+q are one name", pair[0], pair[1])
		}
	}
}

// Folded keys are stored, and folded again on lookup.
func TestFoldingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= 0xe1000; r++ {
		if r == 0x20000 {
			r = 0xe0000 // what is between folds to itself
		}
		stable(t, string(r))
		stable(t, "a"+string(r)+"\u0301")
	}
	draw := rand.New(rand.NewSource(1))
	for range 20000 {
		var b strings.Builder
		for range 1 + draw.Intn(6) {
			b.WriteRune(rune(draw.Intn(0x3000)))
		}
		stable(t, b.String())
	}
}

func stable(t *testing.T, s string) {
	t.Helper()
	key := identifier.Fold(s)
	if again := identifier.Fold(key); again != key {
		t.Errorf("%+q folds to %+q, and that to %+q", s, key, again)
	}
	if !norm.NFKC.IsNormalString(key) || strings.ContainsFunc(key, identifier.Ignorable) || strings.TrimSpace(key) != key {
		t.Errorf("%+q folds to %+q, which is no key", s, key)
	}
}

func FuzzFold(f *testing.F) {
	seeds := []string{
		"admin", "admin\u034f", "E\u034f\u0301", "\ufdfa", " \u200b a", "\u00a8", "\xff\xfe", "\u0345\u0301",
		"\u1100\u115f\u1161",
	}
	if len(seeds) < 9 {
		f.Fatal("there are no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		stable(t, s)
		if key := identifier.Fold(s); len(key) > 11*len(s)+16 {
			t.Errorf("%d bytes fold into %d", len(s), len(key))
		}
		if identifier.CheckUsername(s) == "" && len(identifier.Fold(s)) > identifier.MaxKey {
			t.Errorf("%+q may be a username, and its key is too long", s)
		}
		seen := strings.Map(func(r rune) rune {
			if identifier.Ignorable(r) {
				return -1
			}
			return r
		}, s)
		if identifier.Fold(seen) != identifier.Fold(s) {
			t.Errorf("%+q and %+q look the same and are two names", s, seen)
		}
	})
}
