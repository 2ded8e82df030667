// Command caddy is Caddy with Gatehouse and the standard modules: what `xcaddy build` makes, from this checkout.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse"
)

func main() { caddycmd.Main() }
