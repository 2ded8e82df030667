package identifier_test

import (
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// Names of every writing are accepted, composed and decomposed; marks that grow over other lines are not.
func TestNamesHaveNoMoreMarksThanAnyWritingNeeds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Nguyễn Thị Phượng", "Zoë", "น้ำผึ้ง เพื่อน", "ज़िन्दगी क्ष्मीं", "مُحَمَّدٌ الرَّحْمَٰن", "בְּרֵאשִׁ֖ית", "လျှို့ဝှက်", "བསྒྲུབས་", "สวัสดีค่ะ",
		"ភាសាខ្មែរ", "தமிழ்", "ප්\u200dරේමදාස", "한국어", "日本語が", "👩\u200d💻", "1️⃣", "❤️",
	} {
		for form, text := range map[string]string{"NFC": norm.NFC.String(name), "NFD": norm.NFD.String(name)} {
			if fault := identifier.CheckName(text); fault != "" {
				t.Errorf("%s %q: %s", form, name, fault)
			}
			if strings.ContainsAny(name, "\u200d\ufe0f") {
				continue
			}
			if fault := identifier.CheckClient(text); fault != "" {
				t.Errorf("%s %q of a program: %s", form, name, fault)
			}
			if got := identifier.SanitizeName(text); got != text {
				t.Errorf("%s %q became %q", form, name, got)
			}
		}
	}
	for _, name := range []string{
		"a\u0301\u0301", "a" + strings.Repeat("\u0301", 40), "a\u0300\u0301\u0302\u0303", "a\u0334\u0336\u20dd\u0301", "ก\u0e47\u0e47\u0e47",
		"a\u0300\u0301\u0300\u0301", "a\u20dd\u20dd", "x\u0300\u0e47\u0e48\u0e49\u0e4a\u0e4b",
	} {
		if identifier.CheckName(name) != identifier.Stacked || identifier.CheckClient(name) != identifier.Stacked {
			t.Errorf("%+q is a name: %q, %q", name, identifier.CheckName(name), identifier.CheckClient(name))
		}
		if got := identifier.SanitizeName(name); got == "" || identifier.CheckName(got) != "" {
			t.Errorf("of %+q is left %+q", name, got)
		}
	}
}
