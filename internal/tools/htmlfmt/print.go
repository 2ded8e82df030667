package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// width is how long a line gets where it can be broken; a tab counts as one column, as for the linters.
const width = 120

// formatter formats templates that belong together.
type formatter struct {
	names     []string
	templates map[string]*template
}

// newFormatter parses templates. A template that contains blocks is called where blocks are.
func newFormatter(sources map[string][]byte) (*formatter, error) {
	f := &formatter{templates: make(map[string]*template)}
	blocks := make(map[string]bool)
	for name, src := range sources {
		tokens, err := lex(string(src))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t := &template{tokens: tokens, blocks: blocks}
		f.names, f.templates[name] = append(f.names, name), t
		for i := range tokens {
			body := tokens[i:max(i, tokens[i].match)]
			if tokens[i].verb == "define" && slices.ContainsFunc(body, func(k token) bool { return k.block() }) {
				blocks[tokens[i].name] = true
			}
		}
	}
	slices.Sort(f.names)
	return f, nil
}

// format returns a formatted template.
func (f *formatter) format(name string) ([]byte, error) {
	t := f.templates[name]
	if err := t.normalize(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &printer{template: t}
	p.sequence(0, len(t.tokens), 0)
	out := append(bytes.TrimRight(p.out.Bytes(), "\n"), '\n')
	again, err := lex(string(out))
	if err != nil {
		return nil, fmt.Errorf("%s: formatting broke it: %w", name, err)
	}
	u := &template{tokens: again, blocks: t.blocks}
	if err := u.normalize(); err != nil {
		return nil, fmt.Errorf("%s: formatting broke it: %w", name, err)
	}
	if a, b := t.flat(0, len(t.tokens)), u.flat(0, len(u.tokens)); a != b {
		return nil, fmt.Errorf("%s: formatting would change what it means", name)
	}
	return out, nil
}

// normalize leaves out white space that has no effect.
func (t *template) normalize() error {
	var kept []token
	for i := range t.tokens {
		if t.tokens[i].kind == space {
			if i == 0 || i+1 == len(t.tokens) || t.tokens[i-1].trimRight || t.tokens[i+1].trimLeft ||
				t.freeAfter(i-1) || t.freeBefore(i+1) {
				continue
			}
		}
		kept = append(kept, t.tokens[i])
	}
	for i := range kept {
		kept[i].match, kept[i].next = -1, -1
	}
	t.tokens = kept
	return pair(kept)
}

// flat returns tokens from to (without) to in one line.
func (t *template) flat(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		switch k := &t.tokens[i]; {
		case k.kind == space:
			b.WriteByte(' ')
		case len(k.parts) > 0:
			b.WriteString(flatTag(k.parts))
		default:
			b.WriteString(k.src)
		}
	}
	return b.String()
}

// flatTag returns a start tag in one line.
func flatTag(parts []string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 && !bringsSpace(part) {
			b.WriteByte(' ')
		}
		b.WriteString(part)
	}
	return b.String() + ">"
}

// bringsSpace reports whether a part of a tag begins with an action in which the white space before the attribute is:
// {{if .Bad}} hidden{{end}}.
func bringsSpace(part string) bool {
	if !strings.HasPrefix(part, "{{") {
		return false
	}
	n, err := actionLength(part)
	return err == nil && n < len(part) && isSpace(part[n]) && !strings.HasSuffix(part[:n], " -}}")
}

// printer writes a template.
type printer struct {
	*template
	out  bytes.Buffer
	used int // columns of the line
}

func (p *printer) write(s string) {
	p.out.WriteString(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		p.used, s = 0, s[i+1:]
	}
	p.used += utf8.RuneCountInString(s)
}

func (p *printer) newline(depth int) {
	if p.out.Len() > 0 {
		p.write("\n" + strings.Repeat("\t", depth))
	}
}

// fits reports whether s can be added to the line.
func (p *printer) fits(s string) bool {
	return p.used+utf8.RuneCountInString(s) <= width && !strings.Contains(s, "\n")
}

