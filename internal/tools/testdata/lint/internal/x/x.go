package x // want revive

import (
	"errors"
	"fmt"
	"html" // want depguard
	"html/template"
	"io"
	"log"       // want depguard
	"log/slog"  // want depguard
	"math/rand" // want depguard
	"net/http"
	"os"
	tt "text/template" // want depguard
	"text/template/parse"
	"time"
	"unsafe" // want depguard
)

var ErrBad = errors.New("bad") // want revive

type Open struct{} // want revive

func (o *Open) Do() {} // want revive

func bad(r io.Reader, name string) (template.HTML, error) { // want forbidigo
	fmt.Println(name)                 // want forbidigo
	fmt.Fprintln(os.Stderr, name)     // want forbidigo
	_, _ = http.DefaultClient.Do(nil) // want forbidigo
	_, _ = http.Get(name)             // want forbidigo
	time.Sleep(time.Second)           // want forbidigo
	_, err := io.ReadAll(r)
	if err == ErrBad { // want errorlint
		os.Exit(1) // want forbidigo
	}
	if err != nil {
		return "", fmt.Errorf("%s: %v", name, err) // want errorlint
	}
	log.Fatal(name) // want forbidigo
	slog.Info(html.EscapeString(name), "n", rand.Int(), "s", unsafe.Sizeof(name), "t", tt.New(""), "p", parse.NodeText)
	os.Remove(name)                 // want errcheck
	return template.HTML(name), nil // want forbidigo
}

var _ = bad
