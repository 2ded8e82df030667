// Package assertion signs statements about who a session belongs to, as JSON Web Tokens (RFC 7519), for apps that
// should not believe bare headers.
//
// The keys belong to the store: every Caddy that shares it signs with the same one. They are one setting, sealed like
// providers' tokens, and replaced as a whole, so that no reader and no crash sees half of a rotation. Which key signs
// and which keys are published follows from that setting and the time alone: no Caddy has to do anything at a certain
// hour, and none can miss it.
//
//	        publish                sign                retire
//	old key ───────────────────────────────────┬──────────────┐
//	new key    ├───────── 24 h ────────────────┼──── 24 h ────┴──────
//	        rotation                        it signs
//
// What one process changes takes effect in the others as sessions' ends do: see internal/session/cache.go.
package assertion
