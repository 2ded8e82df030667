package device

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// oauthError is an error response (RFC 6749, section 5.2). Text is for developers.
type oauthError struct {
	Status     int `json:"-"` // 400 when 0
	Code       string
	Text       string
	RetryAfter time.Duration
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Text }

func invalidRequest(text string) *oauthError { return &oauthError{Code: "invalid_request", Text: text} }

func invalidScope(text string) *oauthError { return &oauthError{Code: "invalid_scope", Text: text} }

// errorResponse is an oauthError as it travels.
type errorResponse struct {
	Code string `json:"error"`
	Text string `json:"error_description"`
}

// refuse responds with an error.
func (p *program) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, err error) {
	out := oauthErrorOf(err)
	q.WriteErrorHeaders(w, r, problem.Problem{Status: out.Status, RetryAfter: out.RetryAfter}, err)
	p.write(w, r, out.Status, errorResponse{out.Code, describe(out.Text)})
}

// oauthErrorOf returns an error as programs of OAuth know it. What it does not know is our own fault, and nothing of it
// is shown.
func oauthErrorOf(err error) *oauthError {
	var out *oauthError
	var invalid *account.InvalidError
	var input *ui.InputError
	var throttled *login.ThrottledError
	switch {
	case errors.As(err, &out):
		if out.Status == 0 {
			out.Status = http.StatusBadRequest
		}
		return out
	case errors.As(err, &invalid):
		out = invalidRequest(invalid.Error())
		if invalid.Field("client_id") == "" {
			out.Code = "invalid_scope"
		}
		out.Status = http.StatusBadRequest
		return out
	case errors.As(err, &input):
		out = invalidRequest(input.Text)
		out.Status = http.StatusBadRequest
		if input.Status == http.StatusRequestEntityTooLarge || input.Status == http.StatusRequestTimeout {
			out.Status = input.Status
		}
		return out
	case errors.As(err, &throttled):
		return &oauthError{
			Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", RetryAfter: throttled.Wait,
			Text: "too many requests from this address: try again later",
		}
	case errors.Is(err, account.ErrDeviceBusy):
		return &oauthError{
			Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", RetryAfter: time.Minute,
			Text: err.Error(),
		}
	}
	known := problem.Of(err)
	if known.Status == http.StatusServiceUnavailable {
		return &oauthError{
			Status: known.Status, Code: "temporarily_unavailable", RetryAfter: known.RetryAfter, Text: "try again in a moment",
		}
	}
	return &oauthError{Status: http.StatusInternalServerError, Code: "server_error", Text: "something went wrong here"}
}

// describe returns a text as an error_description, which has printable ASCII without quotation marks and backslashes
// only.
func describe(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"', r == '\\', r == '“', r == '”', r == '’', r == '‘':
			return '\''
		case r < ' ', r > '~':
			return '?'
		}
		return r
	}, text)
}

// write responds with JSON that is nobody else's to keep (RFC 6749, section 5.1).
func (p *program) write(w http.ResponseWriter, r *http.Request, status int, v any) {
	w.Header().Set("Pragma", "no-cache")
	ui.WriteJSON(w, r, status, v)
}
