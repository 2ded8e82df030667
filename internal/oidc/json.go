package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// claims is a JSON object as it was signed. Its members are reached by their exact names and through typed accessors
// only: encoding/json takes "SUB" for "sub" when it fills a struct, comparing decoded values panics when they are lists
// or objects, and a provider that lets people choose claims would let them choose which reader sees what.
//
// A member twice is an error (RFC 7519, section 4, leaves that choice): readers differ in which one counts. A member
// that is null is absent.
type claims struct{ members map[string]any }

// value is one member; the zero value is an absent one. The first field keeps anybody from comparing it with ==.
type value struct {
	_ [0]func()
	v any
}

// maxDepth of objects and lists within each other; no provider comes near it.
const maxDepth = 32

// UnmarshalJSON implements json.Unmarshaler.
func (c *claims) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	v, err := decode(dec, 0)
	if err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	members, ok := v.(map[string]any)
	if !ok {
		return errors.New("not an object")
	}
	c.members = members
	return nil
}

func decode(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("too deep")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return decodeObject(dec, depth)
	case json.Delim('['):
		return decodeList(dec, depth)
	}
	return t, nil
}

func decodeObject(dec *json.Decoder, depth int) (any, error) {
	out := make(map[string]any)
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if seen[name] {
			return nil, fmt.Errorf("the member %s is there twice", Clean(name, 40))
		}
		seen[name] = true
		v, err := decode(dec, depth+1)
		if err != nil {
			return nil, err
		}
		if v != nil {
			out[name] = v
		}
	}
	_, err := dec.Token()
	return out, err
}

func decodeList(dec *json.Decoder, depth int) (any, error) {
	out := []any{}
	for dec.More() {
		v, err := decode(dec, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := dec.Token()
	return out, err
}

// get returns a member by its name.
func (c claims) get(name string) value { return value{v: c.members[name]} }

// is reports whether a member is exactly that text.
func (c claims) is(name, text string) bool {
	s, ok := c.get(name).text()
	return ok && s == text
}

// lookup follows a path. Names with dots in them (https://example.com/groups) are found, too: at each level the
// longest name that exists is taken.
func (c claims) lookup(path string) value {
	if v := c.get(path); v.there() {
		return v
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := c.get(path[:i]).object(); ok {
			if v := inner.lookup(path[i+1:]); v.there() {
				return v
			}
		}
	}
	return value{}
}

// over returns the members of c with those of top laid over them.
func (c claims) over(top claims) claims {
	out := make(map[string]any, len(c.members)+len(top.members))
	for _, layer := range []claims{c, top} {
		for name, v := range layer.members {
			out[name] = v
		}
	}
	return claims{out}
}

// set puts a member in, or takes it out when v is absent.
func (c claims) set(name string, v value) {
	if !v.there() {
		delete(c.members, name)
		return
	}
	c.members[name] = v.v
}

func (v value) there() bool { return v.v != nil }

func (v value) text() (string, bool) {
	s, ok := v.v.(string)
	return s, ok
}

// word returns a text, or a number as it was written; "" for everything else.
func (v value) word() string {
	switch t := v.v.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	}
	return ""
}

// only returns a text, or the one text of a list of one: some providers send addresses so.
func (v value) only() (string, bool) {
	if list, ok := v.v.([]any); ok && len(list) == 1 {
		return value{v: list[0]}.text()
	}
	return v.text()
}

// yes reports whether the value is true, or the text that some providers send for it.
func (v value) yes() bool {
	b, _ := v.v.(bool)
	s, _ := v.text()
	return b || s == "true"
}

func (v value) object() (claims, bool) {
	m, ok := v.v.(map[string]any)
	return claims{m}, ok
}

// list returns the members of a list, or the value itself as the only one; nil when it is absent.
func (v value) list() []value {
	list, ok := v.v.([]any)
	if !ok && v.there() {
		return []value{v}
	}
	out := make([]value, len(list))
	for i := range list {
		out[i].v = list[i]
	}
	return out
}

// texts returns a text or a list of nothing but texts.
func (v value) texts() ([]string, bool) {
	list := v.list()
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.text()
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, len(out) > 0
}

// instant reads a NumericDate (RFC 7519, section 2).
func (v value) instant() (time.Time, bool) {
	n, ok := v.v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || math.IsNaN(f) || f < 0 || f > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

// misspelt returns a member that differs from one of names only by case, "" for none.
func (c claims) misspelt(names ...string) string {
	for name := range c.members {
		for _, n := range names {
			if name != n && strings.EqualFold(name, n) && !slices.Contains(names, name) {
				return name
			}
		}
	}
	return ""
}
