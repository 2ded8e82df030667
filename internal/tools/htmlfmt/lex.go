package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// kind of a token.
type kind int

const (
	text      kind = iota // a word, or something that is printed as it is
	space                 // white space between two tokens
	open                  // a start tag
	closing               // an end tag
	void                  // a tag without an end
	doctype               // a declaration or a comment
	begin                 // {{if}}, {{range}}, {{with}}, {{define}}, {{block}}
	otherwise             // {{else}} and its variants
	end                   // {{end}}
	call                  // {{template}}
	output                // every other action
)

// token is a piece of a template.
type token struct {
	kind  kind
	name  string   // of the tag, of the action ("if"), or of the template that is called or defined
	verb  string   // of begin: "if", "range", …
	parts []string // of a start tag: "<name", then its attributes
	src   string

	trimLeft, trimRight bool // the markers of an action
	match               int  // index of the token that closes, or opens; -1 for none
	next                int  // of begin and otherwise: the next {{else}} or {{end}} of the same block
}

// blockTags are elements next to which white space has no effect, by HTML's own style sheet or by ours. A hidden input
// is among them: it has no box.
var blockTags = strings.Fields(`html head body meta title link script base style header nav main footer section article
	aside form fieldset legend div p ul ol li dl dt dd table caption colgroup col thead tbody tfoot tr th td h1 h2 h3 h4 h5
	h6 details summary select option optgroup label dialog pre figure figcaption hr noscript`)

var voidTags = strings.Fields("area base br col embed hr img input link meta source track wbr")

// verbatimTags have contents in which white space counts, or that are no HTML.
var verbatimTags = []string{"pre", "textarea", "script", "style"}

var hidden = regexp.MustCompile(`(?i)type=["']?hidden\b`)

// block reports whether white space next to the token has no effect.
func (t *token) block() bool {
	switch t.kind {
	case open, closing, void:
		return slices.Contains(blockTags, t.name) || (t.name == "input" && hidden.MatchString(t.src))
	case doctype:
		return true
	}
	return false
}

// lexer splits a template into tokens.
type lexer struct {
	src    string
	pos    int
	tokens []token
}

func lex(src string) ([]token, error) {
	l := &lexer{src: src}
	for l.pos < len(l.src) {
		if err := l.step(); err != nil {
			return nil, fmt.Errorf("line %d: %w", 1+strings.Count(src[:l.pos], "\n"), err)
		}
	}
	return l.tokens, pair(l.tokens)
}

func (l *lexer) step() error {
	rest := l.src[l.pos:]
	switch {
	case strings.HasPrefix(rest, "{{"):
		return l.action()
	case strings.HasPrefix(rest, "<!"):
		stop := ">"
		if strings.HasPrefix(rest, "<!--") {
			stop = "-->"
		}
		n := strings.Index(rest, stop)
		if n < 0 {
			return errors.New("a declaration or comment has no end")
		}
		l.add(token{kind: doctype}, n+len(stop))
	case len(rest) > 1 && rest[0] == '<' && (isLetter(rest[1]) || rest[1] == '/'):
		return l.tag()
	case isSpace(rest[0]):
		n := strings.IndexFunc(rest, func(r rune) bool { return !isSpace(byte(min(r, 127))) })
		if n < 0 {
			n = len(rest)
		}
		l.add(token{kind: space}, n)
	default:
		n := 1
		for n < len(rest) && !isSpace(rest[n]) && rest[n] != '<' && !strings.HasPrefix(rest[n:], "{{") {
			n++
		}
		l.add(token{kind: text}, n)
	}
	return nil
}

