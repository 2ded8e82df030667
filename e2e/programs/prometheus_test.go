//go:build programs

package programs

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// targets returns the health of each job of a Prometheus, and what it says of the last error.
func targets(t *testing.T, address string) map[string]string {
	t.Helper()
	res, err := http.Get(address + "/api/v1/targets")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Data struct {
			Active []struct {
				Labels            struct{ Job string }
				Health, LastError string
			} `json:"activeTargets"`
		}
	}
	if res.StatusCode == http.StatusServiceUnavailable { // it is starting
		return nil
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	jobs := make(map[string]string)
	for _, a := range body.Data.Active {
		jobs[a.Labels.Job] = strings.TrimSpace(a.Health + " " + a.LastError)
	}
	return jobs
}

// It scrapes itself, by way of the gate; a token in its file counts without a reload.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	at := harness.Port(t)
	address := "http://127.0.0.1:" + at
	p := harness.StartPrograms(t, harness.To(t, address))
	u := use(t, "Prometheus")
	c := harness.NewClient(t, p.Gate, p.Token)
	c.Write(t, u.Lines)
	dir := filepath.Join(c.Home, "etc", "prometheus")
	config, token := filepath.Join(dir, "prometheus.yml"), filepath.Join(dir, "token")
	write(t, config, "global: {scrape_interval: 1s}\n"+read(t, config))
	write(t, token, p.Token+"\n")
	(&harness.Program{Home: c.Home, Ready: address + "/-/ready", Env: c.Environ(), Command: []string{
		unpacked(t, "prometheus"), "--config.file", config, "--storage.tsdb.path", filepath.Join(c.Home, "data"),
		"--web.listen-address", "127.0.0.1:" + at,
	}}).Launch(t)
	until := func(state string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			jobs := targets(t, address)
			if len(jobs) == 2 && strings.HasSuffix(jobs["app"], state) && strings.HasSuffix(jobs["app-basic"], state) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the jobs are %v, not %q", jobs, state)
			}
			time.Sleep(50 * time.Millisecond) // waits: the pause of a poll that has a deadline
		}
	}
	until("up")
	p.Kept(t)
	p.Revoke(t)
	until("server returned HTTP status 401 Unauthorized")
	p.Judge(t, len(harness.Accesses(t, p.Gate)), http.StatusUnauthorized, 10, "Basic ")
	write(t, token, p.NewToken(t, "--path", "/elsewhere/*"))
	until("server returned HTTP status 403 Forbidden")
	write(t, token, p.NewToken(t, "--path", "/metrics", "--methods", "read"))
	until("up")
	p.Kept(t)
}
