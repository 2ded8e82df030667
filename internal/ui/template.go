package ui

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"sync"
)

// Templates are indented for those who read them. Pages go without that, which makes them a quarter smaller.

// readTemplate returns the text of a template, as pages need it.
func readTemplate(src fs.FS, file string) (string, error) {
	text, err := fs.ReadFile(src, file)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	c, _ := compacted.LoadOrStore(string(text), sync.OnceValue(func() string { return compact(string(text)) }))
	return c.(func() string)(), nil //nolint:errcheck,forcetypeassert // nothing else is stored
}

// compacted has each template that was read: they are embedded, thus few, and every language of every site reads them.
var compacted sync.Map

var (
	indents = regexp.MustCompile(`\n\t+`)
	tags    = regexp.MustCompile(`<[a-zA-Z](?:\{\{.*?\}\}|"(?:\{\{.*?\}\}|[^"])*"|[^>"])*>`)
	// optional is an attribute that begins a line and brings its own space: {{if .Bad}} aria-invalid="true"{{end}}.
	optional = regexp.MustCompile(`\n\t+(\{\{(?:if|with|range)[^}]*\}\} )`)
)

// compact leaves out indents, and joins the lines of a tag.
func compact(text string) string {
	text = tags.ReplaceAllStringFunc(text, func(tag string) string {
		return strings.TrimSpace(indents.ReplaceAllString(optional.ReplaceAllString(tag, "$1"), " "))
	})
	return indents.ReplaceAllString(text, "\n")
}
