package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// jsonObject is a JSON object as it was signed. Its members are read by exact name and through typed accessors only:
// encoding/json takes "SUB" for "sub" when it fills a struct, comparing decoded values panics if they are lists or
// objects, and a provider that lets users choose claims would let them choose which parser sees what.
//
// A duplicate member is an error (RFC 7519, section 4, leaves that choice): parsers differ in which one they use. A
// member that is null counts as absent.
type jsonObject struct{ members map[string]any }

// jsonValue is the value of one member; the zero value is an absent one. Its first field makes == a compile error.
type jsonValue struct {
	_ [0]func()
	v any
}

// maxDepth limits the nesting of objects and lists; no real provider comes near it.
const maxDepth = 32

// UnmarshalJSON implements json.Unmarshaler.
func (c *jsonObject) UnmarshalJSON(b []byte) error {
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
			return nil, fmt.Errorf("duplicate member %s", Clean(name, 40))
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
func (c jsonObject) get(name string) jsonValue { return jsonValue{v: c.members[name]} }

// is reports whether a member is exactly that string.
func (c jsonObject) is(name, text string) bool {
	s, ok := c.get(name).asString()
	return ok && s == text
}

// lookup follows a path of names separated by dots. Names that contain dots (https://example.com/groups) are found,
// too: at each level the longest existing name is used.
func (c jsonObject) lookup(path string) jsonValue {
	if v := c.get(path); v.present() {
		return v
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := c.get(path[:i]).asObject(); ok {
			if v := inner.lookup(path[i+1:]); v.present() {
				return v
			}
		}
	}
	return jsonValue{}
}

// lookupAll is lookup through lists of objects: it returns the values of all of them. What is found without a list
// comes alone.
func (c jsonObject) lookupAll(path string) []jsonValue {
	if v := c.lookup(path); v.present() {
		return []jsonValue{v}
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		var out []jsonValue
		if list, ok := c.get(path[:i]).v.([]any); ok {
			for _, item := range list {
				if inner, ok := (jsonValue{v: item}).asObject(); ok {
					out = append(out, inner.lookupAll(path[i+1:])...)
				}
			}
		} else if inner, ok := c.get(path[:i]).asObject(); ok {
			out = inner.lookupAll(path[i+1:])
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// keys returns the names of the members, without those whose value is false: that says no.
func (c jsonObject) keys() []jsonValue {
	var out []jsonValue
	for _, name := range slices.Sorted(maps.Keys(c.members)) {
		if b, is := c.members[name].(bool); !is || b {
			out = append(out, jsonValue{v: name})
		}
	}
	return out
}

// overlay returns the members of c, overridden by those of top.
func (c jsonObject) overlay(top jsonObject) jsonObject {
	out := make(map[string]any, len(c.members)+len(top.members))
	for _, layer := range []jsonObject{c, top} {
		for name, v := range layer.members {
			out[name] = v
		}
	}
	return jsonObject{out}
}

// set sets a member, or deletes it if v is absent.
func (c jsonObject) set(name string, v jsonValue) {
	if !v.present() {
		delete(c.members, name)
		return
	}
	c.members[name] = v.v
}

func (v jsonValue) isList() bool {
	_, ok := v.v.([]any)
	return ok
}

func (v jsonValue) present() bool { return v.v != nil }

func (v jsonValue) asString() (string, bool) {
	s, ok := v.v.(string)
	return s, ok
}

// scalar returns a string, or a number as it was written; "" for everything else.
func (v jsonValue) scalar() string {
	switch t := v.v.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	}
	return ""
}

// text returns the value as text for people: a string as it is, anything else as JSON.
func (v jsonValue) text() string {
	if s, ok := v.asString(); ok {
		return s
	}
	b, _ := json.Marshal(v.v) // what was JSON can be written as JSON
	return string(b)
}

// singleString returns a string, or the string in a list of one: some providers send addresses in that form.
func (v jsonValue) singleString() (string, bool) {
	if list, ok := v.v.([]any); ok && len(list) == 1 {
		return jsonValue{v: list[0]}.asString()
	}
	return v.asString()
}

// isTrue reports whether the value is true, or the string "true" that some providers send.
func (v jsonValue) isTrue() bool {
	b, _ := v.v.(bool)
	s, _ := v.asString()
	return b || s == "true"
}

func (v jsonValue) asObject() (jsonObject, bool) {
	m, ok := v.v.(map[string]any)
	return jsonObject{m}, ok
}

// items returns the items of a list, or the value itself as the only item; none if it is absent.
func (v jsonValue) items() []jsonValue {
	list, ok := v.v.([]any)
	if !ok && v.present() {
		return []jsonValue{v}
	}
	out := make([]jsonValue, len(list))
	for i := range list {
		out[i].v = list[i]
	}
	return out
}

// asStrings returns a string, or a list that holds only strings.
func (v jsonValue) asStrings() ([]string, bool) {
	list := v.items()
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.asString()
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, len(out) > 0
}

// asTime reads a NumericDate (RFC 7519, section 2).
func (v jsonValue) asTime() (time.Time, bool) {
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

// wrongCase returns a member whose name differs from one of names only by case, "" for none.
func (c jsonObject) wrongCase(names ...string) string {
	for name := range c.members {
		for _, n := range names {
			if name != n && strings.EqualFold(name, n) && !slices.Contains(names, name) {
				return name
			}
		}
	}
	return ""
}
