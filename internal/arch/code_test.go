package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// rule finds what does not belong in one file; each finding is a line number and a sentence.
type rule struct {
	name  string
	check func(f *file, report func(ast.Node, string))
}

// rules are about syntax, file by file, as far as no linter of .golangci.yml has them. Where one is wrong about a line,
// say so in excused.
var rules = []rule{
	{"html", noMarkupInStrings},
	{"secret", noPlainComparison},
	{"wait", noFixedWaits},
	{"cgo", noCgo},
	{"unlinted", noExitWhereNoLinterLooks},
}

// excused findings, "path: rule: function", each with the reason.
var excused = map[string]string{
	"caddyauth/deny.go: html: writeStarting":                   "constant text, for when there is nothing yet to render with",
	"internal/account/links.go: secret: redeem":                "the purpose of a link, no secret",
	"internal/account/own.go: secret: savePassword":            "two states of one row, to see whether it moved",
	"internal/account/factorcodes.go: secret: checkCodesProof": "two states of one row, to see whether it moved",
	"internal/login/halflogin.go: secret: canGoOn":             "two states of one row, to see whether it moved",
	"internal/login/signin.go: secret: userOf":                 "two states of one row, to see whether it moved",
	"internal/login/signin.go: secret: rotateIn":               "two states of one row, to see whether it moved",
	"internal/session/presented.go: secret: has":               "two cookies of one request, with each other",
}

func TestCodeKeepsTheRules(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for _, f := range files(t) {
		for _, r := range rules {
			r.check(f, func(n ast.Node, text string) {
				key := fmt.Sprintf("%s: %s: %s", f.path, r.name, enclosing(f, n))
				if excused[key] != "" {
					used[key] = true
					return
				}
				t.Errorf("%s:%d: %s (rule %q; key %q)", f.path, f.line(n), text, r.name, key)
			})
		}
	}
	for key := range excused {
		if !used[key] {
			t.Errorf("nothing needs the excuse %q any more: remove it", key)
		}
	}
}

// enclosing names the declaration that holds n.
func enclosing(f *file, n ast.Node) string {
	for _, d := range f.ast.Decls {
		if d.Pos() <= n.Pos() && n.End() <= d.End() {
			if fn, ok := d.(*ast.FuncDecl); ok {
				return fn.Name.Name
			}
		}
	}
	return "package"
}

// selector returns "a.B" for the expression a.B, "" otherwise.
func selector(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// noCgo is here because linters run without cgo, and then see no file that needs it.
func noCgo(f *file, report func(ast.Node, string)) {
	for _, i := range f.ast.Imports {
		if i.Path.Value == `"C"` {
			report(i, "Caddy is built without cgo")
		}
	}
}

// noExitWhereNoLinterLooks holds the most important of the linters' rules in files of other platforms.
func noExitWhereNoLinterLooks(f *file, report func(ast.Node, string)) {
	if len(f.ast.Comments) == 0 || f.helper() {
		return
	}
	first := f.ast.Comments[0].List[0].Text
	tag, constrained := strings.CutPrefix(first, "//go:build ")
	if !constrained || tag == "apps" || tag == "programs" || tag == "providers" {
		return // the linters have the tag
	}
	calls(f, func(c *ast.CallExpr, name string) {
		switch {
		case name == "os.Exit", strings.HasPrefix(name, "log."):
			report(c, "it ends all of Caddy: return an error")
		case strings.HasPrefix(name, "fmt.Print"), name == "panic":
			report(c, "return an error")
		case strings.HasSuffix(name, ".Skip"), strings.HasSuffix(name, ".Skipf"), strings.HasSuffix(name, ".SkipNow"):
			report(c, "a test must not skip: let it fail and say what to install")
		}
	})
}

// calls visits the calls in a file.
func calls(f *file, visit func(c *ast.CallExpr, name string)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			visit(c, selector(c.Fun))
		}
		return true
	})
}

var tag = regexp.MustCompile(`</?(?i:a|b|p|i|div|span|h[1-6]|html|head|body|script|style|form|input|button|img|svg|ul|li|table|tr|td|meta|link|title)(\s[^<]*)?/?>`)

// Markup is made by html/template from files, never by putting strings together.
func noMarkupInStrings(f *file, report func(ast.Node, string)) {
	if f.test() || f.helper() {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && tag.MatchString(l.Value) {
			report(n, "HTML in a string: put it into a template")
		}
		return true
	})
}

var secret = regexp.MustCompile(`(?i)(password|passwd|secret|token|nonce|verifier|signature|hmac|digest|cookie|csrf|hash|tag)$`)

// last is the name that an expression ends in: x.y.Hash and Hash are "Hash".
func last(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr:
		return last(e.X)
	case *ast.SliceExpr:
		return last(e.X)
	case *ast.CallExpr:
		if len(e.Args) == 1 { // a conversion such as string(x)
			if id, ok := e.Fun.(*ast.Ident); ok && (id.Name == "string" || id.Name == "byte") {
				return last(e.Args[0])
			}
		}
	}
	return ""
}

// constant: a comparison with one tells nothing about a secret that is worth timing.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false"
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.CompositeLit: // the zero value
		return len(e.Elts) == 0
	}
	return false
}

// == stops at the first byte that differs, and the time it took tells where.
func noPlainComparison(f *file, report func(ast.Node, string)) {
	if f.test() || f.helper() {
		return
	}
	text := "compares what may be a secret: use subtle.ConstantTimeCompare or hmac.Equal, or excuse it with the reason"
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && !constant(n.X) && !constant(n.Y) &&
				(secret.MatchString(last(n.X)) || secret.MatchString(last(n.Y))) {
				report(n, text)
			}
		case *ast.CallExpr:
			if selector(n.Fun) == "bytes.Equal" && len(n.Args) == 2 &&
				(secret.MatchString(last(n.Args[0])) || secret.MatchString(last(n.Args[1]))) {
				report(n, text)
			}
		}
		return true
	})
}
