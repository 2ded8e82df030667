// Package arch holds the tests of the code's own shape that no linter of .golangci.yml has: who may import whom, how
// tests may wait, and what does not belong in a gate. Each rule is shown to catch what it is for (see rules_test.go),
// so that none passes for ever by accident.
package arch
