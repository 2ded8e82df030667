// Package provider is an OpenID provider for tests with injectable faults. It serves plain HTTP on 127.0.0.1, signs
// users in without asking them, and otherwise conforms unless a test injects a fault (see [Faults]).
//
// Only tests import it.
package provider
