package arch

import (
	"fmt"
	"go/ast"
	"testing"
)

// Hard limits; the aim is 350 lines for a file and 60 for a function. What is longer is read by nobody.
const (
	maxFile     = 450
	maxFunction = 80
)

// longer has the reason of each file or function ("path: name") over the limit.
var longer = map[string]string{}

func TestNothingIsTooLong(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	judge := func(key string, lines, limit int) {
		switch {
		case lines <= limit:
		case longer[key] != "":
			used[key] = true
		default:
			t.Errorf("%s has %d lines, over %d: split it", key, lines, limit)
		}
	}
	for _, f := range files(t) {
		judge(f.path, f.fset.Position(f.ast.FileEnd).Line, maxFile)
		if f.test() {
			continue // a table of cases may be long
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				judge(fmt.Sprintf("%s: %s", f.path, fn.Name.Name), f.lines(fn), maxFunction)
			}
		}
	}
	for key := range longer {
		if !used[key] {
			t.Errorf("%s is within the limits now: remove its excuse", key)
		}
	}
}
