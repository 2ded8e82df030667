// Package portal is what a browser meets at the gate: signing in and out, proving again who one is, one-time links, the
// account pages, the answers the gate gives in place of the app's, and the JSON API of one's own account.
//
// It is a plain http.Handler and knows nothing of Caddy: what it may know of a request comes from internal/reqctx. It
// changes nothing by itself: every change goes through internal/login and internal/account, so that a rule which holds
// for a page holds for the API and the command line, too.
//
// # The way of a request
//
// [Portal.ServeHTTP] takes the mount prefix off, refuses changing requests from other sites (CSRF), finds the route
// (routes.go is the map of all addresses), and looks for the session as far as the route asks for one. Nothing is ever
// changed by GET or HEAD.
package portal
