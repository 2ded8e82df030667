// Package signin is the ways in and out: the sign-in with a password and through a provider, one-time links, proving
// again who one is, and signing out.
//
// It changes nothing by itself: every change goes through internal/login and internal/account, so that a rule which
// holds for a page holds for the API and the command line, too.
package signin
