// Package portal is what a browser meets at the gate: signing in and out, proving again who one is, one-time links, the
// account pages, the answers the gate gives in place of the app's, and the JSON API of one's own account.
//
// It changes nothing by itself: every change goes through internal/login and internal/account, so that a rule which holds
// for a page holds for the API and the command line, too. routes.go is the map of its addresses; internal/web serves them.
package portal
