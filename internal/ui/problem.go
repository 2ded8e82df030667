package ui

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// ProblemBase is what the type of every problem document begins with; the rest is a word that stays the same for
// ever, such as "reauth-required". It is a name, not an address to be fetched (RFC 9457, section 3.1.1).
const ProblemBase = "https://gatehouse-auth.github.io/problems/"

// Problem is an error for programs (RFC 9457).
type Problem struct {
	Type      string       `json:"type"` // a slug; written with ProblemBase before it
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	LoginURL  string       `json:"login_url,omitempty"`
	RequestID string       `json:"request_id"`
	Errors    []FieldError `json:"errors,omitempty"`
}

// FieldError says what is wrong with one field: in English, with Say for the language of the answer, or in that language
// already; [UI.Faults] makes the one from the other.
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

// WriteProblem writes p, whose texts are in the language of u. Headers set before, such as Retry-After, are kept; the caller has called [Harden] or
// [HardenDecision].
func (u *UI) WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	if p.RequestID == "" {
		p.RequestID = reqctx.From(r).ID
	}
	p.Type = ProblemBase + p.Type
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Language", u.Language())
	writeJSON(w, r, p.Status, p)
}

// WriteJSON writes v as the answer of the JSON API.
func WriteJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	Harden(w, r)
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, r, status, v)
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
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
