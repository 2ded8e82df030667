package gatehouse_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// manifest is the part of a Kubernetes object that the tests check.
type manifest struct {
	Kind       string
	Metadata   struct{ Name string }
	Data       map[string]string
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Replicas     int
		MinAvailable int `yaml:"minAvailable"`
		Selector     map[string]any
		Ports        []struct {
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct{ Labels map[string]any }
			Spec     podSpec
		}
	}
	Resources []string
}

type podSpec struct {
	TerminationGracePeriodSeconds int   `yaml:"terminationGracePeriodSeconds"`
	AutomountServiceAccountToken  *bool `yaml:"automountServiceAccountToken"`
	SecurityContext               struct {
		RunAsNonRoot   bool `yaml:"runAsNonRoot"`
		RunAsUser      int  `yaml:"runAsUser"`
		SeccompProfile struct{ Type string }
	} `yaml:"securityContext"`
	Containers []container
	Volumes    []struct {
		Name      string
		ConfigMap struct{ Name string } `yaml:"configMap"`
		Secret    struct {
			SecretName string `yaml:"secretName"`
			Items      []struct{ Key, Path string }
		}
	}
}

type variable struct {
	Name, Value string
	ValueFrom   struct {
		SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
	} `yaml:"valueFrom"`
}

type probe struct {
	HTTPGet   struct{ Path, Port string } `yaml:"httpGet"`
	TCPSocket struct{ Port string }       `yaml:"tcpSocket"`
}

