//go:build programs

package programs

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// writeImage writes an image without any files, in the layout of the OCI.
func writeImage(t *testing.T, dir string) {
	t.Helper()
	type object = map[string]any
	blob := func(mime string, content any) object {
		raw, isText := content.(string)
		if !isText {
			encoded, err := json.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			raw = string(encoded)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(raw)))
		write(t, filepath.Join(dir, "blobs", "sha256", sum), raw)
		return object{"mediaType": "application/vnd.oci.image." + mime, "digest": "sha256:" + sum, "size": len(raw)}
	}
	layer := strings.Repeat("\x00", 1024) // the end of an archive
	config := blob("config.v1+json", object{"architecture": "amd64", "os": "linux", "rootfs": object{
		"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(layer)))},
	}})
	manifest := blob("manifest.v1+json", object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
		"layers": []object{blob("layer.v1.tar", layer)},
	})
	index, err := json.Marshal(object{"schemaVersion": 2, "manifests": []object{manifest}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "index.json"), string(index))
	write(t, filepath.Join(dir, "oci-layout"), `{"imageLayoutVersion": "1.0.0"}`)
}

func TestSkopeo(t *testing.T) {
	t.Parallel()
	home, at := t.TempDir(), harness.Port(t)
	config := filepath.Join(home, "config.yml")
	write(t, config, "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: "+home+"\nhttp:\n  addr: 127.0.0.1:"+at+"\n  relativeurls: true\n")
	p := harness.StartPrograms(t, server(t, at, "/v2/", unpacked(t, "docker-registry"), "serve", config))
	skopeo := use(t, "skopeo, podman, docker")
	skopeo.Prepare = func(home string) {
		writeImage(t, filepath.Join(home, "image"))
		write(t, filepath.Join(home, ".config", "containers", "policy.json"), `{"default": [{"type": "insecureAcceptAnything"}]}`)
	}
	out, _ := p.LetIn(t, skopeo)
	contains(t, "what skopeo prints", out, `"Digest": "sha256:`)
	var each []harness.Use
	for _, line := range []string{
		"skopeo inspect --creds \"x:$T\" docker://registry.example.com/one:1\n",
		"skopeo copy --dest-creds \"x:$T\" oci:image docker://registry.example.com/two:1\n",
		"skopeo delete --creds \"x:$T\" docker://registry.example.com/two:1\n",
	} {
		one := skopeo
		one.Commands = line
		each = append(each, one)
	}
	p.LetIn(t, each[0])
	p.LetIn(t, each[1])
	p.Refuse(t, append(each, skopeo)...)
}

func TestRestic(t *testing.T) {
	t.Parallel()
	at := harness.Port(t)
	p := harness.StartPrograms(t, server(t, at, "/", "rclone", "serve", "restic", "--addr", "127.0.0.1:"+at, t.TempDir()))
	restic := use(t, "restic")
	restic.Prepare = func(home string) { write(t, filepath.Join(home, "data", "a"), "a file") }
	out, _ := p.LetIn(t, restic)
	contains(t, "what restic prints", out, "no errors were found")
	var each []harness.Use
	repository, _, _ := strings.Cut(restic.Lines.Commands[0], "\n")
	for _, command := range []string{"init", "snapshots", "backup data"} {
		one := restic
		one.Commands = repository + "\nrestic " + command + "\n"
		each = append(each, one)
	}
	p.LetIn(t, each[1])
	p.Refuse(t, each...)
}

func TestWebDAV(t *testing.T) {
	t.Parallel()
	at, root := harness.Port(t), t.TempDir()
	app := server(t, at, "/", "rclone", "serve", "webdav", "--addr", "127.0.0.1:"+at, root)
	p := harness.StartPrograms(t, app)
	dav := use(t, "rclone and WebDAV")
	rclone, password, cadaver := dav, dav, dav
	rclone.Commands, cadaver.Commands = dav.Lines.Commands[0], dav.Lines.Commands[2]
	password.Commands = dav.Lines.Commands[1] + "rclone ls house:data\n"
	rclone.Prepare = func(home string) { write(t, filepath.Join(home, "data", "a"), "a file") }
	p.LetIn(t, rclone)
	contains(t, "the server's file", read(t, root, "data", "a"), "a file")
	p.LetIn(t, password)
	rclone.NotAsked, password.NotAsked = true, true // it sends a Referer
	p.Refuse(t, rclone, password)

	// It trusts certificates of the system alone.
	p = harness.StartPlainPrograms(t, app)
	p.LetIn(t, cadaver)
	if _, err := os.Stat(filepath.Join(root, "notes")); err != nil {
		t.Error(err)
	}
	cadaver.Quiet = true
	p.Refuse(t, cadaver)
}

func TestCalDAV(t *testing.T) {
	t.Parallel()
	home, at := t.TempDir(), harness.Port(t)
	config := filepath.Join(home, "config")
	write(t, config, "[server]\nhosts = 127.0.0.1:"+at+"\n\n[auth]\ntype = http_remote_user\n\n[storage]\nfilesystem_folder = "+home+"\n")
	calendar := filepath.Join(home, "collection-root", harness.Owner, "work")
	write(t, filepath.Join(calendar, ".Radicale.props"), `{"tag": "VCALENDAR", "D:displayname": "work"}`)
	write(t, filepath.Join(calendar, "one.ics"), strings.Join([]string{
		"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:a test", "BEGIN:VEVENT", "UID:one", "DTSTAMP:20260102T030405Z",
		"DTSTART:20260102T030405Z", "SUMMARY:an event", "END:VEVENT", "END:VCALENDAR", "",
	}, "\r\n"))
	p := harness.StartPrograms(t, server(t, at, "/.web/", installed(t, "python", "bin", "radicale"), "--config", config))
	sync := use(t, "CalDAV")
	sync.Path = installed(t, "python", "bin")
	_, home = p.LetIn(t, sync)
	found, _ := filepath.Glob(filepath.Join(home, "calendars", "work", "*.ics"))
	if len(found) != 1 {
		t.Fatalf("there are %v", found)
	}
	contains(t, "the event", read(t, found[0]), "an event")
	sync.Requests = 20 // it looks for calendars at several addresses
	p.Refuse(t, sync)
}
