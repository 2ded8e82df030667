package arch

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// One word for one thing: the list is in CONTRIBUTING.md. What stands here are words that had crept in beside those of the
// field, and that a reader from another Go project would stumble over.

// bannedInNames may be no word of an identifier.
var bannedInNames = map[string]string{
	"told": "name what is reported, and to whom", "begun": "AuthRequest, started", "stir": "wake", "voice": "language",
	"voices": "languages", "spoken": "language", "desk": "env", "whose": "owner", "amiss": "problem", "fewest": "min",
	"suspect": "stale", "judged": "checked", "twin": "duplicate", "arrival": "SignInResult",
}

// bannedInComments are phrases that say less than the term of the field.
var bannedInComments = map[string]*regexp.Regexp{
	"a function returns, a handler responds": regexp.MustCompile(`^// (?:\w+ )?\w+ answers\b`),
	"name the policy: seed or managed":       regexp.MustCompile(`\b(?:first|second) seed\b|\bby contract\b`),
	"say the property in words":              regexp.MustCompile(`\bP-[A-Z]{2,}\b`),
}

func TestNamesAndCommentsUseTheTermsOfTheField(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		if strings.HasSuffix(f.path, "words_test.go") {
			continue
		}
		for name, line := range bannedNames(f) {
			t.Errorf("%s:%d: %s", f.path, line, name)
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				for why, re := range bannedInComments {
					if found := re.FindString(c.Text); found != "" {
						t.Errorf("%s:%d: %q: %s", f.path, f.line(c), found, why)
					}
				}
			}
		}
	}
}

// bannedNames returns what to say instead of each identifier of a file that has a banned word, and its first line.
func bannedNames(f *file) map[string]int {
	found := make(map[string]int)
	ast.Inspect(f.ast, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		for _, w := range words(id.Name) {
			if better, banned := bannedInNames[w]; banned {
				text := fmt.Sprintf("%s: say %s instead of %q", id.Name, better, w)
				if _, seen := found[text]; !seen {
					found[text] = f.line(n)
				}
			}
		}
		return true
	})
	return found
}

func TestBannedNamesAreFound(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		"package a\nfunc TestItIsTold() {}":             1,
		"package a\nfunc f(told int) { _ = told }":      1,
		"package a\ntype judgedRule struct{ twin int }": 2,
		"package a\nfunc f() { begun := 1; _ = begun }": 1,
		"package a\nvar reported, twinkle int":          0,
	} {
		f, err := parse("a.go", source)
		if err != nil {
			t.Fatal(err)
		}
		if got := bannedNames(f); len(got) != want {
			t.Errorf("%q: %v", source, got)
		}
	}
}

// words splits an identifier in camel case into words in lower case.
func words(name string) (list []string) {
	start := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1]) {
			list = append(list, strings.ToLower(string(runes[start:i])))
			start = i
		}
	}
	return list
}

// A test's name is a promise that fits in a line.
func TestNamesOfTestsFitInALine(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && f.test() && len(fn.Name.Name) > longestTestName {
				t.Errorf("%s:%d: %s has %d characters, %d are allowed", f.path, f.line(fn), fn.Name.Name, len(fn.Name.Name),
					longestTestName)
			}
		}
	}
}

const longestTestName = 72
