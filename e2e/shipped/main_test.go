// Package shipped runs what deploy/ and the Dockerfile ship: the image, built by buildah, and the recipes with the lines
// of their pages.
//
// No Docker is needed. The image is built from the Dockerfile with this machine's Go in place of the base image, and a
// stand-in for `docker` reads the same files and runs the same commands in the same image, as the same user.
package shipped

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "docker" {
		os.Exit(callDocker(os.Args[1:]))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ghimage")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	images = storage{dir}
	defer images.remove()
	return m.Run()
}
