package sqlstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// errBadText rejects a key that PostgreSQL could not store. Keys are rejected, never repaired: two different keys
// that become equal would merge two users.
var errBadText = errors.New("the text is not valid UTF-8 or holds a NUL character")

// errBadQuery rejects a list query with an unknown order or filter.
var errBadQuery = errors.New("unknown order or filter")

// toMillis returns a time as it is stored.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// clean makes free text storable in both engines. PostgreSQL rejects NUL and invalid UTF-8, and a User-Agent header
// must not be able to make a sign-in fail or keep an event out of the audit log.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// clip cleans a text and truncates it to at most n bytes, at a character boundary. PostgreSQL rejects index rows
// longer than about 2700 bytes.
func clip(s string, n int) string {
	s = clean(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// storable reports whether the keys can be stored and looked up unchanged.
func storable(keys ...string) bool {
	for _, k := range keys {
		if !utf8.ValidString(k) || strings.IndexByte(k, 0) >= 0 {
			return false
		}
	}
	return true
}

func checkKeys(keys ...string) error {
	if !storable(keys...) {
		return errBadText
	}
	return nil
}

// groupsText returns groups as they are stored: sorted, without duplicates, empty names and names that cannot be
// stored.
func groupsText(groups []string) string {
	list := make([]string, 0, len(groups))
	for _, g := range groups {
		if g != "" && storable(g) { // a repaired name could be that of another group
			list = append(list, g)
		}
	}
	slices.Sort(list)
	b, _ := json.Marshal(slices.Compact(list)) // strings always marshal
	return string(b)
}

// parseGroups parses a list of groups. A malformed list reads as empty: that grants nothing, and keeps the list of
// users, through which it can be repaired, usable.
func parseGroups(text string) []string {
	var groups []string
	if text == "[]" || json.Unmarshal([]byte(text), &groups) != nil {
		return nil
	}
	return groups
}

// textsText returns a list of texts as it is stored, in its order.
func textsText(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(list) // strings always marshal
	return string(b)
}

// parseTexts parses a list of texts, nil for an empty one. ok is false when it is malformed.
func parseTexts(text string) (list []string, ok bool) {
	if text == "[]" {
		return nil, true
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) == 0 {
		return nil, false
	}
	return list, true
}

func detailsText(details map[string]string) string {
	if len(details) == 0 {
		return "{}"
	}
	m := make(map[string]string, len(details))
	for k, v := range details {
		m[clean(k)] = clean(v)
	}
	b, _ := json.Marshal(m) // strings always marshal
	return string(b)
}

func parseDetails(text string) (map[string]string, error) {
	if text == "{}" {
		return nil, nil
	}
	var details map[string]string
	if err := json.Unmarshal([]byte(text), &details); err != nil {
		return nil, fmt.Errorf("malformed details of an event in the store: %w", err)
	}
	return details, nil
}

// pageSize clamps a limit to 1–1000; anything below means the default of 50.
func pageSize(limit int) int {
	if limit <= 0 {
		return 50
	}
	return min(limit, 1000)
}

// columns returns a comma-separated list of columns, each with a prefix such as "u.".
func columns(prefix, list string) string {
	fields := strings.Fields(list)
	for i, f := range fields {
		fields[i] = prefix + f
	}
	return strings.Join(fields, ", ")
}

// placeholders returns "$1, $2, … $n".
func placeholders(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		if i > 1 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i)
	}
	return b.String()
}

// intBool scans 0 or 1 into a bool.
type intBool struct{ b *bool }

// Scan implements [sql.Scanner].
func (i intBool) Scan(src any) error {
	n, ok := src.(int64)
	if !ok || n != 0 && n != 1 {
		return fmt.Errorf("malformed truth value in the store: %T", src)
	}
	*i.b = n == 1
	return nil
}
