// Package apps uses real applications behind the gate, in Chromium and with the lines of docs/apps. Run it with
// `make apps`, which installs them outside of the checkout first: they are too large for the suite.
package apps
