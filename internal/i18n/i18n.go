// Package i18n holds what is said to people: sentences that wait to be put into a language, and the catalogs of
// texts that do so.
//
// Packages without pages (accounts, the reading of input, the gate) refuse things in sentences. They name the sentence
// by an id and give it arguments; whoever answers the person says it in that person's language, from the same catalog
// as everything else on the page. The command line and the log have [Text.String], which is English.
package i18n

import (
	"embed"
	"sync"
)

// Files are the sentences of packages without pages, as a source of a [Catalog].
//
//go:embed lang
var Files embed.FS

// Text is a sentence in no language yet: an id of a catalog, and pairs of name and value for its placeholders. The
// zero value says nothing.
type Text struct {
	id   string
	args []any
}

// New makes a text from an id and pairs of name and value.
func New(id string, args ...any) Text { return Text{id, args} }

// AnyOf is a list of values of which one is enough, as an argument: "staff or ops".
type AnyOf []string

// ID returns the id.
func (t Text) ID() string { return t.id }

// IsZero reports whether the text says nothing.
func (t Text) IsZero() bool { return t.id == "" }

// String returns the text in English. It is for sentences of [Files]; one of another source returns its id.
func (t Text) String() string {
	if t.IsZero() {
		return ""
	}
	return english().Say(t)
}

// english is read when somebody first asks: most processes that refuse nothing never do.
var english = sync.OnceValue(func() *Catalog {
	c, err := Load(English, Files)
	if err != nil {
		return &Catalog{} // the tests load every file; ids are still something to go by
	}
	return c
})