func (l *lexer) add(t token, n int) {
	t.src, t.match, t.next = l.src[l.pos:l.pos+n], -1, -1
	l.pos += n
	l.tokens = append(l.tokens, t)
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

var firstWords = regexp.MustCompile(`^\{\{-?\s*([a-z]*)\s*(?:"([^"]*)")?`)

func (l *lexer) action() error {
	n, err := actionLength(l.src[l.pos:])
	if err != nil {
		return err
	}
	src := l.src[l.pos : l.pos+n]
	words := firstWords.FindStringSubmatch(src)
	t := token{kind: output, trimLeft: strings.HasPrefix(src, "{{- "), trimRight: strings.HasSuffix(src, " -}}")}
	switch words[1] {
	case "if", "range", "with", "define", "block":
		t.kind, t.verb, t.name = begin, words[1], words[2]
	case "else":
		t.kind = otherwise
	case "end":
		t.kind = end
	case "template":
		t.kind, t.name = call, words[2]
	}
	l.add(t, n)
	return nil
}

// actionLength returns the length of the action that s begins with.
func actionLength(s string) (int, error) {
	if strings.HasPrefix(strings.TrimLeft(s[2:], "- "), "/*") {
		if n := strings.Index(s, "*/"); n >= 0 {
			if m := strings.Index(s[n:], "}}"); m >= 0 {
				return n + m + 2, nil
			}
		}
		return 0, errors.New("a comment has no end")
	}
	var quote byte
	for i := 2; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '"' || c == '`' || c == '\'':
			quote = c
		case strings.HasPrefix(s[i:], "}}"):
			return i + 2, nil
		}
	}
	return 0, errors.New("an action has no end")
}

func (l *lexer) tag() error {
	rest := l.src[l.pos:]
	if rest[1] == '/' {
		n := strings.IndexByte(rest, '>')
		if n < 0 {
			return errors.New("a tag has no end")
		}
		l.add(token{kind: closing, name: strings.ToLower(strings.TrimSpace(rest[2:n]))}, n+1)
		return nil
	}
	parts, n, err := attributes(rest)
	if err != nil {
		return err
	}
	t := token{kind: open, name: strings.ToLower(parts[0][1:]), parts: parts}
	if slices.Contains(voidTags, t.name) {
		t.kind = void
	}
	l.add(t, n)
	if !slices.Contains(verbatimTags, t.name) {
		return nil
	}
	n = strings.Index(strings.ToLower(l.src[l.pos:]), "</"+t.name)
	if n < 0 {
		return fmt.Errorf("<%s> has no end", t.name)
	}
	if n > 0 {
		l.add(token{kind: text}, n)
	}
	return nil
}

// attributes splits the start tag that s begins with at the white space between its attributes, and returns its length.
// What an action makes appear stays together: {{if .Bad}} aria-invalid="true"{{end}}.
func attributes(s string) (parts []string, length int, err error) {
	var quote byte
	start, depth := 0, 0
	cut := func(i int) {
		if i > start {
			parts = append(parts, s[start:i])
		}
		start = i
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case strings.HasPrefix(s[i:], "{{"):
			n, err := actionLength(s[i:])
			if err != nil {
				return nil, 0, err
			}
			switch word := firstWords.FindStringSubmatch(s[i : i+n])[1]; word {
			case "if", "range", "with":
				if depth == 0 && quote == 0 {
					cut(i)
				}
				depth++
			case "end":
				depth--
			}
			i += n
			continue
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case depth == 0 && isSpace(c):
			cut(i)
			for start < len(s) && isSpace(s[start]) {
				start++
			}
			i = start
			continue
		case depth == 0 && c == '>':
			cut(i)
			return parts, i + 1, nil
		}
		i++
	}
	return nil, 0, errors.New("a tag has no end")
}

// pair connects tags and actions with those that close them. A tag that is opened in one action and closed in another
// stays alone.
func pair(tokens []token) error {
	var stack []int
	top := func() *token { return &tokens[stack[len(stack)-1]] }
	// drop forgets the tags that are open within the innermost block of actions.
	drop := func() error {
		for len(stack) > 0 && top().kind == open {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 {
			return errors.New("an {{else}} or {{end}} is too many")
		}
		return nil
	}
	for i := range tokens {
		switch t := &tokens[i]; t.kind {
		case open, begin:
			stack = append(stack, i)
		case closing:
			if len(stack) > 0 && top().kind == open && top().name == t.name {
				top().match, t.match = i, stack[len(stack)-1]
				stack = stack[:len(stack)-1]
			}
		case otherwise, end:
			if err := drop(); err != nil {
				return err
			}
			last := stack[len(stack)-1]
			first := last
			if tokens[last].kind == otherwise {
				first = tokens[last].match
			}
			tokens[last].next, t.match = i, first
			stack = stack[:len(stack)-1]
			if t.kind == otherwise {
				stack = append(stack, i)
			} else {
				tokens[first].match = i
			}
		}
	}
	for _, i := range stack {
		if tokens[i].kind != open {
			return errors.New("an action has no {{end}}")
		}
	}
	return nil
}
