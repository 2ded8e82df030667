package portal

import "github.com/gatehouse-auth/gatehouse/internal/web"

// Portal is the handlers of the JSON API of one's own account.
type Portal struct{ *web.Deps }
