package gatehouse_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seed"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// The names by which manifests refer to each other and to the program exist.
func TestKubernetesManifestsFitTogether(t *testing.T) {
	for _, dir := range clusters {
		all := manifests(t, dir)
		for _, kind := range []string{"Deployment", "Service", "PodDisruptionBudget"} {
			labels := all["Deployment"].Spec.Template.Metadata.Labels
			selector := all[kind].Spec.Selector
			if inner, ok := selector["matchLabels"].(map[string]any); ok {
				selector = inner
			}
			if _, there := all[kind]; there && (len(selector) == 0 || !maps.Equal(selector, labels)) {
				t.Errorf("%s: %s selects %v, the pods are %v", dir, kind, selector, labels)
			}
		}
		for _, file := range all["Kustomization"].Resources {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				t.Error(err)
			}
		}
		checkVolumes(t, all)
		c := all["Deployment"].Spec.Template.Spec.Containers[0]
		ports := []string{
			all["Service"].Spec.Ports[0].TargetPort, c.StartupProbe.HTTPGet.Port, c.ReadinessProbe.HTTPGet.Port,
			c.LivenessProbe.TCPSocket.Port,
		}
		for _, p := range ports {
			if p != c.Ports[0].Name {
				t.Errorf("%s: there is no port %q", dir, p)
			}
		}
		for _, path := range []string{c.StartupProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path} {
			if path != "/_auth/healthz" {
				t.Errorf("%s: probes ask %q", dir, path)
			}
		}
	}
}

// checkVolumes checks that what is mounted is there.
func checkVolumes(t *testing.T, all map[string]manifest) {
	t.Helper()
	pod, secret := all["Deployment"].Spec.Template.Spec, all["Secret"]
	volumes := make(map[string]bool)
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if name := v.ConfigMap.Name; name != "" && name != all["ConfigMap"].Metadata.Name {
			t.Errorf("there is no config map %q", name)
		}
		if name := v.PersistentVolumeClaim.ClaimName; name != "" && name != all["PersistentVolumeClaim"].Metadata.Name {
			t.Errorf("there is no claim %q", name)
		}
		for _, item := range v.Secret.Items {
			if v.Secret.SecretName != secret.Metadata.Name || secret.StringData[item.Key] == "" {
				t.Errorf("there is no secret %s/%s", v.Secret.SecretName, item.Key)
			}
		}
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %q", m.Name)
		}
	}
}

// Several Caddys stay while one is replaced; a file is used by one at a time.
func TestKubernetesStrategiesFitTheStores(t *testing.T) {
	several, one := manifests(t, clusters[0]), manifests(t, clusters[1])
	if n := several["Deployment"].Spec.Replicas; n != 3 || several["PodDisruptionBudget"].Spec.MinAvailable >= n {
		t.Errorf("%d replicas", n)
	}
	spec := one["Deployment"].Spec
	if spec.Replicas != 1 || spec.Strategy.Type != "Recreate" ||
		!slices.Equal(one["PersistentVolumeClaim"].Spec.AccessModes, []string{"ReadWriteOnce"}) {
		t.Errorf("with SQLite: %d replicas, %v", spec.Replicas, spec.Strategy)
	}
	if strings.Contains(one["ConfigMap"].Data["Caddyfile"], "store postgres") {
		t.Error("the one with SQLite uses PostgreSQL")
	}
	for _, v := range spec.Template.Spec.Volumes {
		for _, m := range spec.Template.Spec.Containers[0].VolumeMounts {
			if (m.MountPath == "/data") != (v.PersistentVolumeClaim.ClaimName != "") && m.Name == v.Name {
				t.Errorf("%s is at %s", v.Name, m.MountPath)
			}
		}
	}
}

// The Ingress leads to the service, for a host that it has a certificate of.
func TestKubernetesIngressLeadsToTheService(t *testing.T) {
	ingress := manifests(t, "deploy/kubernetes/ingress")
	spec, service := ingress["Ingress"].Spec, manifests(t, clusters[0])["Service"]
	if !slices.Equal(ingress["Kustomization"].Resources, []string{"..", "ingress.yaml"}) {
		t.Errorf("resources %v", ingress["Kustomization"].Resources)
	}
	if len(spec.Rules) != 1 || len(spec.TLS) != 1 || !slices.Equal(spec.TLS[0].Hosts, []string{spec.Rules[0].Host}) ||
		len(spec.Rules[0].HTTP.Paths) != 1 {
		t.Fatalf("%+v", spec)
	}
	path := spec.Rules[0].HTTP.Paths[0]
	if path.Path != "/" || path.Backend.Service.Name != service.Metadata.Name ||
		path.Backend.Service.Port.Name != service.Spec.Ports[0].Name {
		t.Errorf("%+v", path)
	}
}

// Pods have minimal privileges and run the tested version.
func TestKubernetesPodsAreConfined(t *testing.T) {
	for _, dir := range clusters {
		checkConfined(t, manifests(t, dir)["Deployment"].Spec.Template.Spec)
	}
}

func checkConfined(t *testing.T, pod podSpec) {
	t.Helper()
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
	for _, dir := range clusters {
		t.Run(dir, func(t *testing.T) { checkConfiguration(t, manifests(t, dir)) })
	}
}

func checkConfiguration(t *testing.T, all map[string]manifest) {
	t.Helper()
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
	dsn, several := all["Secret"].StringData["database-url"]
	if several != (len(files) > 0) {
		t.Errorf("the Caddyfile reads %v", files)
	}
	if several {
		if err := sqlstore.Check(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn}); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
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

// The Caddyfiles of the image and the unit are formatted and valid; those of the recipes are run by the suite.
func TestShippedCaddyfilesAreValid(t *testing.T) {
	for _, name := range []string{"deploy/image/Caddyfile", "deploy/systemd/Caddyfile"} {
		source := read(t, name)
		if got := string(caddyfile.Format([]byte(source))); got != source {
			t.Errorf("%s is not formatted: run caddy fmt --overwrite %s", name, name)
		}
		validate(t, name, adapt(t, source))
	}
}
