// Command buildcaddy builds the Caddy that xcaddy.json describes: a serialized xcaddy.Builder, which xcaddy itself
// does not read.
//
//	buildcaddy <xcaddy.json> <output>
//
// Paths in "replacements" are relative to the file. CGO stays off unless the environment turns it on, like in xcaddy.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/caddyserver/xcaddy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "buildcaddy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: buildcaddy <xcaddy.json> <output>")
	}
	builder, err := read(args[0])
	if err != nil {
		return err
	}
	output, err := filepath.Abs(args[1])
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return err
	}
	return builder.Build(ctx, output)
}

func read(name string) (*xcaddy.Builder, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var b xcaddy.Builder
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i, r := range b.Replacements {
		if !strings.HasPrefix(r.New.String(), ".") {
			continue
		}
		// go.mod of the temporary build directory would resolve the path relative to itself.
		dir, err := filepath.Abs(filepath.Join(filepath.Dir(name), r.New.String()))
		if err != nil {
			return nil, err
		}
		b.Replacements[i].New = xcaddy.ReplacementPath(dir)
	}
	return &b, nil
}
