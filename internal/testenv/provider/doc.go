// Package provider is an OpenID provider for tests that can lie. It speaks plain HTTP on 127.0.0.1, signs people in
// without asking them, and does everything else right unless a test makes it lie (see [Lies]).
//
// Nothing but tests imports it.
package provider
