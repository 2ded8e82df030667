package arch

import (
	"go/ast"
	"slices"
	"testing"
)

// passwordWriters are the only functions that write a password to the store. Every other one goes through them, and so
// by the rule whose passwords are accepted.
var passwordWriters = []string{
	"internal/account/passwords.go: storePassword", // asks the rule
	"internal/login/signin.go: recordSignIn",       // a new hash of a password that was just accepted
	"internal/seed/apply.go: change",               // the managed root's, or that of a seed: off needs admin managed
	"internal/seed/apply.go: setPassword",
}

func TestPasswordsAreWrittenInFewPlaces(t *testing.T) {
	t.Parallel()
	var found []string
	for _, f := range files(t) {
		if f.test() || f.helper() || f.dir() == "store/sqlstore" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "SetPassword" {
				found = append(found, f.path+": "+enclosing(f, n))
			}
			return true
		})
	}
	slices.Sort(found)
	want := slices.Sorted(slices.Values(passwordWriters))
	if !slices.Equal(slices.Compact(found), want) {
		t.Errorf("passwords are written in %q, want %q", found, want)
	}
}
