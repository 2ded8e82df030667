package shipped

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// entry is a file of the image.
type entry struct {
	mode     fs.FileMode
	uid, gid int
	content  []byte
}

// files returns the files of an image, by path.
func files(t *testing.T, name string) map[string]entry {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "oci")
	if _, err := images.buildah("push", name, "oci:"+dir); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]entry)
	blobs, _ := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	for _, blob := range blobs {
		raw, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(raw) { // a layer
			untar(t, layerOf(t, raw), found)
		}
	}
	if len(found) == 0 {
		t.Fatalf("the image has no files: %v", blobs)
	}
	return found
}

func untar(t *testing.T, layer io.Reader, found map[string]entry) {
	t.Helper()
	for r := tar.NewReader(layer); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 {
			t.Errorf("%s has a time: %v", h.Name, h.ModTime)
		}
		found["/"+filepath.Clean(h.Name)] = entry{h.FileInfo().Mode(), h.Uid, h.Gid, content}
	}
}

// The image is one static binary that root does not run, with the certificates of authorities and two folders of its own.
func TestTheImageHasNothingButTheBinary(t *testing.T) {
	t.Parallel()
	name := needImage(t)
	all := files(t, name)
	want := map[string]entry{
		"/usr": {}, "/usr/bin": {}, "/usr/bin/caddy": {}, "/tmp": {}, "/data": {}, "/config": {}, "/etc": {}, "/etc/caddy": {},
		"/etc/caddy/Caddyfile": {}, "/etc/passwd": {}, "/etc/group": {}, "/etc/ssl": {}, "/etc/ssl/certs": {},
		"/etc/ssl/certs/ca-certificates.crt": {},
	}
	for path, e := range all {
		if _, ok := want[path]; !ok && path != "/" {
			t.Errorf("the image has %s", path)
		}
		owned := path == "/data" || path == "/config"
		if owned != (e.uid == 10001 && e.gid == 10001) || !owned && (e.uid != 0 || e.gid != 0) {
			t.Errorf("%s belongs to %d:%d", path, e.uid, e.gid)
		}
		if writable := e.mode.Perm()&0o022 != 0; writable && (path != "/tmp" || e.mode&fs.ModeSticky == 0) ||
			owned && e.mode.Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, e.mode)
		}
	}
	for path := range want {
		if _, ok := all[path]; !ok {
			t.Errorf("the image lacks %s", path)
		}
	}
	if !x509.NewCertPool().AppendCertsFromPEM(all["/etc/ssl/certs/ca-certificates.crt"].content) {
		t.Error("no certificates of authorities")
	}
	binary, err := elf.NewFile(bytes.NewReader(all["/usr/bin/caddy"].content))
	if err != nil {
		t.Fatal(err)
	}
	if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 || binary.Section(".interp") != nil {
		t.Errorf("the binary is not static: %v, %v", libraries, err)
	}
	c, err := images.config(name)
	if err != nil || c.User != "10001:10001" || len(c.Entrypoint) > 0 || !slices.Contains(c.Env, "XDG_DATA_HOME=/data") ||
		!slices.Contains(c.Env, "XDG_CONFIG_HOME=/config") || len(c.Healthcheck.Test) == 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Who builds the same sources again gets the same image.
func TestTheImageIsReproducible(t *testing.T) {
	t.Parallel()
	name := needImage(t)
	if err := images.build("localhost/again"); err != nil {
		t.Fatal(err)
	}
	first, second := files(t, name), files(t, "localhost/again")
	for path, e := range first {
		if !reflect.DeepEqual(e, second[path]) {
			t.Errorf("%s is another", path)
		}
	}
	one, err := images.config(name)
	two, err2 := images.config("localhost/again")
	if one.Hostname, two.Hostname = "", ""; !reflect.DeepEqual(one, two) || err != nil || err2 != nil { // the builder's own
		t.Errorf("%+v, then %+v: %v %v", one, two, err, err2)
	}
}

// layerOf returns the tar file in a layer.
func layerOf(t *testing.T, raw []byte) io.Reader {
	t.Helper()
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return bytes.NewReader(raw)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return z
}
