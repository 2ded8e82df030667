// Package admin is the pages with which administrators keep accounts, sessions and the audit log, and the JSON API
// beneath them. It is a plain http.Handler behind internal/portal, which has looked at the session, at the origin of
// the request and at what a person owes (a new password) before it hands a request on.
//
// # Where a rule lives
//
// Pages and API only translate: what an administrator may do is decided in internal/account, inside the transaction
// that does it, so that a page, a program and the command line cannot differ. This package refuses earlier what it can
// (no role, no fresh sign-in), and asks the same service for that.
//
// # The route table
//
// routes.go is the one list of addresses: the mux is made from it, /api/v1/openapi.json is made from it, and the tests
// that try every address as everybody walk it. The zero value of a route's need is the strictest.
//
// # One screen
//
// Every page is one template over one model (screen.go): sections of facts and tables, a search, a form. What makes a
// page usable by keyboard, by screen reader and at 320 pixels is written once. Every act that takes something away has
// an address of its own: GET asks, POST does, so that it works without JavaScript, and with the Back button.
//
// # Sharing an origin with the app
//
// Unless the operator gives the admin pages a host of their own, a script of the app behind the gate has their origin.
// It cannot read them by fetch or in a frame: a request for a page that a browser does not make for its address bar is
// refused. What it could still do with an open window ends at the sign-in, which has to be of the last ten minutes for
// every change.
package admin
