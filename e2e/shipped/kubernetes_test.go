package shipped

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// object is the part of a Kubernetes object with which a pod can be run; deploy_test.go looks at the rest.
type object struct {
	Kind       string
	Data       map[string]string
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Template struct{ Spec pod }
	}
}

type pod struct {
	SecurityContext struct {
		RunAsUser  int `yaml:"runAsUser"`
		RunAsGroup int `yaml:"runAsGroup"`
	} `yaml:"securityContext"`
	Containers []struct {
		Args           []string
		Env            []struct{ Name, Value string }
		StartupProbe   probe `yaml:"startupProbe"`
		ReadinessProbe probe `yaml:"readinessProbe"`
		VolumeMounts   []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	Volumes []struct {
		Name      string
		ConfigMap *struct{}
		Secret    *struct{ Items []struct{ Key, Path string } }
	}
}

type probe struct {
	HTTPGet struct{ Path string } `yaml:"httpGet"`
}

// objects reads the manifests of a folder, by kind.
func objects(t *testing.T, dir string) map[string]object {
	t.Helper()
	top, err := gate.Top()
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(top, dir, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %v", names, err)
	}
	found := make(map[string]object)
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for d := yaml.NewDecoder(file); ; {
			var o object
			err := d.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			found[o.Kind] = o
		}
	}
	return found
}

// mounts returns the volumes of a pod as folders, with the rights that fsGroup gives them.
func mounts(t *testing.T, all map[string]object, caddyfile string) (options []string) {
	t.Helper()
	p := all["Deployment"].Spec.Template.Spec
	dirs := make(map[string]string)
	for _, v := range p.Volumes {
		dir := t.TempDir()
		reachable(t, dir)
		files := make(map[string]string)
		switch {
		case v.Secret != nil:
			for _, item := range v.Secret.Items {
				files[item.Path] = all["Secret"].StringData[item.Key]
			}
		case v.Name == "config":
			files["Caddyfile"] = caddyfile
		default: // root's, and open to the group
			if err := errors.Join(os.Chown(dir, 0, 10001), os.Chmod(dir, 0o775|os.ModeSetgid)); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o440), os.Chown(path, 0, 10001)); err != nil {
				t.Fatal(err)
			}
		}
		dirs[v.Name] = dir
	}
	for _, m := range p.Containers[0].VolumeMounts {
		mount := dirs[m.Name] + ":" + m.MountPath
		if m.ReadOnly {
			mount += ":ro"
		}
		options = append(options, "-v", mount)
	}
	return options
}

// runPod runs the container of a Deployment in the image, and returns where its site is.
func runPod(t *testing.T, all map[string]object, hosts map[string]string) string {
	t.Helper()
	name := needImage(t)
	hosts["app"] = serveApp(t, "80")
	e, _ := newEngine(t, hosts)
	p := all["Deployment"].Spec.Template.Spec
	c := p.Containers[0]
	port := harness.Port(t)
	caddyfile := strings.Replace(all["ConfigMap"].Data["Caddyfile"], ":8080 {", ":"+port+" {", 1)
	options := append(mounts(t, all, caddyfile), "--user",
		fmt.Sprintf("%d:%d", p.SecurityContext.RunAsUser, p.SecurityContext.RunAsGroup), "-e", "CADDY_ADMIN=unix//config/admin.sock")
	for _, v := range c.Env {
		options = append(options, "-e", v.Name+"="+v.Value)
	}
	running, err := e.launch(name, options, c.Args)
	if err != nil {
		t.Fatal(err)
	}
	e.running["pod"] = running
	site := "http://127.0.0.1:" + port
	probes := []string{site + c.StartupProbe.HTTPGet.Path, site + c.ReadinessProbe.HTTPGet.Path}
	for deadline := time.Now().Add(time.Minute); !succeed(t, probes); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the probes do not succeed")
		}
	}
	return site
}

// succeed reports whether the kubelet would take all probes for a success.
func succeed(t *testing.T, probes []string) bool {
	t.Helper()
	for _, probe := range probes {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, probe, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		res.Body.Close()
		if res.StatusCode < 200 || res.StatusCode >= 400 {
			return false
		}
	}
	return true
}

// fill fills in the secret, as its first line asks.
func fill(t *testing.T, all map[string]object, values map[string]string) {
	t.Helper()
	for key, value := range values {
		if _, ok := all["Secret"].StringData[key]; !ok {
			t.Fatalf("there is no %s in the secret", key)
		}
		all["Secret"].StringData[key] = value
	}
}

func podLetsIn(t *testing.T, site string) {
	t.Helper()
	if app, _ := signIn(t, site, "admin", "a wrong one entirely"); app != "" {
		t.Errorf("a wrong password gets %q", app)
	}
	if app, _ := signIn(t, site, "admin", firstPassword); app != "app: admin as admin" {
		t.Errorf("the app says %q", app)
	}
}

// The pod with SQLite runs as its manifest says, on a volume with the rights that Kubernetes gives it.
func TestKubernetesSinglePod(t *testing.T) {
	t.Parallel()
	all := objects(t, "deploy/kubernetes/single")
	fill(t, all, map[string]string{"admin-password": firstPassword})
	podLetsIn(t, runPod(t, all, make(map[string]string)))
}

// One of the pods with PostgreSQL does, too.
func TestKubernetesPodWithPostgreSQL(t *testing.T) {
	t.Parallel()
	all := objects(t, "deploy/kubernetes")
	port := harness.Postgres(t, "gatehouse")
	createdb := exec.Command("createdb", "-h", "127.0.0.1", "-p", port, "-U", "gatehouse", "gatehouse")
	if out, err := createdb.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	postgres := loopback()
	forward(t, net.JoinHostPort(postgres, "5432"), "127.0.0.1:"+port)
	dsn := all["Secret"].StringData["database-url"]
	plain := strings.Replace(dsn, "sslmode=verify-full&sslrootcert=system", "sslmode=disable", 1) // this server has no certificate
	if plain == dsn {
		t.Fatalf("the DSN is another: %s", dsn)
	}
	fill(t, all, map[string]string{"admin-password": firstPassword, "database-url": plain})
	podLetsIn(t, runPod(t, all, map[string]string{"postgres": postgres}))
}
