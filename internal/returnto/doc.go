// Package returnto decides where a browser may be sent after a sign-in. It is the guard against open redirects: every
// return-to value, from a query, a form or a response of a provider, is checked here, each time that it is shown,
// carried or used.
package returnto
