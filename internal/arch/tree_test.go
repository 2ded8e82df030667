package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/gatehouse-auth/gatehouse"

// root is the top of the checkout, seen from this package's folder, which is where `go test` runs.
const root = "../.."

// listed is what `go list` tells about one package.
type listed struct {
	ImportPath   string
	Doc          string
	Standard     bool
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

// name is the import path below the module's, "" for the root package.
func (p listed) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

var list = sync.OnceValues(func() ([]listed, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Standard,Imports,Deps,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			return nil, errors.New("go list: " + string(exit.Stderr))
		}
		return nil, err
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
})

func packages(t *testing.T) []listed {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// file is one parsed Go file of the checkout.
type file struct {
	path string // from the root, with slashes
	fset *token.FileSet
	ast  *ast.File
}

func (f *file) dir() string {
	if i := strings.LastIndexByte(f.path, '/'); i >= 0 {
		return f.path[:i]
	}
	return ""
}

func (f *file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// helper tells whether the file is of a package that only tests and measurements use.
func (f *file) helper() bool { return tests(f.dir()) }

func (f *file) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// parse reads one file, from src when it is not nil.
func parse(path string, src any) (*file, error) {
	fset := token.NewFileSet()
	name := path
	if src == nil {
		name = filepath.Join(root, filepath.FromSlash(path))
	}
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	return &file{path: path, fset: fset, ast: tree}, err
}

// files parses every Go file of the checkout, those of the modules beside the plugin's own too.
func files(t *testing.T) []*file {
	t.Helper()
	var all []*file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "node_modules", "bin"}, d.Name())) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f, err := parse(filepath.ToSlash(rel), nil)
		all = append(all, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d Go files only", len(all))
	}
	return all
}
