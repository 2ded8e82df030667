package ui

import (
	"context"
	"net/http"
)

// AboutField is the field in which a form says what it is about: the id of a person, or of a one-time link. It is no
// secret. What a form is about otherwise stands in a cookie, which may have become somebody else's since the page was
// shown: a browser has many tabs, and one set of cookies.
const AboutField = "about"

type aboutKey struct{}

// WithAbout returns a copy of r whose forms have to be about id, where they say about what they are: [ReadForm] refuses
// others. Programs send no such field.
func WithAbout(r *http.Request, id string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), aboutKey{}, id))
}

// checkAbout refuses a form that is about somebody else.
func checkAbout(r *http.Request, f Form) error {
	want, ok := r.Context().Value(aboutKey{}).(string)
	if !ok || f.IsAbout(want) {
		return nil
	}
	return BadInput(http.StatusConflict, "input.other_account")
}

// IsAbout reports whether a form is about id, or does not say.
func (f Form) IsAbout(id string) bool {
	values := f.All(AboutField)
	for _, v := range values {
		if v != id {
			return false
		}
	}
	return true
}
