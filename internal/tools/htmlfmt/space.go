package main

import (
	"regexp"
	"slices"
)

// Where white space has no effect. The questions are about a place between two tokens, and follow every path that an
// execution of the template can take from there.

// template is a parsed template.
type template struct {
	tokens []token
	blocks map[string]bool // templates that are called where white space has no effect
}

// freeBefore reports whether white space just before token i has no effect because of what follows.
func (t *template) freeBefore(i int) bool { return t.before(i, map[int]bool{}) }

// freeAfter reports whether white space just after token i has no effect because of what precedes.
func (t *template) freeAfter(i int) bool { return t.after(i, map[int]bool{}) }

func (t *template) before(i int, seen map[int]bool) bool {
	if i >= len(t.tokens) || seen[i] {
		return true
	}
	seen[i] = true
	k := &t.tokens[i]
	switch k.kind {
	case space:
		return t.before(i+1, seen)
	case begin:
		if k.verb == "define" {
			return true
		}
		for at := i; ; at = t.tokens[at].next {
			if t.tokens[at].kind == end {
				return true
			}
			if !t.before(at+1, seen) {
				return false
			}
			// Without an {{else}}, nothing may come of the block.
			if next := t.tokens[at].next; t.tokens[next].kind == end && !t.final(at) && !t.before(next+1, seen) {
				return false
			}
		}
	case otherwise, end:
		first := &t.tokens[k.match]
		last := first.match
		if first.verb == "define" {
			return t.blocks[first.name]
		}
		return t.before(last+1, seen) && (first.verb != "range" || t.before(k.match+1, seen))
	case call:
		return t.blocks[k.name]
	}
	return k.block()
}

var plainElse = regexp.MustCompile(`^\{\{-?\s*else\s*-?\}\}$`)

// final reports whether a branch is that of a plain {{else}}.
func (t *template) final(i int) bool {
	return t.tokens[i].kind == otherwise && plainElse.MatchString(t.tokens[i].src)
}

func (t *template) after(i int, seen map[int]bool) bool {
	if i < 0 || seen[i] {
		return true
	}
	seen[i] = true
	k := &t.tokens[i]
	switch k.kind {
	case space:
		return t.after(i-1, seen)
	case begin, otherwise:
		first := k
		at := i
		if k.kind == otherwise {
			at = k.match
			first = &t.tokens[at]
		}
		if first.verb == "define" {
			return t.blocks[first.name]
		}
		return t.after(at-1, seen) && (first.verb != "range" || t.after(first.next-1, seen))
	case end:
		first := &t.tokens[k.match]
		if first.verb == "define" {
			return true
		}
		for at := k.match; t.tokens[at].kind != end; at = t.tokens[at].next {
			if !t.after(t.tokens[at].next-1, seen) {
				return false
			}
			if t.tokens[at].next == i && !t.final(at) && !t.after(k.match-1, seen) {
				return false
			}
		}
		return true
	case call:
		return t.blocks[k.name]
	}
	return k.block()
}

// free reports whether white space between tokens i and i+1 has no effect.
func (t *template) free(i int) bool {
	switch {
	case i < 0 || i+1 >= len(t.tokens):
		return true
	case t.tokens[i].trimRight || t.tokens[i+1].trimLeft:
		return true
	case t.verbatim(i) || t.verbatim(i+1):
		return false
	}
	return t.freeAfter(i) || t.freeBefore(i+1)
}

// verbatim reports whether token i is the content of an element in which white space counts.
func (t *template) verbatim(i int) bool {
	return t.tokens[i].kind == text && i > 0 && i+1 < len(t.tokens) && t.tokens[i-1].kind == open &&
		t.tokens[i-1].match == i+1 && slices.Contains(verbatimTags, t.tokens[i-1].name)
}
