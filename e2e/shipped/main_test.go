// Package shipped runs what deploy/ and the Dockerfile ship: the image, built by buildah, and the recipes with the lines
// of their pages.
//
// No Docker is needed. The image is built from the Dockerfile with this machine's Go in place of the base image, and a
// stand-in for `docker` reads the same files and runs the same commands in the same image, as the same user.
package shipped

import (
	"fmt"
	"os"
	"os/exec"
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
	if os.Geteuid() != 0 { // the image has a user of its own: with the ids that this one may map, it can be had
		unshare := exec.Command("buildah", append([]string{"unshare", os.Args[0]}, os.Args[1:]...)...)
		unshare.Stdin, unshare.Stdout, unshare.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := unshare.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "as another user than root, buildah unshare has to work:", err)
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "ghimage")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	images = storage{dir}
	defer images.remove()
	return m.Run()
}
