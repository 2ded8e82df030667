package arch

import (
	"go/ast"
	"regexp"
)

// waits marks a line that has to let time pass, with the reason: the pace of a slow client, or that nothing comes, which
// only time shows.
var waits = regexp.MustCompile(`^// waits: \S.{9,}`)

// A fixed wait is too short on a busy machine and too long on any other: poll a condition until a deadline, with the
// pause as the post statement of the loop, take a hook, or let testing/synctest pass the time.
func noFixedWaits(f *file, report func(ast.Node, string)) {
	if !f.test() && !f.helper() {
		return
	}
	allowed := make(map[ast.Node]bool)
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ForStmt:
			if looksAtTheTime(n) {
				markPauses(n, allowed)
			}
		case *ast.CallExpr:
			if selector(n.Fun) == "synctest.Test" {
				mark(n, allowed) // there time passes when all sleep
			}
		case *ast.CommClause:
			if len(n.Body) > 0 { // something is done when the time is over, such as failing the test
				mark(n.Comm, allowed)
			}
		case *ast.AssignStmt:
			allowed[n.Rhs[0]] = true // a deadline for later
		}
		return true
	})
	calls(f, func(c *ast.CallExpr, name string) {
		if (name == "time.Sleep" || name == "time.After") && !allowed[c] && !f.reasoned(c) {
			report(c, name+" waits for a fixed time: poll until a deadline, or say why behind it: // waits: …")
		}
	})
}

// looksAtTheTime reports whether a loop has a deadline.
func looksAtTheTime(loop *ast.ForStmt) (found bool) {
	ast.Inspect(loop, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && (selector(c.Fun) == "time.Now" || selector(c.Fun) == "time.Since") {
			found = true
		}
		return !found
	})
	return found
}

// markPauses allows the pauses of a loop with a deadline: its post statement, and the cases of a select in it.
func markPauses(loop *ast.ForStmt, allowed map[ast.Node]bool) {
	mark(loop.Post, allowed)
	ast.Inspect(loop.Body, func(n ast.Node) bool {
		if c, ok := n.(*ast.CommClause); ok {
			mark(c.Comm, allowed)
		}
		return true
	})
}

// mark allows everything in n, which may be missing.
func mark(n ast.Node, allowed map[ast.Node]bool) {
	if n == nil {
		return
	}
	ast.Inspect(n, func(n ast.Node) bool {
		allowed[n] = true
		return true
	})
}

// reasoned reports whether the line of n ends in a reason to wait.
func (f *file) reasoned(n ast.Node) bool {
	for _, g := range f.ast.Comments {
		if f.line(g) == f.line(n) && waits.MatchString(g.List[0].Text) {
			return true
		}
	}
	return false
}
