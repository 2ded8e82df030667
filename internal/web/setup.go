package web

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/store"
)

// pingTime bounds a health check, and how long a request waits to learn whether there is an administrator.
const pingTime = 2 * time.Second

// Setup tells whether there is an administrator yet.
type Setup struct {
	store store.Store
	done  atomic.Bool // there is, or was, an active administrator: never asked again
}

// Ready returns nil when there is an active administrator, and [problem.ErrSetup] when there is none yet. The store
// never loses its last one, so a yes holds for ever.
func (s *Setup) Ready(ctx context.Context) error {
	if s.done.Load() {
		return nil
	}
	admins, err := s.store.ActiveAdmins(ctx, 1)
	if err != nil {
		return err
	}
	if len(admins) == 0 {
		return problem.ErrSetup
	}
	s.done.Store(true)
	return nil
}

// Waiting reports whether there is no administrator yet, so that nobody could sign in. What cannot be found out is no:
// then the address responds as it would, and asks again where it matters.
func (s *Setup) Waiting(r *http.Request) bool {
	if s.done.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTime)
	defer cancel()
	return errors.Is(s.Ready(ctx), problem.ErrSetup)
}

// Done notes that the first administrator has been made.
func (s *Setup) Done() { s.done.Store(true) }
