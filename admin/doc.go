// Package admin is the pages with which administrators keep accounts, sessions and the audit log: routes of
// internal/web, which has looked up the session, the role and the origin of the request before a handler is called.
//
// # Where a rule is
//
// Pages only translate, as the JSON API does (internal/api): what an administrator may do is decided in
// internal/account, inside the transaction that does it, so that a page, a program and the command line cannot differ.
// The router refuses earlier what it can (no role, no recent sign-in), and asks the same service for that.
//
// # One file for each noun
//
// Each kind of page has a file with its handlers and its routes; routes.go concatenates them. The tests that try every
// address as everybody go through the same list. A change that takes something away has an address of its own: GET
// asks, POST does it, so that it works without JavaScript, and with the Back button.
//
// # One template
//
// Every page is one template over one type (content.go): sections of facts and tables, a search, a form. What makes a
// page usable by keyboard, by screen reader and at 320 pixels is written once.
//
// # Sharing an origin with the app
//
// Unless the operator gives the admin pages a host of their own, a script of the app behind the gate has their origin.
// It cannot read them by fetch or in a frame: a request for a page that a browser does not make for its address bar is
// refused. What it could still do with an open window ends at the sign-in, which has to be of the last ten minutes for
// every change.
package admin
