// Package providers signs people in with the OpenID providers themselves, in Chromium and with the lines of
// docs/providers. Run it with `make providers`, which installs them outside of the checkout first: they are too large for
// the suite.
package providers
