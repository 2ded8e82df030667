package problem

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Errors of addresses and methods, and of a site without an administrator.
var (
	ErrNoPage = errors.New("there is no such page")
	ErrMethod = errors.New("the address does not take this method") // set Allow beside it
	ErrSetup  = errors.New("there is no administrator yet")
)

// Problem is an error as the outside sees it.
type Problem struct {
	Status     int
	Slug       string    // end of the problem type, and of the ids of the texts
	Say        i18n.Text // for people
	Detail     string    // for people, in their language already; without both it is the text "error.<slug>.text"
	Fields     []ui.FieldError
	RetryAfter time.Duration // sent as Retry-After when positive
}

// StoreRetry is when to try again while the store is unavailable.
const StoreRetry = 5 * time.Second

// Of is the one map from errors to HTTP, for pages and JSON alike. What it does not know is our own fault, and nothing
// of it is shown.
func Of(err error) Problem {
	for _, rule := range []func(error) (Problem, bool){ofRequest, ofAccount, ofSignIn, ofStore} {
		if p, ok := rule(err); ok {
			return p
		}
	}
	return Problem{Status: http.StatusInternalServerError, Slug: "internal"}
}

func ofRequest(err error) (Problem, bool) {
	var input *ui.InputError
	switch {
	case errors.Is(err, ErrNoPage):
		return Problem{Status: http.StatusNotFound, Slug: "not-found"}, true
	case errors.Is(err, ErrMethod):
		return Problem{Status: http.StatusMethodNotAllowed, Slug: "method-not-allowed"}, true
	case errors.Is(err, ErrSetup):
		return Problem{Status: http.StatusServiceUnavailable, Slug: "setup-needed"}, true
	case errors.Is(err, ui.ErrCrossSite):
		return Problem{Status: http.StatusForbidden, Slug: "cross-site"}, true
	case errors.As(err, &input):
		return Problem{
			Status: input.Status, Slug: inputSlug(input.Status), Detail: input.Text, Say: input.Say,
			Fields: input.Fields,
		}, true
	}
	return Problem{}, false
}

func inputSlug(status int) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "too-large"
	case http.StatusUnsupportedMediaType:
		return "unsupported-media-type"
	case http.StatusUnprocessableEntity:
		return "invalid"
	case http.StatusPreconditionFailed:
		return "stale"
	case http.StatusConflict:
		return "other-account"
	}
	return "bad-request"
}

func ofAccount(err error) (Problem, bool) {
	var invalid *account.InvalidError
	var forbidden *account.ForbiddenError
	var link *account.LinkError
	switch {
	case errors.As(err, &invalid):
		p := Problem{Status: http.StatusUnprocessableEntity, Slug: "invalid"}
		for _, e := range invalid.Fields {
			p.Fields = append(p.Fields, ui.FieldError{Field: e.Field, Detail: e.Text, Say: e.Message})
		}
		return p, true
	case errors.As(err, &forbidden):
		p := Problem{Status: http.StatusForbidden, Slug: forbidden.Code, Detail: forbidden.Text, Say: forbidden.Message}
		switch forbidden.Code {
		case account.CodeSignedOut:
			p.Status, p.Slug = http.StatusUnauthorized, "unauthorized"
		case account.CodeTokenLimit:
			p.Status = http.StatusConflict
		}
		return p, true
	case errors.As(err, &link):
		if link.State == account.LinkUnknown {
			return Problem{Status: http.StatusNotFound, Slug: "link-unknown"}, true
		}
		return Problem{Status: http.StatusGone, Slug: "link-" + string(link.State)}, true
	}
	return Problem{}, false
}

func ofSignIn(err error) (Problem, bool) {
	var throttled *login.ThrottledError
	var disabled *login.InactiveError
	var busy *password.BusyError
	var over *login.HalfLoginOverError
	switch {
	case errors.Is(err, session.ErrNone):
		return Problem{Status: http.StatusUnauthorized, Slug: "unauthorized"}, true
	case errors.Is(err, login.ErrInvalidCredentials):
		return Problem{Status: http.StatusUnauthorized, Slug: "wrong-credentials"}, true
	case errors.Is(err, login.ErrWrongCode):
		return Problem{Status: http.StatusUnauthorized, Slug: "wrong-code"}, true
	case errors.Is(err, login.ErrWrongPasskey):
		return Problem{Status: http.StatusUnauthorized, Slug: "wrong-passkey"}, true
	case errors.Is(err, login.ErrCodesLocked):
		return Problem{Status: http.StatusForbidden, Slug: "codes-locked"}, true
	case errors.Is(err, login.ErrNoHalfLogin), errors.As(err, &over):
		return Problem{Status: http.StatusUnauthorized, Slug: "start-again"}, true
	case errors.Is(err, login.ErrFactorExists):
		return Problem{Status: http.StatusForbidden, Slug: "factor-exists"}, true
	case errors.As(err, &throttled):
		return Problem{
			Status: http.StatusTooManyRequests, Slug: "throttled",
			RetryAfter: time.Duration(throttled.RetryAfter()) * time.Second,
		}, true
	case errors.As(err, &disabled) && disabled.Pending:
		return Problem{Status: http.StatusForbidden, Slug: "pending"}, true
	case errors.As(err, &disabled):
		return Problem{Status: http.StatusForbidden, Slug: "disabled"}, true
	case errors.As(err, &busy):
		return Problem{Status: http.StatusServiceUnavailable, Slug: "busy", RetryAfter: busy.RetryAfter}, true
	case errors.Is(err, password.ErrBusy):
		return Problem{Status: http.StatusServiceUnavailable, Slug: "busy", RetryAfter: StoreRetry}, true
	}
	return Problem{}, false
}

func ofStore(err error) (Problem, bool) {
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		return Problem{
			Status: http.StatusConflict, Slug: "conflict",
			Fields: []ui.FieldError{ui.Fault(conflict.Field, "fault.taken")},
		}, true
	case errors.Is(err, store.ErrStale):
		return Problem{Status: http.StatusConflict, Slug: "stale"}, true
	case errors.Is(err, store.ErrLastAdmin):
		return Problem{Status: http.StatusForbidden, Slug: account.CodeLastAdmin}, true
	case errors.Is(err, store.ErrBadCursor):
		return Problem{Status: http.StatusBadRequest, Slug: "bad-cursor"}, true
	case errors.Is(err, store.ErrNotFound):
		return Problem{Status: http.StatusNotFound, Slug: "not-found"}, true
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Problem{Status: http.StatusServiceUnavailable, Slug: "unavailable", RetryAfter: StoreRetry}, true
	}
	return Problem{}, false
}
