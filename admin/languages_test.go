package admin

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	accountpages "github.com/gatehouse-auth/gatehouse/internal/web/account"
	"github.com/gatehouse-auth/gatehouse/internal/web/signin"
)

// textSources are all sources of texts, by name.
var textSources = map[string]fs.FS{"ui": os.DirFS("../internal/ui"), "say": i18n.Files, "web": web.Files, "signin": signin.Files, "account": accountpages.Files, "api": api.Files, "admin": Files}

// forms are the plural forms of a text; one without has "other" alone.
type forms map[string]string

func readTexts(t *testing.T, src fs.FS, lang string) map[string]forms {
	t.Helper()
	b, err := fs.ReadFile(src, "lang/"+lang+".json")
	if err != nil {
		t.Fatal(err)
	}
	onlyOnce(t, lang, b)
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	texts := map[string]forms{}
	for id, m := range raw {
		f := forms{}
		if json.Unmarshal(m, &f) != nil {
			var s string
			if err := json.Unmarshal(m, &s); err != nil {
				t.Fatal(id, err)
			}
			f = forms{"other": s}
		}
		texts[id] = f
	}
	return texts
}

// onlyOnce finds an id that stands twice in a file: the JSON package would take the second without a word.
func onlyOnce(t *testing.T, lang string, b []byte) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  "([^"]+)":`).FindAllSubmatch(b, -1) {
		if seen[string(m[1])] {
			t.Errorf("%s: %s stands twice", lang, m[1])
		}
		seen[string(m[1])] = true
	}
	if n := bytes.Count(b, []byte("\": ")); len(seen) == 0 || n < len(seen) {
		t.Errorf("%s: %d lines for %d ids: one id a line", lang, n, len(seen))
	}
}

// needed returns the plural forms that a language tells apart for numbers of things.
func needed(lang string) []string {
	names := map[plural.Form]string{plural.Other: "other", plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}
	tag, have := language.Make(lang), map[string]bool{}
	for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 19, 20, 21, 22, 25, 100, 101, 102, 111, 1000, 100000, 1000000} {
		have[names[plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0)]] = true
	}
	var list []string
	for name := range have {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// alike are texts that are written in a language as in English, with the reason.
var alike = map[string]map[string]string{
	"de": {
		"role.admin": "the same word", "roles.name": "the same word", "idp.name": "the same word", "health.schema": "the same word",
		"settings.option": "the same word", "idp.scopes": "the protocol's own word", "signin.subject": "the protocol's own word",
		"health.version": "a name", "health.caddy": "a name", "kind.person": "the same word",
		"token.name": "the same word", "token.hosts": "the same word", "token.token": "the same word", "token.made": "the same word",
		"passkey.name": "the same word", "passkey.other": "a name", "account.passkeys": "a name", "secondfactors.passkeys": "a name",
		"totp.name": "the same word", "code.label": "the same word",
	},
	"es": {
		"layout.error": "the same word", "time.utc": "the same order", "roles.caption": "the same word",
		"health.version": "a name", "health.caddy": "a name", "account.tokens": "the same word",
		"admin.tokens": "the same word", "user.tokens": "the same word",
		"token.hosts": "the same word", "token.token": "the same word", "token.made": "the same word",
	},
}

var room = regexp.MustCompile(`\{[^}]*\}`)

// Each language says everything that English says and nothing more, with the same values in it, and as plain text.
func TestLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	for _, l := range ui.Languages() {
		if l.Code == ui.English {
			continue
		}
		as := map[string]bool{}
		for name, src := range textSources {
			english, texts := readTexts(t, src, ui.English), readTexts(t, src, l.Code)
			for id := range texts {
				if english[id] == nil {
					t.Errorf("%s/%s: %s is no text", name, l.Code, id)
				}
			}
			for id, want := range english {
				got := texts[id]
				if got == nil {
					t.Errorf("%s/%s: %s is missing", name, l.Code, id)
					continue
				}
				if slices.Equal(values(got), values(want)) {
					as[id] = true
					if alike[l.Code][id] == "" {
						t.Errorf("%s/%s: %s is English: %q", name, l.Code, id, got["other"])
					}
				}
				compare(t, name+"/"+l.Code+": "+id, l.Code, got, want)
			}
		}
		for id := range alike[l.Code] {
			if alike[l.Code][id] != "" && !as[id] {
				t.Errorf("%s: %s differs from English now: remove it from the list", l.Code, id)
			}
		}
	}
}

