package identifier_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// altered are texts that cleaning, trimming or folding would change into something else.
func altered(s string) []string {
	out := []string{
		" " + s, s + " ", s + "\n", "\t" + s, s + "\r\n", s + "\x00", s + "\u00a0", "\u2003" + s, s + "\u3000",
		s + "\u2028", s + "\ufffd", s + "\xff", s + "\ue000", s + "\U000f0000", s + "\u202e", s + "\u2066", s + "\u2800", s +
			"\x7f", s + "\u0085",
	}
	for _, span := range ignorable {
		out = append(out, s+string(span[0]), string(span[1])+s, s[:1]+string(span[0])+s[1:])
	}
	return out
}

func TestAGroupThatCleaningWouldChangeIsNoGroup(t *testing.T) {
	t.Parallel()
	for _, s := range append(altered("admins"), "", strings.Repeat("g", 255)) {
		g, fault := identifier.ParseGroup(s)
		if fault == "" || g != (identifier.Group{}) {
			t.Errorf("%+q is the group %+q", s, g)
		}
		if identifier.HeaderSafe(s) || identifier.HasAnyGroup([]string{s}, []string{"admins", s}) {
			t.Errorf("%+q is a group to an app or a rule", s)
		}
	}
	for _, s := range []string{"admins", "cn=staff,ou=x", "Équipe", "a b", strings.Repeat("g", 254), "\u7ba1\u7406"} {
		g, fault := identifier.ParseGroup(s)
		if fault != "" || g.String() != s || !(identifier.Groups{g}).AnyOf([]string{s}) {
			t.Errorf("%q is no group: %v", s, fault)
		}
	}
	if (identifier.Groups{{}}).AnyOf([]string{""}) {
		t.Error("no group is a group")
	}
	if identifier.HeaderSafe("cn=staff,ou=x") {
		t.Error("a comma goes to the app")
	}
}

func TestAnAddressThatCleaningWouldChangeIsNoAddress(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 242) + "@company.com.evil.example"
	for _, s := range append(altered("a@company.com"),
		"", long, "a@company.com.", "a@.company.com", "a@evil.example@company.com", `"a@evil.example"@company.com`,
		"a@company.com,b@company.com",
		"<a@company.com>", "a@[127.0.0.1]", "a@com pany.com", "a@company\u3002com\u200b", "\u212aim@company.com",
		"a@\uff43ompany.com", "stra\u00dfe@company.com",
		strings.Repeat("\ufdfa", 70)+"@x.com", "a\u1680@company.com", "a@company.com\u3000",
	) {
		e, fault := identifier.ParseEmail(s)
		if fault == "" || !e.IsZero() || e.In("company.com") || e.Is("a@company.com", s) {
			t.Errorf("%+q is the address %q", s, e)
		}
	}
	for _, s := range []string{
		"a@company.com", "A.B+tag@Company.com", "o'hara@company.com",
		"j\u00fcrgen@b\u00fccher.example", strings.Repeat("a", 242) + "@company.com",
	} {
		e, fault := identifier.ParseEmail(s)
		if fault != "" || e.String() != s || !e.Is(s) {
			t.Errorf("%q is no address: %v", s, fault)
		}
	}
	e, _ := identifier.ParseEmail("Ada@Example.com")
	other, _ := identifier.ParseEmail("ada@eXample.com")
	if !e.Same(other) || !e.In("EXAMPLE.com") || e.In("sub.example.com", "com", "ample.com") || e.Is("ada@example.org") {
		t.Error("addresses compare otherwise than they should")
	}
	if none := (identifier.Email{}); none.Same(none) || none.Is("") || none.In("") {
		t.Error("no address is an address")
	}
	// Another spelling of a domain is another domain: domains are not decoded before they are compared with rules.
	if idn, _ := identifier.ParseEmail("a@b\u00fccher.example"); idn.In("xn--bcher-kva.example") {
		t.Error("a domain is taken for its other form")
	}
}

func TestUsernamesWithInvisibleCharactersAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range append(altered("admin"), "", " ", "\u3164", strings.Repeat("x", 255), strings.Repeat("\ufdfa", 80)) {
		if identifier.CheckUsername(s) == "" {
			t.Errorf("%+q may be a username", s)
		}
	}
	for _, s := range []string{"admin", "Ada Lovelace", "j\u00fcrgen", "a@b.c", "\u7ba1\u7406\u8005"} {
		if fault := identifier.CheckUsername(s); fault != "" {
			t.Errorf("%q may not be a username: %v", s, fault)
		}
	}
	if identifier.CheckName("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645") != "" ||
		identifier.CheckName("Ada \u2764\ufe0f") != "" || identifier.CheckName("") != "" {
		t.Error("a name that people have is refused")
	}
	if identifier.CheckName("Ada\u202e") == "" || identifier.CheckName("A\nB") == "" || identifier.CheckName(" A") == "" ||
		identifier.CheckName("A\xff") == "" {
		t.Error("a hostile display name is taken")
	}
}

func TestASuggestedUsernameIsSanitized(t *testing.T) {
	t.Parallel()
	for wish, want := range map[string]string{
		"admin\u034f": "admin", "a\r\nb,c": "abc", " ada ": "ada", "\u200b,": "", "\u3164": "",
		strings.Repeat("\ufdfa", 80): "",
		strings.Repeat("x", 300):     strings.Repeat("x", 254),
	} {
		if got := identifier.SanitizeUsername(wish); got != want {
			t.Errorf("%+q becomes %q, want %q", wish, got, want)
		}
	}
	for _, name := range []string{"ada", strings.Repeat("x", 254), strings.Repeat("\ufdfa", 31)} {
		if got := identifier.WithSuffix(name, "-1000"); identifier.CheckUsername(got) != "" ||
			!strings.HasSuffix(got, "-1000") {
			t.Errorf("%q with a suffix is %q", name, got)
		}
	}
}

func TestCleaningAgainChangesNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "a b", strings.Repeat("x", 100), strings.Repeat("é", 100), "a\x00b\n", "  x",
		strings.Repeat("a ", 50), "x\u202ey",
	} {
		for limit := range 70 {
			cleaned(t, s, limit)
		}
	}
}

func cleaned(t *testing.T, s string, limit int) {
	t.Helper()
	once := identifier.Clean(s, limit)
	if again := identifier.Clean(once, limit); again != once || len(once) > limit {
		t.Errorf("%+q cut to %d is %+q, and that %+q", s, limit, once, again)
	}
	if name := identifier.SanitizeName(s); identifier.CheckName(name) != "" || identifier.SanitizeName(name) != name {
		t.Errorf("%q: the display name %q is none, or becomes another one", s, name)
	}
	if shown := string(identifier.Display(s)); string(identifier.Display(shown)) != shown {
		t.Errorf("%+q is shown as %+q, and that otherwise", s, shown)
	}
}

// FuzzProof checks that values are compared exactly as received, for arbitrary input.
func FuzzProof(f *testing.F) {
	seeds := append(altered("a@company.com"), altered("admins")...)
	if len(seeds) < 50 {
		f.Fatal("there are no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cleaned(t, s, 60)
		if g, fault := identifier.ParseGroup(s); fault == "" && (g.String() != s || string(identifier.Display(s)) != s) {
			t.Errorf("%+q proves the group %+q", s, g)
		}
		if e, fault := identifier.ParseEmail(s); fault == "" {
			if e.String() != s || string(identifier.Display(s)) != s || strings.ContainsFunc(s, unicode.IsSpace) ||
				strings.Count(s, "@") != 1 {
				t.Errorf("%+q proves the address %+q", s, e)
			}
			if identifier.Fold(s) != identifier.FoldEmail(s) || len(identifier.Fold(s)) > identifier.MaxKey {
				t.Errorf("%+q shares its key with another address", s)
			}
		}
		if (s != "admins") && identifier.HasAnyGroup([]string{s}, []string{"admins"}) {
			t.Errorf("%+q is taken for admins", s)
		}
		if name := identifier.SanitizeUsername(s); name != "" && identifier.CheckUsername(name) != "" {
			t.Errorf("the wish %+q becomes %+q, which is no username", s, name)
		}
	})
}
