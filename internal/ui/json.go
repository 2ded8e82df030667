package ui

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
)

// ProblemBase is what the type of every problem document begins with; the rest is a word that stays the same for ever,
// such as "reauth-required". It is a name, not an address to be fetched (RFC 9457, section 3.1.1).
const ProblemBase = "https://gatehouse-auth.github.io/problems/"

// FieldError says what is wrong with one field: in English, with Say for the language of the response, or in that
// language already; [UI.Faults] makes the one from the other.
type FieldError struct {
	Field  string    `json:"field"`
	Detail string    `json:"detail"`
	Say    i18n.Text `json:"-"`
}

// Fault makes a field error from the id of its sentence.
func Fault(field, id string, args ...any) FieldError {
	t := i18n.New(id, args...)
	return FieldError{Field: field, Detail: t.String(), Say: t}
}

// Faults returns field errors in the language of u.
func (u *UI) Faults(errs []FieldError) []FieldError {
	out := slices.Clone(errs)
	for i, e := range out {
		if !e.Say.IsZero() {
			out[i].Detail = u.Say(e.Say)
		}
	}
	return out
}

// WriteJSON writes v as the response of the JSON API.
func WriteJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	Harden(w, r)
	w.Header().Set("Content-Type", "application/json")
	SendJSON(w, r, status, v)
}

// SendJSON encodes v as the body of a response whose headers the caller has set, but for the length.
func SendJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(v); err != nil {
		// Our own types only: they always encode. Were one not to, the caller learns nothing but that.
		status = http.StatusInternalServerError
		buf.Reset()
		buf.WriteString(`{"type":"` + ProblemBase + `internal","title":"Internal error","status":500}` + "\n")
	}
	w.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(buf.Bytes()) // the client went away: nobody to tell
	}
}

// Realm returns text as a quoted-string for WWW-Authenticate (RFC 9110, section 11.5): what is not printable ASCII is
// left out.
func Realm(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