func values(f forms) []string {
	var list []string
	for _, s := range f {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

func compare(t *testing.T, where, lang string, got, want forms) {
	t.Helper()
	if len(want) > 1 {
		var have []string
		for form := range got {
			have = append(have, form)
		}
		slices.Sort(have)
		if need := needed(lang); !slices.Equal(have, need) {
			t.Errorf("%s has the forms %v; the language needs %v", where, have, need)
		}
	} else if len(got) > 1 {
		t.Errorf("%s has plural forms, and nothing to choose by", where)
	}
	for form, text := range got {
		if g, w := placeholders(text), placeholders(want["other"]); !slices.Equal(g, w) {
			t.Errorf("%s (%s) has room for %v; English for %v", where, form, g, w)
		}
		if n := strings.Contains(text, "{n}"); n != strings.Contains(want["other"], "{n}") && form == "other" {
			t.Errorf("%s tells a number and English does not, or the other way round", where)
		}
		trimmed := strings.TrimSpace(text)
		switch {
		case trimmed == "", strings.ContainsAny(text, "<>&\t\n\u00a0"), strings.Contains(text, "  "), strings.ContainsRune(text, '\ufffd'):
			t.Errorf("%s (%s) is no plain text: %q", where, form, text)
		case trimmed != text && strings.TrimSpace(want["other"]) == want["other"]:
			t.Errorf("%s (%s) has white space around it: %q", where, form, text)
		case strings.HasSuffix(text, ".") != strings.HasSuffix(want["other"], "."):
			t.Errorf("%s (%s) ends otherwise than English: %q", where, form, text)
		}
	}
}

// placeholders returns what a text has room for, but for the number that chooses its form: "one rule" needs none.
func placeholders(text string) []string {
	list := slices.DeleteFunc(room.FindAllString(text, -1), func(p string) bool { return p == "{n}" })
	slices.Sort(list)
	return list
}

// Each language can be the default, which makes and checks all of its pages.
func TestEveryLanguageHasItsPages(t *testing.T) {
	t.Parallel()
	for _, l := range ui.Languages() {
		u, err := ui.New(ui.Config{Language: l.Code, Sources: append(sources[:len(sources):len(sources)], Files)})
		if err != nil {
			t.Errorf("%s: %v", l.Code, err)
			continue
		}
		if u.Language() != l.Code || len(u.Offer()) != len(ui.Languages()) {
			t.Errorf("%s: made %s, which offers %v", l.Code, u.Language(), u.Offer())
		}
		if got := u.Text("time.months"); len(strings.Fields(got)) != 12 {
			t.Errorf("%s: %d months: %s", l.Code, len(strings.Fields(got)), got)
		}
	}
}

// Numbers choose the form of their language (CLDR): of these, only one takes the singular.
func TestNumbersInWords(t *testing.T) {
	t.Parallel()
	for lang, want := range map[string][4]string{
		"en": {"0 minutes", "1 minute", "2 minutes", "21 minutes"},
		"de": {"0 Minuten", "1 Minute", "2 Minuten", "21 Minuten"},
		"es": {"0 minutos", "1 minuto", "2 minutos", "21 minutos"},
	} {
		u, err := ui.New(ui.Config{Language: lang, Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range []int{0, 1, 2, 21} {
			if got := u.Text("span.minutes", "n", n); got != want[i] {
				t.Errorf("%s: %q, want %q", lang, got, want[i])
			}
		}
	}
}
