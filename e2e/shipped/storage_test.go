package shipped

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// storage is where buildah keeps images and containers.
type storage struct{ dir string }

// images has the images of all tests of this process.
var images storage

func (s storage) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "buildah", append([]string{
		"--root", filepath.Join(s.dir, "root"), "--runroot", filepath.Join(s.dir, "run"), "--storage-driver", "vfs",
	}, args...)...)
}

// buildah runs a command of buildah and returns what it prints on standard output.
func (s storage) buildah(args ...string) (string, error) {
	cmd := s.command(context.Background(), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("buildah %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

func (s storage) remove() {
	_, _ = s.buildah("rm", "--all")
	if err := os.RemoveAll(s.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// image builds the image of the Dockerfile once and returns its name.
var image = sync.OnceValues(func() (string, error) {
	const name = "localhost/gatehouse"
	if err := images.base(); err != nil {
		return "", err
	}
	return name, images.build(name)
})

func needImage(t testing.TB) string {
	t.Helper()
	name, err := image()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// base makes the image that stands for the one with Go: an empty one, in which the tools of this machine are mounted.
func (s storage) base() error {
	dir, err := os.MkdirTemp(s.dir, "base")
	if err != nil {
		return err
	}
	for _, name := range []string{"usr", "tmp", "go", "cache"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	container, err := s.buildah("from", "scratch")
	if err != nil {
		return err
	}
	config := []string{
		"config", "--env", "PATH=" + filepath.Join(goEnv("GOROOT"), "bin") + ":/usr/bin:/bin", "--env", "GOMODCACHE=/go",
		"--env", "GOCACHE=/cache", "--env", "GOTOOLCHAIN=local",
	}
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOINSECURE"} { // downloads as on this machine
		config = append(config, "--env", name+"="+goEnv(name))
	}
	for _, args := range [][]string{
		{"copy", container, dir, "/"}, append(config, container), {"commit", container, "localhost/go"}, {"rm", container},
	} {
		if _, err := s.buildah(args...); err != nil {
			return err
		}
	}
	return nil
}

// build builds the Dockerfile.
func (s storage) build(name string) error {
	top, err := gate.Top()
	if err != nil {
		return err
	}
	goroot := goEnv("GOROOT")
	_, err = s.buildah("build", "--isolation", "chroot", "--format", "docker", "--timestamp", "0",
		"--build-arg", "GO_IMAGE=localhost/go", "-v", "/usr:/usr:ro", "-v", "/etc/ssl:/etc/ssl:ro",
		"-v", goroot+":"+goroot+":ro", "-v", goEnv("GOMODCACHE")+":/go", "-v", goEnv("GOCACHE")+":/cache", "-t", name, top)
	return err
}

func goEnv(name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// imageConfig is what an image says about how it is run.
type imageConfig struct {
	Cmd         []string
	Hostname    string
	User        string
	Env         []string
	Entrypoint  []string
	Labels      map[string]string
	Healthcheck struct{ Test []string }
	WorkingDir  string
}

func (s storage) config(name string) (imageConfig, error) {
	raw, err := s.buildah("inspect", "--type", "image", name)
	if err != nil {
		return imageConfig{}, err
	}
	var v struct {
		Docker struct {
			Config imageConfig `json:"config"`
		}
	}
	return v.Docker.Config, json.Unmarshal([]byte(raw), &v)
}
