package problem

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// Base is [ui.ProblemBase].
const Base = ui.ProblemBase

// Document is a problem for programs (RFC 9457).
type Document struct {
	Type      string          `json:"type"` // a slug; written with [Base] before it
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail"`
	LoginURL  string          `json:"login_url,omitempty"`
	RequestID string          `json:"request_id"`
	Errors    []ui.FieldError `json:"errors,omitempty"`

	// Of "mfa-required" and "reauth-required".
	StepUpURL string   `json:"step_up_url,omitempty"` // where to meet what is asked for; it leads to what "rt" says
	ACRValues []string `json:"acr_values,omitempty"`  // the level that is asked for
	MaxAge    int64    `json:"max_age,omitempty"`     // how old the proof may be, in seconds
}

// Document returns the problem in the language of u. loginURL says where to sign in, "" where that would not help.
func (p Problem) Document(u *ui.UI, loginURL string) Document {
	return Document{
		Type: p.Slug, Title: p.Title(u), Status: p.Status, Detail: p.Text(u), LoginURL: loginURL, Errors: u.Faults(p.Fields),
	}
}

// Write writes d, whose texts are in the language of u. Headers set before, such as Retry-After, are kept; the caller
// has called [ui.Harden] or [ui.HardenDecision].
func Write(w http.ResponseWriter, r *http.Request, u *ui.UI, d Document) {
	if d.RequestID == "" {
		d.RequestID = reqctx.From(r).ID
	}
	d.Type = Base + d.Type
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Language", u.Language())
	ui.SendJSON(w, r, d.Status, d)
}
