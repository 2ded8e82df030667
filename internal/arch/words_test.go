package arch

import (
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
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Obj != nil && id.Obj.Pos() == id.Pos() {
				for _, w := range words(id.Name) {
					if better, banned := bannedInNames[w]; banned {
						t.Errorf("%s:%d: %s: say %s instead of %q", f.path, f.line(n), id.Name, better, w)
					}
				}
			}
			return true
		})
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
