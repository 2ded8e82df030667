// Package cmd is part of Caddy: it may print, and must not exit.
package cmd

import (
	"fmt"
	"os"
)

// Run prints.
func Run() {
	fmt.Println("a result")
	os.Exit(1) // want forbidigo
}
