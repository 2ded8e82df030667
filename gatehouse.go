// Package gatehouse is a login gate for Caddy: one directive in front of reverse_proxy gives any web app local
// accounts, server-side sessions that can be ended immediately, an administrator created from the environment, and
// built-in account pages.
//
// Importing this package registers everything with Caddy; it has no API of its own:
//
//	xcaddy build --with github.com/gatehouse-auth/gatehouse
//
// The modules are in caddyauth, the command line is in cmd.
package gatehouse

import (
	_ "github.com/gatehouse-auth/gatehouse/caddyauth" // the app and the handler
	_ "github.com/gatehouse-auth/gatehouse/cmd"       // caddy gatehouse …
)
