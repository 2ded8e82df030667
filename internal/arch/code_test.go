package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rule finds what does not belong in one file; each finding is a line number and a sentence.
type rule struct {
	name  string
	check func(f *file, report func(ast.Node, string))
}

// rules are about syntax, file by file. Where one is wrong about a line, say so in excused.
var rules = []rule{
	{"skip", noSkipping},
	{"print", noPrinting},
	{"client", noDefaultClient},
	{"markup", noTrustedMarkup},
	{"html", noMarkupInStrings},
	{"secret", noPlainComparison},
	{"sentinel", noPlainErrors},
	{"wrap", wrapErrors},
	{"exit", noExit},
	{"doc", documented},
	{"wait", noFixedWaits},
}

// excused findings, "path: rule: function", each with the reason.
var excused = map[string]string{
	"caddyauth/deny.go: html: writeStarting":        "constant text, for when there is nothing yet to render with",
	"cmd/input.go: exit: askPassword":               "the terminal is put right again, and the interrupt ends the program as it should",
	"internal/account/links.go: secret: redeem":     "the purpose of a link, no secret",
	"internal/account/own.go: secret: savePassword": "two states of one row, to see whether it moved",
	"internal/login/signin.go: secret: SignIn":      "two states of one row, to see whether it moved",
	"internal/login/signin.go: secret: stepUpAt":    "two states of one row, to see whether it moved",
	"internal/session/cookie.go: secret: Token":     "two cookies of one request, with each other",
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

// calls visits the calls in a file.
func calls(f *file, visit func(c *ast.CallExpr, name string)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			visit(c, selector(c.Fun))
		}
		return true
	})
}

// A test that skips where its set-up is missing is green without having looked.
func noSkipping(f *file, report func(ast.Node, string)) {
	if !f.test() && !f.helper() {
		return
	}
	calls(f, func(c *ast.CallExpr, name string) {
		if s, ok := c.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
			report(c, "a test must not skip: let it fail and say what to install")
		}
		if name == "testing.Short" {
			report(c, "there is one suite, not a short one")
		}
	})
}

// Output belongs to the program; everything else logs, where the operator's filters and redaction act.
func noPrinting(f *file, report func(ast.Node, string)) {
	if f.test() || f.command() || f.helper() {
		return
	}
	calls(f, func(c *ast.CallExpr, name string) {
		if slices.Contains([]string{"fmt.Print", "fmt.Println", "fmt.Printf"}, name) {
			report(c, name+" outside of a command: log instead")
		}
	})
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && (selector(e) == "os.Stdout" || selector(e) == "os.Stderr") {
			report(n, selector(e)+" outside of a command: log instead")
		}
		return true
	})
}

// The default client has no time-out, follows redirects, and shares its settings with the whole process.
func noDefaultClient(f *file, report func(ast.Node, string)) {
	if f.test() || f.helper() {
		return
	}
	bad := []string{"http.DefaultClient", "http.DefaultTransport", "http.Get", "http.Post", "http.PostForm", "http.Head", "http.DefaultServeMux"}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && slices.Contains(bad, selector(e)) {
			report(n, selector(e)+": use a client with a time-out and without redirects")
		}
		return true
	})
}

// A value of these types is not escaped, wherever it came from.
func noTrustedMarkup(f *file, report func(ast.Node, string)) {
	bad := []string{"template.HTML", "template.HTMLAttr", "template.JS", "template.JSStr", "template.CSS", "template.URL", "template.Srcset"}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && slices.Contains(bad, selector(e)) {
			report(n, selector(e)+" switches escaping off: write it in the template")
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

var sentinel = regexp.MustCompile(`^Err[A-Z]|^EOF$|^err[A-Z]`)

// Errors are wrapped on their way, so that only errors.Is finds them.
func noPlainErrors(f *file, report func(ast.Node, string)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if fn, ok := n.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "Is" {
			return false // this is what errors.Is asks
		}
		if b, ok := n.(*ast.BinaryExpr); ok && (b.Op == token.EQL || b.Op == token.NEQ) && !constant(b.X) && !constant(b.Y) &&
			(sentinel.MatchString(last(b.X)) || sentinel.MatchString(last(b.Y))) {
			report(n, "compares an error with ==: use errors.Is")
		}
		return true
	})
}

var verb = regexp.MustCompile(`%[-+# 0]*[0-9]*(\.[0-9]+)?[a-zA-Z%]`)

// %v cuts the chain: the cause can no longer be told apart.
func wrapErrors(f *file, report func(ast.Node, string)) {
	calls(f, func(c *ast.CallExpr, name string) {
		if name != "fmt.Errorf" || len(c.Args) < 2 {
			return
		}
		l, ok := c.Args[0].(*ast.BasicLit)
		if !ok {
			return
		}
		format, _ := strconv.Unquote(l.Value)
		verbs := slices.DeleteFunc(verb.FindAllString(format, -1), func(v string) bool { return v == "%%" })
		for i, arg := range c.Args[1:] {
			if i < len(verbs) && strings.EqualFold(last(arg), "err") && !strings.HasSuffix(verbs[i], "w") {
				report(c, "wraps an error with "+verbs[i]+": use %w")
			}
		}
	})
}

// Only a program ends the program: os.Exit runs no deferred call and ends all of Caddy.
func noExit(f *file, report func(ast.Node, string)) {
	if f.test() || f.helper() || f.ast.Name.Name == "main" {
		return
	}
	calls(f, func(c *ast.CallExpr, name string) {
		if name == "os.Exit" || strings.HasPrefix(name, "log.Fatal") {
			report(c, name+" outside of main: return an error")
		}
	})
}

// documented: exported names of packages that others import.
func documented(f *file, report func(ast.Node, string)) {
	if f.test() || f.ast.Name.Name == "main" {
		return
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && ast.IsExported(receiver(d)) && !(d.Recv != nil && wellKnown[d.Name.Name]) {
				report(d, d.Name.Name+" is exported and has no comment")
			}
		case *ast.GenDecl:
			documentedGroup(d, report)
		}
	}
}

// wellKnown methods say by their name what they do.
var wellKnown = map[string]bool{"Error": true, "Unwrap": true, "Is": true, "String": true}

// receiver is the name of the method's type; functions count as exported ground.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return "Function"
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func documentedGroup(d *ast.GenDecl, report func(ast.Node, string)) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				report(s, s.Name.Name+" is exported and has no comment")
			}
		case *ast.ValueSpec:
			// A comment above a group speaks for all of it.
			if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				report(s, s.Names[0].Name+" is exported and has no comment")
			}
		}
	}
}
