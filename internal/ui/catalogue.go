package ui

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// English is the language of the built-in texts. Pseudo is a made-up one, longer and accented, in which a text that
// bypassed the catalogue stands out and a layout that is too tight breaks; tests use it.
const (
	English = "en"
	Pseudo  = "en-XA"
)

// catalogue holds the texts of one language by id. A text is a whole sentence with {placeholders}, or one for each
// plural form that the argument n chooses. Texts are plain: html/template escapes them with their arguments.
type catalogue struct {
	tag   language.Tag
	texts map[string]message
}

// message has its text under "other", and further plural forms beside it.
type message map[string]string

// UnmarshalJSON takes a string or an object of plural forms.
func (m *message) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*m = message{"other": s}
		return nil
	}
	var forms map[string]string
	if err := json.Unmarshal(b, &forms); err != nil {
		return err
	}
	if forms["other"] == "" {
		return fmt.Errorf(`a text with plural forms needs "other"`)
	}
	*m = forms
	return nil
}

// load adds the texts of lang/<language>.json in each source. An id may be defined once.
func loadCatalogue(lang string, sources []fs.FS) (*catalogue, error) {
	c := &catalogue{tag: language.Make(lang), texts: make(map[string]message)}
	file := "lang/" + lang + ".json"
	if lang == Pseudo {
		file = "lang/" + English + ".json"
	}
	for _, src := range sources {
		b, err := fs.ReadFile(src, file)
		if err != nil {
			return nil, fmt.Errorf("reading texts: %w", err)
		}
		var texts map[string]message
		if err := json.Unmarshal(b, &texts); err != nil {
			return nil, fmt.Errorf("reading texts: %w", err)
		}
		for id, m := range texts {
			if _, dup := c.texts[id]; dup {
				return nil, fmt.Errorf("text %q is defined twice", id)
			}
			if lang == Pseudo {
				m = m.pseudo()
			}
			c.texts[id] = m
		}
	}
	return c, nil
}

func (c *catalogue) has(id string) bool { _, ok := c.texts[id]; return ok }

// text answers the text for id with its placeholders filled from pairs of name and value. New checks that every id a
// template names exists; one that Go code gets wrong shows as itself.
func (c *catalogue) text(id string, args ...any) string {
	m, ok := c.texts[id]
	if !ok {
		return id
	}
	text := m["other"]
	if len(m) > 1 {
		if form, ok := m[c.form(args)]; ok {
			text = form
		}
	}
	if len(args) == 0 {
		return text
	}
	pairs := make([]string, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, fmt.Sprint("{", args[i], "}"), fmt.Sprint(args[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text) // one pass: a value is never searched for placeholders
}

// form answers the plural form (CLDR) that the argument n chooses.
func (c *catalogue) form(args []any) string {
	n := -1
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "n" {
			if v, err := strconv.Atoi(fmt.Sprint(args[i+1])); err == nil {
				n = v
			}
		}
	}
	if n < 0 {
		return "other"
	}
	switch plural.Cardinal.MatchPlural(c.tag, n, 0, 0, 0, 0) {
	case plural.Zero:
		return "zero"
	case plural.One:
		return "one"
	case plural.Two:
		return "two"
	case plural.Few:
		return "few"
	case plural.Many:
		return "many"
	default:
		return "other"
	}
}

// placeholders answers the names in a message, those of all its forms.
func (m message) placeholders() map[string]bool {
	names := make(map[string]bool)
	for _, text := range m {
		for {
			_, rest, ok := strings.Cut(text, "{")
			if !ok {
				break
			}
			name, after, ok := strings.Cut(rest, "}")
			if !ok {
				break
			}
			names[name] = true
			text = after
		}
	}
	return names
}

// accents replaces letters by accented ones that are still legible.
var accents = strings.NewReplacer("a", "å", "e", "é", "i", "î", "o", "ø", "u", "û", "y", "ý", "n", "ñ", "c", "ç", "s", "š",
	"A", "Å", "E", "É", "I", "Î", "O", "Ø", "U", "Û", "Y", "Ý", "N", "Ñ", "C", "Ç", "S", "Š")

// pseudo answers the message in the made-up language: accented and 40 % longer, placeholders kept.
func (m message) pseudo() message {
	out := make(message, len(m))
	for form, text := range m {
		var b strings.Builder
		letters := 0
		for text != "" {
			plain, rest, found := strings.Cut(text, "{")
			for _, r := range plain {
				if unicode.IsLetter(r) {
					letters++
				}
			}
			b.WriteString(accents.Replace(plain))
			if !found {
				break
			}
			name, after, _ := strings.Cut(rest, "}")
			b.WriteString("{" + name + "}")
			text = after
		}
		b.WriteString(strings.Repeat("~", letters*2/5))
		out[form] = "[" + b.String() + "]"
	}
	return out
}
