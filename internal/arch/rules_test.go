package arch

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// Each rule finds what it is for, and leaves the sound form alone.
func TestEachRuleCatches(t *testing.T) {
	t.Parallel()
	cases := []struct{ rule, path, bad, good string }{
		{"html", "x/x.go", "var h = `<p class=\"x\">` + name", "var h = `List<string>`"},
		{"secret", "x/x.go", `var ok = given == user.PasswordHash`, `var ok = user.PasswordHash == ""`},
		{"secret", "x/x.go", `var ok = bytes.Equal(sum, token)`, `var ok = hmac.Equal(sum, token)`},
		{"secret", "x/x.go", `var ok = a.Hash == b`, `var ok = a.Hash == (Hash{})`},
		{"wait", "x/x_test.go", "func f() { time.Sleep(1) }", "func f() {\n\ttime.Sleep(1) // waits: the pace of a slow reader\n}"},
		{"wait", "x/x_test.go", "func f() {\n\ttime.Sleep(1) // waits:\n}", "func f() { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }"},
		{"wait", "x/x_test.go", "func f() { for { time.Sleep(1) } }", "func f() { for end := time.Now(); time.Now().Before(end); time.Sleep(1) {} }"},
		{"wait", "x/x_test.go", "func f() { for ; ; time.Sleep(1) {} }", "func f() { for ; ok(time.Since(began)); time.Sleep(1) {} }"},
		{"wait", "x/x_test.go", "func f() { <-time.After(1) }", `func f() { select { case <-time.After(1): t.Fatal("late") } }`},
		{"wait", "x/x_test.go", "func f() { select { case <-time.After(1): } }", "func f() {\n\tselect {\n\tcase <-time.After(1): // waits: to see that nothing comes\n\t}\n}"},
		{"cgo", "x/x.go", `import "C"`, `import "io"`},
		{"unlinted", "x/x.go", "//go:build windows\n\npackage x\n\nfunc f() { os.Exit(1) }", "func f() { os.Exit(1) }"},
		{"unlinted", "x/x.go", "//go:build windows\n\npackage x\n\nfunc f() { t.Skip() }", "//go:build windows\n\npackage x\n\nfunc f() { t.Fatal() }"},
	}
	for _, c := range cases {
		if n := findings(t, c.rule, c.path, c.bad); n == 0 {
			t.Errorf("rule %q lets this through: %s", c.rule, c.bad)
		}
		if n := findings(t, c.rule, c.path, c.good); n != 0 {
			t.Errorf("rule %q refuses this: %s", c.rule, c.good)
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(cases, func(c struct{ rule, path, bad, good string }) bool { return c.rule == r.name }) {
			t.Errorf("rule %q is not shown to catch anything", r.name)
		}
	}
}

func findings(t *testing.T, name, path, source string) int {
	t.Helper()
	if !strings.HasPrefix(source, "//go:build") {
		source = "package x\n\n" + source
	}
	f, err := parse(path, source+"\n")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range rules {
		if r.name == name {
			r.check(f, func(ast.Node, string) { n++ })
		}
	}
	return n
}
