package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
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
	running, err := c.askRunning()
	here := app.StoreLocation()
	switch {
	case errors.Is(err, errNotRunning):
		return opts, nil
	case err != nil && c.given("new-store"):
		return opts, fmt.Errorf("a Caddy may be running with another store, but its admin API at %s does not say: %w; a new "+
			"store beside its own would never be seen: name the store that you mean with --store", c.adminAddress, err)
	case err != nil:
		c.notef("note: Caddy's admin API at %s does not say whether the Caddy that is running uses this store: %v",
			c.adminAddress, err)
		return opts, nil
	case running == here, sameFile(running, here):
		return opts, nil
	}
	return opts, fmt.Errorf("the Caddy that is running (admin API at %s) keeps its accounts in %s (%s), but this "+
		"command, run by this user in this environment, found %s (%s): run it as the user that runs Caddy and with its "+
		"environment (sudo -u caddy caddy gatehouse …, --envfile), or name the store that you mean with --store",
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

// errNotRunning means that there is nothing to compare with: no Caddy is running, or one that does not use Gatehouse or
// is older than this question.
var errNotRunning = errors.New("no Caddy with a store is running")

// askRunning returns where the running Caddy has its store. Any error but errNotRunning means that nobody knows.
func (c *call) askRunning() (caddyauth.StoreLocation, error) {
	type result struct {
		at  caddyauth.StoreLocation
		err error
	}
	done := make(chan result, 1)
	go func() {
		at, err := askAdmin(c.adminAddress)
		done <- result{at, err}
	}()
	select {
	case r := <-done:
		return r.at, r.err
	case <-time.After(runningTimeout):
		return caddyauth.StoreLocation{}, errors.New("it does not respond")
	}
}

func askAdmin(address string) (at caddyauth.StoreLocation, err error) {
	addr, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return at, err
	}
	// The request below does not tell why it failed in a way that can be examined.
	dialer := net.Dialer{Timeout: runningTimeout}
	conn, err := dialer.DialContext(context.Background(), addr.Network, addr.JoinHostPort(0))
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return at, errNotRunning
	case err != nil:
		return at, err
	}
	_ = conn.Close()
	res, err := caddycmd.AdminAPIRequest(address, http.MethodGet, caddyauth.StorePath, nil, nil)
	switch {
	case err != nil && strings.Contains(err.Error(), "HTTP 404"):
		return at, errNotRunning
	case err != nil:
		return at, err
	}
	defer res.Body.Close()
	if err = json.NewDecoder(http.MaxBytesReader(nil, res.Body, 64<<10)).Decode(&at); err == nil && at.Engine == "" {
		err = errors.New("its response names no store")
	}
	return at, err
}

// adminAddressOf returns where the configuration has Caddy's admin API, "" where it is off.
func adminAddressOf(cfg *caddy.Config) string {
	switch {
	case cfg.Admin == nil || cfg.Admin.Listen == "" && !cfg.Admin.Disabled:
		return caddy.DefaultAdminListen
	case cfg.Admin.Disabled:
		return ""
	}
	return caddy.NewReplacer().ReplaceAll(cfg.Admin.Listen, "")
}
