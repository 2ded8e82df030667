//go:build programs

package programs

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// around is what the lines of signed-identity.md stand in: a listener before an app.
const around = `static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: PORT}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: app
                route_config: {virtual_hosts: [{name: app, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]}
FILTERS
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
CLUSTERS
    - name: app
      type: STATIC
      load_assignment:
        cluster_name: app
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: APP}}}}]}]
`

func indent(n int, text string) string {
	margin := strings.Repeat(" ", n)
	return margin + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+margin)
}

// Envoy lets pass what the gate signed for this site, and nothing else.
func TestEnvoy(t *testing.T) {
	t.Parallel()
	app := harness.Watch(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("the app: " + r.Header.Get("Gatehouse-Assertion")))
	}))
	at := harness.Port(t)
	g := harness.Start(t, gate.Options{
		HTTPS: true, Site: "assertion",
		App: "gatehouse /other {\n\t\tassertion {\n\t\t\taudience https://other.example.com\n\t\t}\n\t}\n" +
			"\thandle /shown/* {\n\t\trespond {http.request.header.Gatehouse-Assertion}\n\t}\n" +
			"\thandle /other {\n\t\trespond {http.request.header.Gatehouse-Assertion}\n\t}\n" +
			"\thandle {\n\t\treverse_proxy 127.0.0.1:" + at + "\n\t}",
	})
	blocks := harness.Blocks(t, "yaml", "signed-identity.md")
	_, appPort, _ := strings.Cut(strings.TrimPrefix(app.URL, "http://"), ":")
	config := strings.NewReplacer("FILTERS", indent(16, blocks[0]), "CLUSTERS", indent(2, blocks[1]), "APP", appPort, "PORT", at).Replace(around)
	config = strings.NewReplacer("https://app.example.com", g.URL, "address: app.example.com", "address: 127.0.0.1",
		"app.example.com", "localhost", "443", strconv.Itoa(g.Port), "/etc/ssl/certs/ca-certificates.crt", filepath.Join(g.Dir(), "cert.pem"),
	).Replace(config)
	home := t.TempDir()
	write(t, filepath.Join(home, "envoy.yaml"), config)
	(&harness.Program{Home: home, Ready: "http://127.0.0.1:" + at, Command: []string{
		installed(t, "envoy", "bin", "envoy"), "--config-path", filepath.Join(home, "envoy.yaml"), "--concurrency", "1",
		"--use-dynamic-base-id", "--log-level", "warning",
	}}).Launch(t)
	c := g.Client()
	if res, err := g.SignIn(c, gate.Admin, gate.AdminPassword); err != nil || res.Status != http.StatusSeeOther {
		t.Fatal(res.Status, err)
	}
	get := func(address, assertion string) (int, string) {
		t.Helper()
		direct := &gate.Gate{URL: address}
		res, err := direct.Do(c, "", nil, "Gatehouse-Assertion", assertion)
		if err != nil {
			t.Fatal(err)
		}
		return res.Status, res.Body
	}
	if status, text := get(g.URL+"/page", "forged"); status != http.StatusOK || strings.Count(text, ".") != 2 {
		t.Errorf("through the gate: %d %s", status, text)
	}
	_, good := get(g.URL+"/shown/x", "")
	_, other := get(g.URL+"/other", "")
	parts, others := strings.Split(good, "."), strings.Split(other, ".")
	if len(parts) != 3 || len(others) != 3 {
		t.Fatalf("no assertions: %s, %s", good, other)
	}
	sidecar := "http://127.0.0.1:" + at + "/page"
	if status, text := get(sidecar, good); status != http.StatusOK {
		t.Errorf("around the gate with an assertion for this site: %d %s", status, text)
	}
	for what, assertion := range map[string]string{
		"none": "", "a changed one": good[:len(good)-3] + "AAA", "nonsense": "x.y.z", "one for another audience": other,
		"another's signature": strings.Join([]string{parts[0], parts[1], others[2]}, "."),
	} {
		want := http.StatusUnauthorized
		if assertion == other {
			want = http.StatusForbidden
		}
		if status, text := get(sidecar, assertion); status != want {
			t.Errorf("around the gate with %s: %d %s", what, status, text)
		}
	}
}
