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

// maxNote is the maximum length of a note in characters.
const maxNote = 500

// fields collects the errors of all fields, so that a form can show them at once.
type fields struct{ list []FieldError }

// add adds an error from a text id and its arguments.
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
	case identifier.Stacked:
		f.add("name", "fault.stacked")
	default:
		f.add("name", "fault.invisible")
	}
	return v
}

// factorName returns the name of a second factor without outer white space; "" is none.
func (f *fields) factorName(v string) string {
	v = strings.TrimSpace(v)
	fault := identifier.CheckName(v)
	switch {
	case fault == identifier.Long, utf8.RuneCountInString(v) > MaxFactorName:
		f.add("name", "fault.too_long", "most", MaxFactorName)
	case fault != "":
		f.add("name", "fault.invisible")
	}
	return v
}

// FactorName returns the name that somebody gives to a second factor without outer white space, or an *[InvalidError]
// (name).
func FactorName(v string) (string, error) {
	var f fields
	v = f.factorName(v)
	return v, f.err()
}

// note checks an administrator's note.
func (f *fields) note(v string) {
	if fault := identifier.CheckName(strings.TrimSpace(v)); utf8.RuneCountInString(v) > maxNote || fault != "" &&
		fault != identifier.Long {
		f.add("note", "fault.note", "most", maxNote)
	}
}

func (f *fields) role(v store.Role) store.Role {
	if !v.Valid() {
		f.add("role", "fault.role")
	}
	return v
}

// groups returns the groups sorted and without duplicates. had are the user's present groups: those that a provider or
// an earlier version gave are not checked again when a form is saved, and only groups that are granted here count
// towards the limit. A typed group has no comma: it separates groups in forms and in the header for apps.
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

// groupFault returns the text id of the problem with a typed group name, "" for a valid one.
func groupFault(g string) string {
	switch fault := identifier.CheckGroup(g); {
	case fault == identifier.Missing:
		return "fault.group_missing"
	case fault == identifier.Long:
		return "fault.group_long"
	case fault != "" || !identifier.HeaderSafe(g):
		return "fault.group_characters"
	}
	return ""
}

// password checks a new password of u against the policy.
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

// passwordFault returns the error for a refused password. A reason without a text id keeps the policy's text.
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
	case password.ReasonEncoding, password.ReasonControl, password.ReasonCommon, password.ReasonSample,
		password.ReasonContext:
		return newFieldError(field, "fault.password_"+refused.Reason)
	}
	return FieldError{Field: field, Text: refused.Text}
}
