//go:build programs

package programs

import (
	"archive/zip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// archive writes a ZIP file.
func archive(t *testing.T, name string, files ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPip(t *testing.T) {
	t.Parallel()
	packages, at := t.TempDir(), harness.Port(t)
	archive(t, filepath.Join(packages, "one-1.0-py3-none-any.whl"),
		"one.py", "print('one')\n",
		"one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: one\nVersion: 1.0\n",
		"one-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"one-1.0.dist-info/RECORD", "one.py,,\none-1.0.dist-info/METADATA,,\none-1.0.dist-info/WHEEL,,\none-1.0.dist-info/RECORD,,\n")
	p := harness.StartPrograms(t, server(t, at, "/simple/", installed(t, "python", "bin", "pypi-server"), "run",
		"--interface", "127.0.0.1", "--port", at, "--disable-fallback", packages))
	pip := use(t, "pip")
	pip.Path, pip.NotAsked = installed(t, "python", "bin"), true
	_, home := p.LetIn(t, pip)
	contains(t, "the module", read(t, home, "lib", "one.py"), "one")
	inAddress := pip
	inAddress.Commands = strings.Replace(pip.Lines.Commands[0], "https://", "https://x:$T@", 1)
	p.LetIn(t, inAddress)
	p.Refuse(t, pip, inAddress)
}

func TestNPM(t *testing.T) {
	t.Parallel()
	home, at := t.TempDir(), harness.Port(t)
	config := filepath.Join(home, "config.yaml")
	write(t, config, "storage: "+home+"/storage\nuplinks: {}\nlog: {type: stdout, level: warn}\nweb: {enable: false}\n"+
		"packages:\n  '**': {access: $all, publish: $all}\n")
	p := harness.StartPrograms(t, server(t, at, "/-/ping", installed(t, "verdaccio", "node_modules", ".bin", "verdaccio"),
		"--config", config, "--listen", "127.0.0.1:"+at))
	npm := use(t, "npm")
	npm.Prepare = func(home string) {
		write(t, filepath.Join(home, "one", "package.json"), `{"name": "one", "version": "1.0.0", "main": "one.js"}`)
		write(t, filepath.Join(home, "one", "one.js"), "// one")
		write(t, filepath.Join(home, "package.json"), `{"private": true}`)
	}
	_, home = p.LetIn(t, npm)
	contains(t, "the module", read(t, home, "node_modules", "one", "one.js"), "one")
	install := npm // what is published once cannot be published again
	install.Commands = "npm install one\n"
	basic := with(install, "_authToken=gatehouse_svc_…", "_auth=${AUTH}")
	basic.Commands = "AUTH=$(printf 'x:%s' \"$T\" | base64 -w0) npm install one\n"
	p.LetIn(t, basic)
	p.Refuse(t, npm, install, basic)
}

func TestCargo(t *testing.T) {
	t.Parallel()
	registry := t.TempDir()
	user, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	rustup := "RUSTUP_HOME=" + filepath.Join(user, ".rustup") // where cargo may be a link to what finds it there
	if dir := os.Getenv("RUSTUP_HOME"); dir != "" {
		rustup = "RUSTUP_HOME=" + dir
	}
	write(t, filepath.Join(registry, "src", "Cargo.toml"), "[package]\nname = \"one\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")
	write(t, filepath.Join(registry, "src", "src", "lib.rs"), "// one\n")
	pack := exec.CommandContext(t.Context(), "cargo", "package", "--quiet", "--no-verify", "--offline", "--allow-dirty")
	pack.Dir, pack.Env = filepath.Join(registry, "src"), []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), rustup}
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	crate := read(t, registry, "src", "target", "package", "one-1.0.0.crate")
	write(t, filepath.Join(registry, "one-1.0.0.crate"), crate)
	write(t, filepath.Join(registry, "3", "o", "one"), fmt.Sprintf(
		`{"name": "one", "vers": "1.0.0", "deps": [], "cksum": "%x", "features": {}, "yanked": false}`, sha256.Sum256([]byte(crate))))
	p := harness.StartPrograms(t, http.FileServer(http.Dir(registry)))
	write(t, filepath.Join(registry, "config.json"), `{"dl": "`+p.Gate.URL+`/{crate}-{version}.crate", "auth-required": true}`)
	cargo := use(t, "cargo")
	cargo.Env = []string{rustup}
	_, home := p.LetIn(t, cargo)
	contains(t, "the lock file", read(t, home, "two", "Cargo.lock"), `name = "one"`)
	bearer := with(cargo, `"gatehouse_svc_…"`, `"Bearer gatehouse_svc_…"`)
	p.LetIn(t, bearer)
	p.Refuse(t, cargo, bearer)
}

func TestGo(t *testing.T) {
	t.Parallel()
	proxy := t.TempDir()
	const mod = "module one.example/one\n\ngo 1.21\n"
	versions := filepath.Join(proxy, "one.example", "one", "@v")
	archive(t, filepath.Join(versions, "v1.0.0.zip"), "one.example/one@v1.0.0/go.mod", mod, "one.example/one@v1.0.0/one.go", "package one\n")
	write(t, filepath.Join(versions, "v1.0.0.mod"), mod)
	write(t, filepath.Join(versions, "v1.0.0.info"), `{"Version": "v1.0.0", "Time": "2026-01-02T03:04:05Z"}`)
	write(t, filepath.Join(versions, "list"), "v1.0.0\n")
	p := harness.StartPrograms(t, http.FileServer(http.Dir(proxy)))
	// Go looks for host and port, where other programs look for the host alone.
	goget := with(use(t, "go"), "machine go.example.com", "machine\tgo.example.com")
	goget.Env = []string{"GOTOOLCHAIN=local", "GOFLAGS=-modcacherw"}
	_, home := p.LetIn(t, goget)
	contains(t, "go.mod", read(t, home, "three", "go.mod"), "one.example/one v1.0.0")
	p.Refuse(t, goget)
}
