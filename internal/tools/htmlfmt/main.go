// Command htmlfmt formats templates of html/template as HTML: nested elements and blocks of actions are indented by
// tabs, each block element has its line, and lines have at most 120 columns where there is a place to break them.
//
//	htmlfmt [-l] <directory>...
//
// It rewrites all *.html below the directories. With -l it only lists those that it would rewrite, and exits with 1 if
// there are any. White space changes where it has no effect: inside tags, around elements that CSS shows as blocks, and
// next to actions with trim markers. Text in a line keeps it, and so does everything in pre and textarea. What is
// formatted is compared with what was there before anything is written.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

var errUnformatted = errors.New("these templates are not formatted: run make fmt")

func main() {
	list := flag.Bool("l", false, "list files that are not formatted")
	flag.Parse()
	if err := run(flag.Args(), *list); err != nil {
		fmt.Fprintln(os.Stderr, "htmlfmt:", err)
		os.Exit(1)
	}
}

func run(dirs []string, list bool) error {
	sources, err := readAll(dirs)
	if err != nil {
		return err
	}
	f, err := newFormatter(sources)
	if err != nil {
		return err
	}
	unformatted := false
	for _, name := range f.names {
		out, err := f.format(name)
		switch {
		case err != nil:
			return err
		case bytes.Equal(out, sources[name]):
		case list:
			fmt.Println(name)
			unformatted = true
		default:
			if err := os.WriteFile(name, out, 0o644); err != nil { // sources are for everybody to read
				return err
			}
		}
	}
	if unformatted {
		return errUnformatted
	}
	return nil
}

// readAll returns the contents of all templates below dirs.
func readAll(dirs []string) (map[string][]byte, error) {
	sources := make(map[string][]byte)
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(name, ".html") {
				return nil
			}
			sources[name], err = os.ReadFile(name)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(sources) == 0 {
		return nil, errors.New("there are no *.html below " + strings.Join(dirs, ", "))
	}
	return sources, nil
}
