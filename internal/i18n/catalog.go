package i18n

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// English is the source language. Pseudo is a pseudolocale for tests, longer and accented: texts that bypass the
// catalog stand out in it, and layouts that are too tight break.
const (
	English = "en"
	Pseudo  = "en-XA"
)

// Catalog holds the texts of one language by id. A text is a whole sentence with {placeholders}, or one for each
// plural form that the argument n chooses. Texts are plain: html/template escapes them with their arguments.
type Catalog struct {
	tag   language.Tag
	texts map[string]message
}

// message maps plural forms to texts. The form "other" is always present.
type message map[string]string

// UnmarshalJSON accepts a string or an object of plural forms.
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
		return errors.New(`a text with plural forms needs "other"`)
	}
	*m = forms
	return nil
}

// Load reads the texts of lang/<language>.json in each source. An id may be defined once.
func Load(lang string, sources ...fs.FS) (*Catalog, error) {
	c := &Catalog{tag: language.Make(lang), texts: make(map[string]message)}
	for _, src := range sources {
		b, err := fs.ReadFile(src, langFile(lang))
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

// langFile returns the file with the texts of a language; Pseudo is generated from English.
func langFile(lang string) string {
	if lang == Pseudo {
		lang = English
	}
	return "lang/" + lang + ".json"
}

// HasLanguage reports whether a source has texts in a language.
func HasLanguage(src fs.FS, lang string) bool {
	_, err := fs.Stat(src, langFile(lang))
	return err == nil
}

// Tag returns the language as in BCP 47, such as "de".
func (c *Catalog) Tag() language.Tag { return c.tag }

// Has reports whether there is a text with that id.
func (c *Catalog) Has(id string) bool { _, ok := c.texts[id]; return ok }

// Placeholders returns the names of a text's placeholders; ok is false if there is no such text.
func (c *Catalog) Placeholders(id string) (names map[string]bool, ok bool) {
	m, ok := c.texts[id]
	if !ok {
		return nil, false
	}
	names = m.placeholders()
	if len(m) > 1 {
		names["n"] = true
	}
	return names, true
}

// Translate returns t in the language of the catalog.
func (c *Catalog) Translate(t Text) string { return c.Text(t.id, t.args...) }

// Text returns the text for id with its placeholders filled from pairs of name and value. A value may be a [Text], or
// [OrList]. An unknown id is returned as it is.
func (c *Catalog) Text(id string, args ...any) string {
	m, ok := c.texts[id]
	if !ok {
		return id
	}
	text := m["other"]
	if len(m) > 1 {
		if form, ok := m[c.pluralForm(args)]; ok {
			text = form
		}
	}
	if len(args) == 0 {
		return text
	}
	return c.fill(text, args)
}

// fill replaces placeholders in one pass, so that placeholders in values are not replaced.
func (c *Catalog) fill(text string, args []any) string {
	var b strings.Builder
	b.Grow(len(text) + 32)
	for {
		plain, rest, found := strings.Cut(text, "{")
		b.WriteString(plain)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		value, given := findArg(args, name)
		if !closed || !given {
			b.WriteByte('{')
			text = rest
			continue
		}
		b.WriteString(c.formatArg(value))
		text = after
	}
}

func findArg(args []any, name string) (any, bool) {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == name {
			return args[i+1], true
		}
	}
	return nil, false
}

// formatArg returns an argument as text.
func (c *Catalog) formatArg(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case Text:
		return c.Translate(v)
	case OrList:
		return strings.Join(v, c.Text("list.or"))
	}
	return fmt.Sprint(v)
}

// pluralForm returns the plural form (CLDR) that the argument n chooses.
func (c *Catalog) pluralForm(args []any) string {
	v, _ := findArg(args, "n")
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil || n < 0 {
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

// placeholders returns the names in a message, those of all its forms.
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

// accents replaces letters by legible accented ones.
var accents = strings.NewReplacer("a", "å", "e", "é", "i", "î", "o", "ø", "u", "û", "y", "ý", "n", "ñ", "c", "ç", "s",
	"š",
	"A", "Å", "E", "É", "I", "Î", "O", "Ø", "U", "Û", "Y", "Ý", "N", "Ñ", "C", "Ç", "S", "Š")

// pseudo returns the message in the pseudolocale: accented and 40 % longer, with the same placeholders.
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
