// Package testenv provides the environment of tests: real stores on SQLite and PostgreSQL, and a clock that a test
// controls. Only tests import it.
package testenv
