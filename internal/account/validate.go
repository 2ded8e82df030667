package account

import (
	"errors"
	"fmt"
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

func (f *fields) add(field, text string) { f.list = append(f.list, FieldError{field, text}) }

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
		f.add("username", "Enter a username.")
	case utf8.RuneCountInString(v) > maxName, len(store.FoldName(v)) > store.MaxKey:
		f.add("username", fmt.Sprintf("Use at most %d characters.", maxName))
	case !printable(v):
		f.add("username", "Leave out line breaks, tabs and other invisible characters.")
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
		f.add("email", "Enter an e-mail address such as ada@example.com.")
	}
	return v
}

// name answers the display name without outer white space; "" is none.
func (f *fields) name(v string) string {
	v = strings.TrimSpace(v)
	switch {
	case utf8.RuneCountInString(v) > maxName:
		f.add("name", fmt.Sprintf("Use at most %d characters.", maxName))
	case !printable(joiners.Replace(v)):
		f.add("name", "Leave out line breaks, tabs and other invisible characters.")
	}
	return v
}

// note checks what an administrator writes beside an act.
func (f *fields) note(v string) {
	if utf8.RuneCountInString(v) > maxNote || !printable(joiners.Replace(v)) {
		f.add("note", fmt.Sprintf("Use at most %d characters on one line.", maxNote))
	}
}

func (f *fields) role(v store.Role) store.Role {
	if !v.Valid() {
		f.add("role", "Choose one of the roles: user or admin.")
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
			f.add("groups", "A group needs a name.")
			return nil
		case utf8.RuneCountInString(g) > maxName:
			f.add("groups", fmt.Sprintf("The name of a group has at most %d characters.", maxName))
			return nil
		case !printable(g) || strings.Contains(g, ","):
			f.add("groups", "Leave commas, line breaks and invisible characters out of the names of groups.")
			return nil
		}
		out = append(out, g)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxGroups {
		f.add("groups", fmt.Sprintf("A user can be in at most %d groups.", maxGroups))
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
		f.add(field, refused.Text)
		return nil
	}
	return err
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
