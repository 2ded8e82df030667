package admin

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Not even an administrator's token opens the administration's pages or its part of the API.
func TestNoTokenOpensTheAdministration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Program(w.Add("ada", store.RoleAdmin).ID)
	p.OpensOnly(t, "GET /api/v1/me", "GET /api/v1/session", "GET /healthz", "GET /assets/{name}")
}
