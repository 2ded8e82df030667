// Package e2e holds the browser tests: a real Caddy with the gate, and a real Chromium in front of it.
//
// An error names what is missing: `make test` in the parent directory finds or installs it.
package e2e
