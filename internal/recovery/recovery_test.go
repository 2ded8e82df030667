package recovery_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestEverySpellingOfACodeIsOneCode(t *testing.T) {
	t.Parallel()
	codes, hashes := recovery.New()
	if len(codes) != recovery.Count || len(hashes) != recovery.Count {
		t.Fatalf("%d codes, %d hashes", len(codes), len(hashes))
	}
	form := regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}$`)
	seen := make(map[store.TokenHash]bool)
	for i, code := range codes {
		if !form.MatchString(code) || seen[hashes[i]] {
			t.Errorf("the code %q, seen before: %v", code, seen[hashes[i]])
		}
		seen[hashes[i]] = true
		for _, typed := range []string{
			code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " "),
			" " + strings.ReplaceAll(code, "-", "\u2013") + "\n", strings.NewReplacer("0", "o", "1", "l").Replace(code),
			strings.NewReplacer("0", "O", "1", "I").Replace(code),
		} {
			if got, ok := recovery.Parse(typed); !ok || got != hashes[i] {
				t.Errorf("%q is not read as %q", typed, code)
			}
		}
	}
	for _, other := range []string{"", codes[0][1:], codes[0] + "0", codes[0][:28] + "U", strings.Repeat("0-", 200)} {
		if _, ok := recovery.Parse(other); ok {
			t.Errorf("%q is read as a code", other)
		}
	}
}
