package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// choice returns a parameter that must be one of a few values, or "" when it was not given.
func choice(q url.Values, name string, values ...string) (string, error) {
	got := q.Get(name)
	if got == "" || slices.Contains(values, got) {
		return got, nil
	}
	return "", ui.BadInput(http.StatusBadRequest, "input.address_choice", ui.Fault(name, "input.one_of", "values", strings.Join(values, ", ")))
}

// refusal returns the guard's refusal in err, nil when err is something else.
func refusal(err error) *account.ForbiddenError {
	var refused *account.ForbiddenError
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}
