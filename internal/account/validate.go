package account

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Limits of names.
const (
	maxName   = 254 // characters of a username, a display name, a group
	maxGroups = 100
	maxNote   = 500 // characters of a reason
)

// fields gathers what is wrong, so that a person learns everything at once.
type fields struct{ list []FieldError }

// add notes a fault: the id of its sentence, and what the sentence has room for.
func (f *fields) add(field, id string, args ...any) {
	f.list = append(f.list, fault(field, id, args...))
}

func (f *fields) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &InvalidError{Fields: f.list}
}

// username answers the username without outer white space.
func (f *fields) username(v string) string {
	v = strings.TrimSpace(v)
	switch {
	case v == "" || store.FoldName(v) == "":
		f.add("username", "fault.username_missing")
	case utf8.RuneCountInString(v) > maxName, len(store.FoldName(v)) > store.MaxKey:
		f.add("username", "fault.too_long", "most", maxName)
	case !printable(v):
		f.add("username", "fault.invisible")
	}
	return v
}

// email answers the address without outer white space; "" is none.
func (f *fields) email(v string) string {
	v = strings.TrimSpace(v)
	if v == "" {
		return ""
	}
	if _, _, ok := policy.SplitEmail(v); !ok || !printable(v) || len(store.FoldName(v)) > store.MaxKey {
		f.add("email", "fault.email")
	}
	return v
}

// name answers the display name without outer white space; "" is none.
func (f *fields) name(v string) string {
	v = strings.TrimSpace(v)
	switch {
	case utf8.RuneCountInString(v) > maxName:
		f.add("name", "fault.too_long", "most", maxName)
	case !printable(joiners.Replace(v)):
		f.add("name", "fault.invisible")
	}
	return v
}

// note checks what an administrator writes beside an act.
func (f *fields) note(v string) {
	if utf8.RuneCountInString(v) > maxNote || !printable(joiners.Replace(v)) {
		f.add("note", "fault.note", "most", maxNote)
	}
}

func (f *fields) role(v store.Role) store.Role {
	if !v.Valid() {
		f.add("role", "fault.role")
	}
	return v
}

// groups answers the groups sorted, each once. They travel to the upstream in one comma-separated header, so a comma
// in a name would forge membership of another group.
func (f *fields) groups(list []string) []string {
	out := make([]string, 0, len(list))
	for _, g := range list {
		g = strings.TrimSpace(g)
		switch {
		case g == "":
			f.add("groups", "fault.group_missing")
			return nil
		case utf8.RuneCountInString(g) > maxName:
			f.add("groups", "fault.group_long", "most", maxName)
			return nil
		case !printable(g) || strings.Contains(g, ","):
			f.add("groups", "fault.group_characters")
			return nil
		}
		out = append(out, g)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxGroups {
		f.add("groups", "fault.groups_many", "most", maxGroups)
		return nil
	}
	return out
}

// password judges a new password of u.
func (f *fields) password(s *Service, field, v string, u store.User) error {
	words := []string{u.Username, u.Email, u.Name, s.Title}
	words = append(words, strings.Fields(u.Name)...)
	err := s.Policy.Check(v, words...)
	var refused *password.PolicyError
	if errors.As(err, &refused) {
		f.list = append(f.list, passwordFault(field, refused, v, s.Policy))
		return nil
	}
	return err
}

// passwordFault says why a password is refused. A reason that has no sentence here keeps the words that came with it.
func passwordFault(field string, refused *password.PolicyError, v string, p password.Policy) FieldError {
	switch refused.Reason {
	case password.ReasonEmpty:
		if v == "" {
			return fault(field, "fault.password_missing")
		}
		return fault(field, "fault.password_spaces")
	case password.ReasonShort:
		return fault(field, "fault.password_short", "least", p.Min())
	case password.ReasonLong:
		return fault(field, "fault.password_long", "most", password.MaxBytes)
	case password.ReasonEncoding, password.ReasonControl, password.ReasonCommon, password.ReasonSample, password.ReasonContext:
		return fault(field, "fault.password_"+refused.Reason)
	}
	return FieldError{Field: field, Text: refused.Text}
}

// joiners are invisible characters that some scripts need (Persian, Devanagari). They are fine in a display name; in a
// username or a group they would make two names that look like one.
var joiners = strings.NewReplacer("\u200c", "", "\u200d", "")

// printable refuses control characters (they forge log lines and headers), what is no UTF-8, and format characters
// such as the right-to-left override, which make one name look like another.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError {
			return false
		}
	}
	return true
}
