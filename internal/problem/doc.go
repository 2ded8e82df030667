// Package problem is the one map from errors to HTTP: the status, the problem type (RFC 9457), and the sentence that
// people read. Pages and the JSON API show the same problem, each in its own form.
package problem
