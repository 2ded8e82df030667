package account

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// maxNote is how long a reason may be, in characters.
const maxNote = 500

// fields gathers what is wrong, so that a person learns everything at once.
type fields struct{ list []FieldError }

// add notes a fault: the id of its sentence, and what the sentence has room for.
func (f *fields) add(field, id string, args ...any) {
	f.list = append(f.list, newFieldError(field, id, args...))
}

func (f *fields) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &InvalidError{Fields: f.list}
}

// username returns the username without outer white space.
func (f *fields) username(v string) string {
	v = strings.TrimSpace(v)
	switch identifier.CheckUsername(v) {
	case "":
	case identifier.Missing:
		f.add("username", "fault.username_missing")
	case identifier.Long:
		f.add("username", "fault.too_long", "most", identifier.MaxLength)
	default:
		f.add("username", "fault.invisible")
	}
	return v
}

// email returns the address without outer white space; "" is none.
func (f *fields) email(v string) string {
	v = strings.TrimSpace(v)
	if v != "" && identifier.CheckEmail(v) != "" {
		f.add("email", "fault.email")
	}
	return v
}

// name returns the display name without outer white space; "" is none.
func (f *fields) name(v string) string {
	v = strings.TrimSpace(v)
	switch identifier.CheckName(v) {
	case "":
	case identifier.Long:
		f.add("name", "fault.too_long", "most", identifier.MaxLength)
	default:
		f.add("name", "fault.invisible")
	}
	return v
}

// note checks what an administrator writes beside an act.
func (f *fields) note(v string) {
	if fault := identifier.CheckName(strings.TrimSpace(v)); utf8.RuneCountInString(v) > maxNote || fault != "" && fault != identifier.Long {
		f.add("note", "fault.note", "most", maxNote)
	}
}

func (f *fields) role(v store.Role) store.Role {
	if !v.Valid() {
		f.add("role", "fault.role")
	}
	return v
}

// groups returns the groups sorted, each once. had are those that the person has already: what a provider or an earlier
// version gave is not judged again because somebody saves a form, and only groups that are given here count. A comma
// stands between groups where they are typed, and in the header that apps get, so none has one that is typed.
func (f *fields) groups(list, had, provided []string) []string {
	out := make([]string, 0, len(list))
	given := 0
	for _, g := range list {
		if !slices.Contains(had, g) {
			g = strings.TrimSpace(g)
			if id := groupFault(g); id != "" {
				f.add("groups", id, "most", identifier.MaxLength)
				return nil
			}
		}
		if !slices.Contains(provided, g) && !slices.Contains(out, g) {
			given++
		}
		out = append(out, g)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if given > identifier.MaxGroups && !slices.Equal(out, had) {
		f.add("groups", "fault.groups_many", "most", identifier.MaxGroups)
		return nil
	}
	return out
}

// groupFault returns the sentence about the name of a group that is typed here, "" for a good one.
func groupFault(g string) string {
	switch fault := identifier.CheckGroup(g); {
	case fault == identifier.Missing:
		return "fault.group_missing"
	case fault == identifier.Long:
		return "fault.group_long"
	case fault != "" || !identifier.InHeader(g):
		return "fault.group_characters"
	}
	return ""
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
			return newFieldError(field, "fault.password_missing")
		}
		return newFieldError(field, "fault.password_spaces")
	case password.ReasonShort:
		return newFieldError(field, "fault.password_short", "least", p.Min())
	case password.ReasonLong:
		return newFieldError(field, "fault.password_long", "most", password.MaxBytes)
	case password.ReasonEncoding, password.ReasonControl, password.ReasonCommon, password.ReasonSample, password.ReasonContext:
		return newFieldError(field, "fault.password_"+refused.Reason)
	}
	return FieldError{Field: field, Text: refused.Text}
}
