package caddyauth

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func init() { caddy.RegisterModule(new(AdminAPI)) }

// AdminAPI tells, on Caddy's admin API, where the running configuration keeps its accounts, so that commands which find
// another store notice. It tells nothing secret and changes nothing.
type AdminAPI struct{}

// CaddyModule implements caddy.Module.
func (*AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse", New: func() caddy.Module { return new(AdminAPI) }}
}

// StorePath is the address on the admin API of where the store is, see [StoreLocation].
const StorePath = "/gatehouse/store"

// StoreLocation says where a store is, without its credentials.
type StoreLocation struct {
	// Engine: `sqlite` or `postgres`.
	Engine string `json:"engine"`
	// Location is the path of the file, or host, port and database.
	Location string `json:"location"`
}

// Routes implements caddy.AdminRouter.
func (a *AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: StorePath, Handler: caddy.AdminHandlerFunc(serveStoreLocation)}}
}

// serveStoreLocation looks for the app anew each time: after a reload that failed, Caddy asks the instance of the
// configuration that it refused.
func serveStoreLocation(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("only GET is allowed")}
	}
	module, err := caddy.ActiveContext().AppIfConfigured("gatehouse")
	app, ok := module.(*App)
	if err != nil || !ok {
		return caddy.APIError{
			HTTPStatus: http.StatusNotFound, Err: errors.New("the running configuration does not use gatehouse"),
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(app.StoreLocation())
}

// StoreLocation returns where the store is. Call Resolve before.
func (a *App) StoreLocation() StoreLocation {
	return StoreLocation{Engine: a.opt.store.engine, Location: sqlstore.Location(a.opt.store.sql(nil))}
}

// Interface guard.
var _ caddy.AdminRouter = (*AdminAPI)(nil)
