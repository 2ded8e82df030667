package gatehouse_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// sources calls visit with every Go file of the checkout.
func sources(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(path), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every test that the documentation names exists.
func TestEachPromiseNamesItsTests(t *testing.T) {
	exist := make(map[string]bool)
	sources(t, func(path string, file *ast.File) {
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasSuffix(path, "_test.go") {
				exist[fn.Name.Name] = true
			}
		}
	})
	n := 0
	for name, page := range documents(t) {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z]+)`").FindAllStringSubmatch(page, -1) {
			n++
			if !exist[m[1]] {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	}
	if n < 30 {
		t.Errorf("found %d names of tests only", n)
	}
}

var (
	actionForm = regexp.MustCompile(`^((session|password|link|profile|user|identity|token|device|factor|passkey|recovery|mfa|browser)\.[a-z_]+|audit\.(export|keep)|assertion\.rotate_keys|provider\.check)$`)
	actionRow  = regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z_]+)` \\|")
)

// The documented audit events are complete, and all are used.
func TestAuditLogIsDocumented(t *testing.T) {
	have := make(map[string]bool)
	for _, m := range actionRow.FindAllStringSubmatch(documents(t)["docs/security.md"], -1) {
		have[m[1]] = true
	}
	written := make(map[string]string)
	sources(t, func(path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, action := range actions(file) {
			written[action] = path
		}
	})
	if len(written) < 15 {
		t.Fatalf("found %d actions only: %v", len(written), written)
	}
	for action, path := range written {
		if !have[action] {
			t.Errorf("%s writes %s to the audit log; docs/security.md does not list it", path, action)
		}
	}
	for action := range have {
		if written[action] == "" {
			t.Errorf("docs/security.md lists %s, which nothing writes", action)
		}
	}
}

// actions returns the actions that a file writes to the audit log: the field Action of events, assignments to it, and
// the arguments of functions that create events.
func actions(file *ast.File) (found []string) {
	take := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok {
			if s, err := strconv.Unquote(l.Value); err == nil && actionForm.MatchString(s) {
				found = append(found, s)
			}
		}
	}
	makers := map[string]bool{
		"audit": true, "providerEvent": true, "Note": true, "Audit": true, "event": true, "record": true,
		"download": true, "auditRead": true, "auditFactor": true, "own": true,
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Action" {
				take(n.Value)
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				if s, ok := to.(*ast.SelectorExpr); ok && s.Sel.Name == "Action" && i < len(n.Rhs) {
					take(n.Rhs[i])
				}
			}
		case *ast.CallExpr:
			name := ""
			switch fn := n.Fun.(type) {
			case *ast.Ident:
				name = fn.Name
			case *ast.SelectorExpr:
				name = fn.Sel.Name
			}
			if makers[name] {
				for _, arg := range n.Args {
					take(arg)
				}
			}
		}
		return true
	})
	return found
}
