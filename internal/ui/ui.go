package ui

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
	"sync"
	"text/template/parse"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
)

//go:embed templates lang
var files embed.FS

// Source is what a package brings along: templates/*.html, one page each, if it has pages, and lang/en.json, its texts,
// with a file for each further language beside it.
type Source = fs.FS

// Config of a UI.
type Config struct {
	Brand    Brand
	Language string // for those who ask for none that there is; English when empty
	Log      *zap.Logger
	Sources  []Source
}

// UI renders pages in one language. It is made once per configuration and safe for concurrent use.
type UI struct {
	brand  Brand
	cat    *i18n.Catalog
	offer  []Language // all that somebody may choose
	months []string
	assets *assets
	pages  map[string]*template.Template
	log    *zap.Logger
	gzips  sync.Pool
}

// New returns the pages in the language of the configuration alone.
func New(c Config) (*UI, error) {
	s, err := NewSet(c)
	if err != nil {
		return nil, err
	}
	return s.Default(), nil
}

// makeUI parses everything, so that a mistake in a template or a text stops the start and not a request.
func makeUI(c Config, lang string, a *assets) (*UI, error) {
	cat, err := i18n.Load(lang, texts(c.Sources)...)
	if err != nil {
		return nil, err
	}
	u := &UI{brand: c.Brand, cat: cat, assets: a, pages: make(map[string]*template.Template), log: c.Log}
	u.months = strings.Fields(u.Text("time.months"))
	layout, err := readTemplate(files, "templates/layout.html")
	if err != nil {
		return nil, err
	}
	base, err := template.New("base").Funcs(u.funcs()).Parse(layout)
	if err != nil {
		return nil, fmt.Errorf("parsing the layout: %w", err)
	}
	for _, src := range c.Sources {
		if err := u.addPages(base, src); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// texts returns where texts come from: the layout, packages without pages, and those with.
func texts(sources []Source) []fs.FS { return append([]fs.FS{files, i18n.Files}, sources...) }

func (u *UI) addPages(base *template.Template, src Source) error {
	names, err := fs.Glob(src, "templates/*.html")
	if err != nil {
		return fmt.Errorf("looking for templates: %w", err)
	}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if _, dup := u.pages[name]; dup {
			return fmt.Errorf("page %q is defined twice", name)
		}
		text, err := readTemplate(src, file)
		if err != nil {
			return err
		}
		t, err := template.Must(base.Clone()).Parse(text)
		if err != nil {
			return fmt.Errorf("parsing page %q: %w", name, err)
		}
		if err := u.checkTexts(t); err != nil {
			return fmt.Errorf("page %q: %w", name, err)
		}
		u.pages[name] = t
	}
	return nil
}

// Text returns one of the texts, with placeholders filled from pairs of name and value.
func (u *UI) Text(id string, args ...any) string { return u.cat.Text(id, args...) }

// Say returns a sentence of a package without pages.
func (u *UI) Say(t i18n.Text) string { return u.cat.Translate(t) }

// HasText reports whether there is a text with that id.
func (u *UI) HasText(id string) bool { return u.cat.Has(id) }

// Language returns the language of the pages, such as "de".
func (u *UI) Language() string { return u.cat.Tag().String() }

// Offer returns the languages that somebody may choose among.
func (u *UI) Offer() []Language { return u.offer }

// Brand returns the look.
func (u *UI) Brand() Brand { return u.brand }

func (u *UI) funcs() template.FuncMap {
	return template.FuncMap{
		"t":       u.Text,
		"faults":  Faults,
		"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"utc":     u.Time,
		"exact":   u.exact,
	}
}

// exact writes a time with its seconds.
func (u *UI) exact(t time.Time) string { return u.clock(t, "15:04:05") }

// Time writes a time as people read it who have no script: the script writes their own time in its place.
func (u *UI) Time(t time.Time) string { return u.clock(t, "15:04") }

func (u *UI) clock(t time.Time, layout string) string {
	t = t.UTC()
	month := t.Month().String()[:3]
	if len(u.months) == 12 {
		month = u.months[t.Month()-1]
	}
	return u.Text("time.utc", "day", t.Day(), "month", month, "year", t.Year(), "clock", t.Format(layout))
}

// checkTexts makes sure that every text a template asks for exists and gets exactly the arguments it has room for.
func (u *UI) checkTexts(t *template.Template) error {
	for _, def := range t.Templates() {
		if def.Tree == nil {
			continue
		}
		var bad error
		walk(def.Tree.Root, func(cmd *parse.CommandNode) {
			if err := u.checkCall(cmd); err != nil && bad == nil {
				bad = fmt.Errorf("in %q: %w", def.Name(), err)
			}
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

func (u *UI) checkCall(cmd *parse.CommandNode) error {
	fn, ok := cmd.Args[0].(*parse.IdentifierNode)
	if !ok || fn.Ident != "t" || len(cmd.Args) < 2 {
		return nil
	}
	id, ok := cmd.Args[1].(*parse.StringNode)
	if !ok {
		return nil // chosen at run time
	}
	want, ok := u.cat.Placeholders(id.Text)
	if !ok {
		return fmt.Errorf("there is no text %q", id.Text)
	}
	given := make(map[string]bool)
	for i := 2; i < len(cmd.Args); i += 2 {
		if name, ok := cmd.Args[i].(*parse.StringNode); ok {
			given[name.Text] = true
		}
	}
	for name := range want {
		if !given[name] {
			return fmt.Errorf("text %q is not given %q", id.Text, name)
		}
		delete(given, name)
	}
	for name := range given {
		return fmt.Errorf("text %q has no place for %q", id.Text, name)
	}
	return nil
}

// walk calls fn for every command below n.
func walk(n parse.Node, fn func(*parse.CommandNode)) {
	pipe := func(p *parse.PipeNode) {
		if p == nil {
			return
		}
		for _, cmd := range p.Cmds {
			fn(cmd)
			for _, arg := range cmd.Args {
				walk(arg, fn)
			}
		}
	}
	branch := func(b *parse.BranchNode) {
		pipe(b.Pipe)
		walk(b.List, fn)
		if b.ElseList != nil {
			walk(b.ElseList, fn)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, c := range n.Nodes {
			walk(c, fn)
		}
	case *parse.ActionNode:
		pipe(n.Pipe)
	case *parse.PipeNode:
		pipe(n)
	case *parse.TemplateNode:
		pipe(n.Pipe)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}
