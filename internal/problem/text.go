package problem

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// Text returns what the problem says to people: a text given with it, or the catalog's.
func (p Problem) Text(u *ui.UI) string {
	switch {
	case !p.Say.IsZero():
		return u.Say(p.Say)
	case p.Detail != "":
		return p.Detail
	case p.Slug == "throttled":
		return u.Text("error.throttled.text", "wait", Span(u, p.RetryAfter))
	}
	if id := "error." + p.Slug + ".text"; u.HasText(id) {
		return u.Text(id)
	}
	return u.Text("error.internal.text")
}

// Title returns the title of the problem.
func (p Problem) Title(u *ui.UI) string {
	if id := "error." + p.Slug + ".title"; u.HasText(id) {
		return u.Text(id)
	}
	return u.Text("error.refused.title")
}

// FieldErrors returns what an error says about single fields in the language of u, nil when it is about something else.
// status is the response to a form: 422 for a refused field, also where its value is taken. Programs learn of that as a
// conflict, 409.
func FieldErrors(u *ui.UI, err error) (fields []ui.FieldError, status int) {
	p := Of(err)
	if p.Slug == "conflict" {
		p.Status = http.StatusUnprocessableEntity
	}
	if p.Status != http.StatusUnprocessableEntity {
		return nil, p.Status
	}
	return u.Faults(p.Fields), p.Status
}

// Span returns a duration in words, rounded up.
func Span(u *ui.UI, d time.Duration) string {
	units := []struct {
		id   string
		size time.Duration
	}{{"span.days", 24 * time.Hour}, {"span.hours", time.Hour}, {"span.minutes", time.Minute}}
	for _, unit := range units {
		if d >= 2*unit.size || (d >= unit.size && d%unit.size == 0) {
			return u.Text(unit.id, "n", int((d+unit.size-1)/unit.size))
		}
	}
	return u.Text("span.seconds", "n", max(1, int((d+time.Second-1)/time.Second)))
}
