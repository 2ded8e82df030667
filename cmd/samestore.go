package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// Where the store is depends on the environment: on HOME and XDG_DATA_HOME, and on variables in placeholders. Run by
// another user, or without the server's variables, a command would find another store, or make one, and what it did
// there would never be seen. So it asks the running Caddy.

// storeOptions returns how to open the store of a configuration. It refuses one that the running Caddy does not use,
// unless it was named with --store.
func (c *call) storeOptions(app *caddyauth.App) (sqlstore.Options, error) {
	opts := app.StoreOptions(zap.NewNop())
	if c.given("store") || c.adminAddress == "" {
		return opts, nil
	}
	running, ok := c.askRunning()
	here := app.StoreLocation()
	if !ok || running == here || sameFile(running, here) {
		return opts, nil
	}
	return opts, fmt.Errorf("the Caddy that is running (admin API at %s) keeps its accounts in %s (%s), but this "+
		"command, run by this user in this environment, found %s (%s): run it as the user that runs Caddy and with its environment "+
		"(sudo -u caddy caddy gatehouse …, --envfile), or name the store that you mean with --store",
		c.adminAddress, running.Location, running.Engine, here.Location, here.Engine)
}

func sameFile(a, b caddyauth.StoreLocation) bool {
	if a.Engine != sqlstore.EngineSQLite || b.Engine != sqlstore.EngineSQLite {
		return false
	}
	first, err := os.Stat(a.Location)
	if err != nil {
		return false
	}
	second, err := os.Stat(b.Location)
	return err == nil && os.SameFile(first, second)
}

// runningTimeout bounds how long the running Caddy is waited for: on this machine it responds at once.
const runningTimeout = 2 * time.Second

// askRunning returns where the running Caddy has its store. ok is false where none is running, its admin API is off, it
// does not use Gatehouse or is older than this question: then there is nothing to compare with.
func (c *call) askRunning() (at caddyauth.StoreLocation, ok bool) {
	type result struct {
		at caddyauth.StoreLocation
		ok bool
	}
	done := make(chan result, 1)
	go func() {
		res, err := caddycmd.AdminAPIRequest(c.adminAddress, http.MethodGet, caddyauth.StorePath, nil, nil)
		if err != nil {
			done <- result{}
			return
		}
		defer res.Body.Close()
		var at caddyauth.StoreLocation
		err = json.NewDecoder(http.MaxBytesReader(nil, res.Body, 64<<10)).Decode(&at)
		done <- result{at, err == nil && at.Engine != ""}
	}()
	select {
	case r := <-done:
		return r.at, r.ok
	case <-time.After(runningTimeout):
		c.notef("note: Caddy's admin API at %s does not respond, so it is not known whether the Caddy that is running uses "+
			"this store", c.adminAddress)
		return at, false
	}
}

// adminAddressOf returns where the configuration has Caddy's admin API, "" where it is off.
func adminAddressOf(cfg *caddy.Config) string {
	switch {
	case cfg.Admin == nil || cfg.Admin.Listen == "" && !cfg.Admin.Disabled:
		return caddy.DefaultAdminListen
	case cfg.Admin.Disabled:
		return ""
	}
	return cfg.Admin.Listen
}
