package portal

import (
	"embed"
	"net/http"

	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Files are the templates and texts of the pages.
//
//go:embed templates lang
var Files embed.FS

// Portal is the handlers of the sign-in and of the account pages.
type Portal struct {
	*web.Deps
	pings singleflight.Group
}

func (p *Portal) sendTo(w http.ResponseWriter, r *http.Request, location string) {
	ui.Redirect(w, r, http.StatusSeeOther, location)
}