// item returns the end of the item that begins at token i: a tag with its content, a block of actions, or the token.
func (p *printer) item(i int) int {
	if k := &p.tokens[i]; (k.kind == open || k.kind == begin) && k.match > i {
		return k.match + 1
	}
	return i + 1
}

// standsAlone reports whether the item from to (without) to begins a line and ends one.
func (p *printer) standsAlone(from, to int) bool {
	k := &p.tokens[from]
	switch {
	case k.verb == "define", k.block():
		return true
	case k.kind == call:
		return p.blocks[k.name]
	case to-from > 1:
		return p.hasBlocks(from+1, to-1)
	}
	return false
}

// hasBlocks reports whether there is an item that stands alone.
func (p *printer) hasBlocks(from, to int) bool {
	for i := from; i < to; i++ {
		if k := &p.tokens[i]; k.block() || (k.kind == call && p.blocks[k.name]) {
			return true
		}
	}
	return false
}

// sequence writes items side by side, or below each other.
func (p *printer) sequence(from, to, depth int) {
	alone := false // the last item ends its line
	for i := from; i < to; {
		if p.tokens[i].kind == space {
			i++
			if p.standsAlone(i, p.item(i)) || alone || !p.fits(" "+p.unbroken(i, to)) {
				p.newline(depth)
			} else {
				p.write(" ")
			}
			i, alone = p.print(i, depth)
			continue
		}
		if i > from && p.free(i-1) {
			next := p.standsAlone(i, p.item(i))
			if alone || next || !p.fits(p.unbroken(i, to)) {
				p.newline(depth)
			}
			if depth == 0 && p.tokens[i].verb == "define" {
				p.newline(0)
			}
		}
		i, alone = p.print(i, depth)
	}
}

// unbroken returns what has to stay in one line with the item at i.
func (p *printer) unbroken(i, to int) string {
	last := p.item(i)
	for last < to && p.tokens[last].kind != space && !p.free(last-1) {
		last = p.item(last)
	}
	return p.flat(i, last)
}

// print writes the item at i and returns the next one. alone is true for an item that ends its line where it can: one
// that stands alone, or took several lines.
func (p *printer) print(i, depth int) (next int, alone bool) {
	next = p.item(i)
	before := p.out.Len()
	defer func() { alone = p.standsAlone(i, next) || bytes.ContainsRune(p.out.Bytes()[before:], '\n') }()
	k := &p.tokens[i]
	switch {
	case next == i+1:
		p.token(k, depth)
	case !p.hasBlocks(i+1, next-1) && p.fits(p.flat(i, next)):
		p.write(p.flat(i, next))
	case k.kind == open:
		p.token(k, depth)
		p.body(i, k.match, depth)
		p.token(&p.tokens[k.match], depth)
	default:
		at := i
		for ; p.tokens[at].kind != end; at = p.tokens[at].next {
			p.token(&p.tokens[at], depth)
			p.body(at, p.tokens[at].next, depth)
		}
		p.token(&p.tokens[at], depth)
	}
	return next, alone
}

// body writes what is between the tokens from and to, indented where there is a place to break the line.
func (p *printer) body(from, to, depth int) {
	first, last := from+1, to
	if first == last {
		return
	}
	if p.tokens[first].kind == space {
		p.newline(depth + 1)
		first++
	} else if p.free(from) {
		p.newline(depth + 1)
	}
	trailing := last > first && p.tokens[last-1].kind == space
	if trailing {
		last--
	}
	p.sequence(first, last, depth+1)
	if trailing || p.free(to-1) {
		p.newline(depth)
	}
}

// token writes one token. The attributes of a long tag go on in the next lines.
func (p *printer) token(k *token, depth int) {
	if len(k.parts) == 0 {
		p.write(k.src)
		return
	}
	if flat := flatTag(k.parts); p.fits(flat) {
		p.write(flat)
		return
	}
	for i, part := range k.parts {
		glue := " "
		if i == 0 || bringsSpace(part) {
			glue = ""
		}
		if i > 0 && !p.fits(glue+part+">") {
			p.newline(depth + 1)
			glue = ""
		}
		p.write(glue + part)
	}
	p.write(">")
}
