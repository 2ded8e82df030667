// Package e2e holds the browser tests: a real Caddy with the gate, and a real Chromium in front of it.
//
// What they need is named by whatever is missing: `make test` in the folder above finds or installs it.
package e2e
