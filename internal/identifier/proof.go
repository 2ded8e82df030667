package identifier

import (
	"slices"
	"strings"
	"unicode"
)

// Email is a valid e-mail address exactly as it was received. The zero value is no address, and equals nothing.
type Email struct{ text string }

// ParseEmail returns s as an address, or what is wrong with it. Only the plain form is accepted ([SplitEmail]), and
// only if folding changes nothing but A to Z: the store looks addresses up by their fold, and two mailboxes must not
// become one there.
func ParseEmail(s string) (Email, Fault) {
	switch fault := checkText(s); {
	case fault != "":
		return Email{}, fault
	case len(s) > MaxLength:
		return Email{}, Long
	}
	if _, _, ok := SplitEmail(s); !ok {
		return Email{}, Form
	}
	if !isASCII(s) && Fold(s) != FoldEmail(s) {
		return Email{}, Lookalike
	}
	return Email{text: s}, ""
}

// String returns the address as received, "" for none.
func (e Email) String() string { return e.text }

// IsZero reports whether there is no address.
func (e Email) IsZero() bool { return e.text == "" }

// Same reports whether two addresses are equal: A to Z in either case, everything else exactly.
func (e Email) Same(other Email) bool {
	return e.text != "" && FoldEmail(e.text) == FoldEmail(other.text)
}

// Is reports whether the address is one of values.
func (e Email) Is(values ...string) bool {
	return e.text != "" && slices.ContainsFunc(values, func(v string) bool { return sameEmail(v, e.text) })
}

// In reports whether the address is in one of the domains: in the domain itself, not below it.
func (e Email) In(domains ...string) bool {
	_, domain, ok := SplitEmail(e.text)
	return ok && slices.ContainsFunc(domains, func(v string) bool { return sameEmail(v, domain) })
}

// Group is a valid group name exactly as it was received. The zero value is no group, and equals nothing.
type Group struct{ text string }

// ParseGroup returns the group that s names, or what is wrong with the name.
func ParseGroup(s string) (Group, Fault) {
	if fault := CheckGroup(s); fault != "" {
		return Group{}, fault
	}
	return Group{text: s}, ""
}

// String returns the name as received, "" for none.
func (g Group) String() string { return g.text }

// Groups are the groups of one person.
type Groups []Group

// ParseGroups returns the valid groups of names, and drops the others.
func ParseGroups(names []string) Groups {
	var out Groups
	for _, name := range names {
		if g, fault := ParseGroup(name); fault == "" {
			out = append(out, g)
		}
	}
	return out
}

// Strings returns the names.
func (list Groups) Strings() []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, g := range list {
		out[i] = g.text
	}
	return out
}

// AnyOf reports whether any of the groups is among names, exactly.
func (list Groups) AnyOf(names []string) bool {
	return slices.ContainsFunc(list, func(g Group) bool { return g.text != "" && slices.Contains(names, g.text) })
}

// HasAnyGroup reports whether any of names is among the stored groups of a user. It is [Groups.AnyOf] for the request
// path: only matching names are validated.
func HasAnyGroup(kept, names []string) bool {
	return slices.ContainsFunc(kept, func(g string) bool { return slices.Contains(names, g) && CheckGroup(g) == "" })
}

// HeaderSafe reports whether a group can be sent to an app in a comma-separated header: a comma would forge membership
// of another group there, and so would characters that the app trims.
func HeaderSafe(group string) bool { return !strings.Contains(group, ",") && CheckGroup(group) == "" }

// JoinGroups joins groups for display: a name that contains a comma is quoted.
func JoinGroups(groups []string, between string) string {
	out := make([]string, len(groups))
	for i, g := range groups {
		if out[i] = g; strings.ContainsAny(g, `,"`) {
			out[i] = `"` + strings.ReplaceAll(g, `"`, `""`) + `"`
		}
	}
	return strings.Join(out, between)
}

// FoldEmail returns the key by which addresses are equal. Only A to Z are folded, for other characters that Unicode
// folds may belong to different mailboxes.
func FoldEmail(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

func sameEmail(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// SplitEmail splits an address into local part and domain. Only the plain form is accepted: a single '@', no white
// space, control characters, quotes, comments, brackets or separators, a domain of letters, digits, '-' and inner dots.
// Any other form has no domain that a rule could rely on.
func SplitEmail(s string) (local, domain string, ok bool) {
	local, domain, found := strings.Cut(s, "@")
	if !found || local == "" || len(s) > MaxLength || strings.ContainsAny(local, "\"(),:;<>@[\\]") || !IsDomain(domain) {
		return "", "", false
	}
	for _, r := range local {
		if r <= ' ' || r >= 0x7f && r <= 0xa0 || r > 0xa0 && (unicode.IsSpace(r) || isInvisible(r)) {
			return "", "", false
		}
	}
	return local, domain, true
}

// IsDomain reports whether s is the domain of a plain address.
func IsDomain(s string) bool {
	if s == "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
		case r > 0xa0 && !unicode.IsSpace(r) && !isInvisible(r): // an internationalized domain name
		default:
			return false
		}
	}
	return true
}
