// Package runtime is what belongs to one store and outlives a configuration: Caddy starts the new configuration before
// it stops the old one, and with the same store both work on the same runtime, so that a reload loses no session,
// stream, count or open file. It also decorates the store: audit events are written in batches, slow operations are
// measured.
//
// It knows nothing of Caddy: caddyauth counts who uses a runtime.
package runtime
