// Package i18n holds translatable texts, and the catalogs that translate them.
//
// Packages without pages (accounts, input parsing, the gate) return errors with texts for users. A [Text] is an id with
// arguments; the handler that writes the response translates it into the user's language, with the same catalog as the
// rest of the page. The command line and the log use [Text.String], which is English.
package i18n

import (
	"embed"
	"sync"
)

// Files are the texts of packages without pages, as a source of a [Catalog].
//
//go:embed lang
var Files embed.FS

// Text is a translatable text: an id of a catalog, and pairs of name and value for its placeholders. The zero value is
// no text.
type Text struct {
	id   string
	args []any
}

// New returns a text from an id and pairs of name and value.
func New(id string, args ...any) Text { return Text{id, args} }

// OrList is an argument that is formatted as a list of alternatives: "staff or ops".
type OrList []string

// ID returns the id.
func (t Text) ID() string { return t.id }

// IsZero reports whether t is no text.
func (t Text) IsZero() bool { return t.id == "" }

// String returns the text in English. It is for texts of [Files]; for one of another source it returns the id.
func (t Text) String() string {
	if t.IsZero() {
		return ""
	}
	return english().Translate(t)
}

// english is loaded at the first use: most processes never need it.
var english = sync.OnceValue(func() *Catalog {
	c, err := Load(English, Files)
	if err != nil {
		return &Catalog{} // tests load every file; without texts, the ids are returned
	}
	return c
})
