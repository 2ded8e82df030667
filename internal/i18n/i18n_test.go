package i18n

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// asked are text ids in code; those that end in a dot or an underscore are completed by a value.
var asked = regexp.MustCompile(`"((?:fault|refused|input|gate|warning)\.[a-z_]*)"`)

// Every text id that packages without pages use is defined, and every defined one is used.
func TestTextsAndCodeAgree(t *testing.T) {
	t.Parallel()
	c, err := Load(English, Files)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{"list.or": true} // of OrList
	for _, dir := range []string{"../account", "../ui", "../web", "../web/signin", "../web/account", "../problem", "../api", "../../admin", "../../caddyauth"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range asked.FindAllStringSubmatch(string(src), -1) {
				names[m[1]] = true
			}
		}
	}
	for id := range c.texts {
		if !names[id] && !slices.ContainsFunc([]string{"fault.password_", "refused.managed_", "gate."},
			func(p string) bool { return strings.HasPrefix(id, p) && names[p] }) {
			t.Errorf("nothing asks for %q", id)
		}
	}
	for id := range names {
		prefix := strings.HasSuffix(id, "_") || strings.HasSuffix(id, ".")
		if !prefix && !c.Has(id) && !strings.HasPrefix(id, "warning.") { // the admin pages have their own warnings
			t.Errorf("the code asks for %q, which is not there", id)
		}
	}
	if len(names) < 50 {
		t.Errorf("%d sentences found in the code only", len(names))
	}
}

func TestTextsAreFilledOnce(t *testing.T) {
	t.Parallel()
	c, err := Load(English, Files,
		fstest.MapFS{"lang/en.json": {Data: []byte(
			`{"a":"{x} and {y}","b":"<{x}>","n":{"one":"{n} {x}","other":"{n} {x}s"},"open":"{x} {","none":"{z}"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.Text("a", "x", "{y}", "y", "{x}"):                          "{y} and {x}", // a value is never looked through
		c.Text("a", "x", 1):                                          "1 and {y}",
		c.Text("a", "x", New("b", "x", "in"), "y", New("none")):      "<in> and {z}",
		c.Text("a", "x", OrList{"ops", "staff"}, "y", OrList{"one"}): "ops or staff and one",
		c.Text("n", "n", 1, "x", "day"):                              "1 day",
		c.Text("n", "n", 21, "x", "day"):                             "21 days",
		c.Text("n", "n", "many", "x", "day"):                         "many days",
		c.Text("n", "n", -1, "x", "day"):                             "-1 days",
		c.Text("open", "x", "y"):                                     "y {",
		c.Text("a", "x"):                                             "{x} and {y}", // half a pair
		c.Text("gone"):                                               "gone",
		c.Translate(Text{}):                                          "",
		New("refused.role").String():                                 "Only an administrator can do this.",
		New("gate.group", "values", OrList{
			"staff",
			"ops",
		}).String(): "This part of the site asks for membership of staff or ops.",
		Text{}.String(): "",
		New("fault.too_long", "most", 254).String():                     "Use at most 254 characters.",
		New("input.large", "size", int64(64)).String():                  "The request is larger than 64 KiB.",
		New("fault.password_short", "least", 12, "surplus", 1).String(): "Use at least 12 characters.",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if !(Text{}).IsZero() || New("x").IsZero() || New("x").ID() != "x" {
		t.Error("a text does not know whether it says something")
	}
}

// A language without a file is not available, and a malformed file is an error.
func TestLanguagesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	broken := fstest.MapFS{"lang/en.json": {Data: []byte(`{"a":{"one":"x"}}`)}}
	if _, err := Load(English, broken); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Error(err)
	}
	if _, err := Load("fr", Files); err == nil || HasLanguage(Files, "fr") || HasLanguage(Files, "../lang/en") {
		t.Error("there is French")
	}
	if _, err := Load(English, Files, Files); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	for _, lang := range []string{English, Pseudo, "de", "es"} {
		if c, err := Load(lang, Files); err != nil || !HasLanguage(Files, lang) || c.Tag().String() != lang {
			t.Errorf("%s: %v", lang, err)
		}
	}
}
