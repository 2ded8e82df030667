package caddyauth

import (
	"strings"
	"testing"
)

// Most names are told from the guarded ones without folding them: that finds what folding finds, whatever the spelling.
func TestAGuardedNameIsFoundInEverySpelling(t *testing.T) {
	t.Parallel()
	var g guardedNames
	longest := "x" + strings.Repeat("y", maxNameLen-1)
	guarded := []string{"Remote-User", "X", "x-9", "_Odd_", longest}
	for _, name := range guarded {
		g.add(name)
	}
	for _, name := range append(guarded, "Remote-Users", "Remote-Use", "Y", "Xx", longest+"y", "Accept", "Odd", "") {
		var buf [maxNameLen]byte
		n := foldHeader(&buf, name)
		for _, spelled := range []string{
			name, strings.ToUpper(name), strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."),
			"_" + name, name + "_", "--" + name + " ", strings.ReplaceAll(name, "-", "\xff"), "\xc3" + name, name + "\x00",
		} {
			_, want := g.folded[string(buf[:max(n, 0)])]
			if got := g.has(spelled); got != want {
				t.Errorf("%q as %q: %v, want %v", name, spelled, got, want)
			}
		}
	}
}

// FuzzGuardedNames compares the short way with folding.
func FuzzGuardedNames(f *testing.F) {
	f.Add("Remote-User", "remote_user")
	f.Add("X", "-x")
	f.Fuzz(func(t *testing.T, guarded, name string) {
		var g guardedNames
		g.add(guarded)
		var a, b [maxNameLen]byte
		n, m := foldHeader(&a, guarded), foldHeader(&b, name)
		if want := n > 0 && n == m && a == b; g.has(name) != want {
			t.Errorf("%q and %q are one name: %v", guarded, name, want)
		}
	})
}