type container struct {
	Image string
	Args  []string
	Env   []variable
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe    probe `yaml:"startupProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	LivenessProbe   probe `yaml:"livenessProbe"`
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// manifests reads deploy/kubernetes, by kind.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	files, err := filepath.Glob("deploy/kubernetes/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("found %v, %v", files, err)
	}
	byKind := make(map[string]manifest)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
			var m manifest
			err := d.Decode(&m)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			byKind[m.Kind] = m
		}
	}
	return byKind
}

// The names by which manifests refer to each other and to the program exist.
func TestKubernetesManifestsFitTogether(t *testing.T) {
	all := manifests(t)
	deployment, secret := all["Deployment"].Spec, all["Secret"]
	pod := deployment.Template.Spec
	c := pod.Containers[0]
	if deployment.Replicas != 3 || all["PodDisruptionBudget"].Spec.MinAvailable >= deployment.Replicas {
		t.Errorf("%d replicas", deployment.Replicas)
	}
	for _, kind := range []string{"Deployment", "Service", "PodDisruptionBudget"} {
		selector := all[kind].Spec.Selector
		if inner, ok := selector["matchLabels"].(map[string]any); ok {
			selector = inner
		}
		if len(selector) == 0 || !maps.Equal(selector, deployment.Template.Metadata.Labels) {
			t.Errorf("%s selects %v, the pods are %v", kind, selector, deployment.Template.Metadata.Labels)
		}
	}
	for _, file := range all["Kustomization"].Resources {
		if _, err := os.Stat(filepath.Join("deploy/kubernetes", file)); err != nil {
			t.Error(err)
		}
	}
	volumes := make(map[string]bool)
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if name := v.ConfigMap.Name; name != "" && name != all["ConfigMap"].Metadata.Name {
			t.Errorf("there is no config map %q", name)
		}
		for _, item := range v.Secret.Items {
			if v.Secret.SecretName != secret.Metadata.Name || secret.StringData[item.Key] == "" {
				t.Errorf("there is no secret %s/%s", v.Secret.SecretName, item.Key)
			}
		}
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %q", m.Name)
		}
	}
	ports := []string{
		all["Service"].Spec.Ports[0].TargetPort, c.StartupProbe.HTTPGet.Port, c.ReadinessProbe.HTTPGet.Port,
		c.LivenessProbe.TCPSocket.Port,
	}
	for _, p := range ports {
		if p != c.Ports[0].Name {
			t.Errorf("there is no port %q", p)
		}
	}
	for _, path := range []string{c.StartupProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path} {
		if path != "/_auth/healthz" {
			t.Errorf("probes ask %q", path)
		}
	}
}

// Pods have minimal privileges and run the tested version.
func TestKubernetesPodsAreConfined(t *testing.T) {
	pod := manifests(t)["Deployment"].Spec.Template.Spec
	c := pod.Containers[0]
	if _, tag, ok := strings.Cut(c.Image, ":"); !ok || tag == "" || strings.Contains(tag, "latest") {
		t.Errorf("the image %q has no fixed tag", c.Image)
	}
	ctx := c.SecurityContext
	if ctx.AllowPrivilegeEscalation == nil || *ctx.AllowPrivilegeEscalation || !ctx.ReadOnlyRootFilesystem ||
		!slices.Equal(ctx.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("the container: %+v", ctx)
	}
	if !pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.RunAsUser == 0 ||
		pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("the pod: %+v", pod.SecurityContext)
	}
	if c.Ports[0].ContainerPort < 1024 {
		t.Error("without capabilities nobody listens below 1024")
	}
}

// Caddy accepts the Caddyfile, every variable is used, and the DSN is valid.
func TestKubernetesConfigurationIsValid(t *testing.T) {
	all := manifests(t)
	pod := all["Deployment"].Spec.Template.Spec
	source := all["ConfigMap"].Data["Caddyfile"]
	if got := string(caddyfile.Format([]byte(source))); got != source {
		t.Errorf("not formatted:\n%s", got)
	}
	validate(t, "deploy/kubernetes", adapt(t, source))

	read := map[string]bool{"GOMEMLIMIT": true, "XDG_DATA_HOME": true, "XDG_CONFIG_HOME": true} // Go and Caddy
	for _, m := range regexp.MustCompile(`\{env\.(\w+)\}`).FindAllStringSubmatch(source, -1) {
		read[m[1]] = true
		if !slices.ContainsFunc(pod.Containers[0].Env, func(e variable) bool { return e.Name == m[1] }) {
			t.Errorf("the Caddyfile wants %s, which no pod has", m[1])
		}
	}
	_, err := seed.Parse(seed.Config{Mode: seed.ModeSeed}, func(name string) (string, bool) { read[name] = true; return "", false },
		func(string) ([]byte, error) { return nil, os.ErrNotExist }, password.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range pod.Containers[0].Env {
		if !read[e.Name] {
			t.Errorf("nothing reads %s", e.Name)
		}
		if e.ValueFrom.SecretKeyRef.Name != "" {
			t.Errorf("%s is a secret: variables end up in whatever prints the environment", e.Name)
		}
		if strings.HasSuffix(e.Name, "_FILE") && !mounted(pod, e.Value) {
			t.Errorf("%s names %s, where nothing is", e.Name, e.Value)
		}
	}
	files := regexp.MustCompile(`\{file\.([^}]+)\}`).FindAllStringSubmatch(source, -1)
	for _, m := range files {
		if !mounted(pod, m[1]) {
			t.Errorf("the Caddyfile reads %s, where nothing is", m[1])
		}
	}
	if len(files) == 0 {
		t.Error("the Caddyfile reads no secret")
	}
	dsn := all["Secret"].StringData["database-url"]
	if err := sqlstore.Check(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn}); err != nil {
		t.Errorf("%s: %v", dsn, err)
	}
	grace := 0 * time.Second
	for _, m := range regexp.MustCompile(`(?m)^\s(?:grace_period|shutdown_delay) (\w+)$`).FindAllStringSubmatch(source,
		-1) {
		grace += must(time.ParseDuration(m[1]))
	}
	if grace == 0 || time.Duration(pod.TerminationGracePeriodSeconds)*time.Second <= grace {
		t.Errorf("Caddy takes %s to end, and gets %d s", grace, pod.TerminationGracePeriodSeconds)
	}
}

// mounted reports whether a file of a secret is at the path.
func mounted(pod podSpec, path string) bool {
	for _, m := range pod.Containers[0].VolumeMounts {
		for _, v := range pod.Volumes {
			for _, item := range v.Secret.Items {
				if v.Name == m.Name && m.MountPath+"/"+item.Path == path {
					return true
				}
			}
		}
	}
	return false
}
