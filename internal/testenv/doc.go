// Package testenv is what the tests run in: real stores on SQLite and PostgreSQL, and a clock that a test moves.
// Nothing but tests imports it.
package testenv
