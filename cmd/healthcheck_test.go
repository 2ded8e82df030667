package cmd_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// folder is where a Caddyfile is, and what commands run in.
type folder struct {
	t   *testing.T
	dir string
	env []string
}

func newFolder(t *testing.T, caddyfile string) folder {
	t.Helper()
	f := folder{t: t, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(f.dir, "Caddyfile"), []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f folder) command(args ...string) *exec.Cmd {
	c := exec.Command("caddy", args...)
	c.Dir = f.dir
	c.Env = append(cleanEnv(f.dir), "XDG_DATA_HOME="+f.dir+"/data", "XDG_CONFIG_HOME="+f.dir+"/config",
		"ADMIN_PASSWORD=seven quiet otters 42")
	c.Env = append(c.Env, f.env...)
	return c
}

// check runs the health check.
func (f folder) check(args ...string) (stdout, stderr string, err error) {
	f.t.Helper()
	c := f.command(append([]string{"gatehouse", "healthcheck"}, args...)...)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	return out.String(), errs.String(), err
}

// start runs Caddy until the test ends or stop is called.
func (f folder) start() (stop func()) {
	f.t.Helper()
	c := f.command("run")
	log, err := os.Create(filepath.Join(f.dir, "log"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	stop = func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = c.Process.Kill()
			<-ended
		}
	}
	f.t.Cleanup(stop)
	return stop
}

// wait repeats the health check until its error has the text, "" for none.
func (f folder) wait(want string) {
	f.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, errs, err := f.check()
		if want == "" && err == nil && out == "ok\n" || want != "" && err != nil && out == "" && strings.Contains(errs, want) {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(f.dir, "log"))
			f.t.Fatalf("the check prints %q %q, %v; want %q\n%s", out, errs, err, want, log)
		}
	}
}

const healthOptions = "\tpersist_config off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n\tgrace_period 1s\n"

// The gate is asked on its own listener, by the name of its site, which nobody resolves.
func TestHealthcheckAsksTheListener(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	for name, at := range map[string]struct{ global, site, url string }{
		"HTTP":  {"", "http://app.test:PORT {\n\tbind 127.0.0.1\n\tgatehouse\n}\n", "http://app.test:PORT/_auth/healthz"},
		"HTTPS": {"", "app.test:PORT {\n\tbind localhost\n\tgatehouse\n}\n", "https://app.test:PORT/_auth/healthz"},
		"any host": {
			"", "http://:PORT {\n\tbind 127.0.0.1\n\tgatehouse /admin/*\n}\n", "http://localhost:PORT/_auth/healthz",
		},
		"prefix": {
			"\tgatehouse {\n\t\tprefix /gate\n\t}\n", "http://app.test:PORT {\n\tbind 127.0.0.1\n\tgatehouse\n}\n",
			"http://app.test:PORT/gate/healthz",
		},
		"placeholders": {
			"", "http://{$NAME}.test:{$LISTEN} {\n\tbind {env.BIND}\n\tgatehouse\n}\n", "http://app.test:PORT/_auth/healthz",
		},
		"unix": {"", "http://app.test {\n\tbind unix/" + socket + "|0600\n\tgatehouse\n}\n", "http://app.test/_auth/healthz"},
		"the second site": {
			"", "http://a.test:PORT {\n\tbind 127.0.0.1\n\trespond no\n}\n\nhttp://app.test:PORT {\n\tbind 127.0.0.1\n" +
				"\thandle {\n\t\tgatehouse\n\t}\n}\n", "http://app.test:PORT/_auth/healthz",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, port, _ := net.SplitHostPort(testenv.Address(t))
			ports := strings.NewReplacer("PORT", port)
			f := newFolder(t, ports.Replace("{\n"+healthOptions+at.global+"}\n\n"+at.site))
			f.env = []string{"NAME=app", "LISTEN=" + port, "BIND=127.0.0.1"}
			if out, errs, err := f.check(); err == nil || out != "" || !strings.Contains(errs, "connect: ") {
				t.Errorf("before Caddy runs: %q %s, %v", out, errs, err)
			}
			stop := f.start()
			f.wait("")
			out, errs, err := f.check("--json")
			var got struct {
				OK  bool
				URL string
			}
			if err != nil || json.Unmarshal([]byte(out), &got) != nil || !got.OK || got.URL != ports.Replace(at.url) {
				t.Errorf("%s %s, %v", out, errs, err)
			}
			stop()
			if _, _, err := f.check(); err == nil {
				t.Error("a Caddy that has ended is well")
			}
		})
	}
}

// A gate whose store is not there is closed, and no container is well with it.
func TestHealthcheckTellsAClosedGate(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "{\n"+healthOptions+"\tgatehouse {\n\t\tstore postgres \"host=127.0.0.1 port="+
		strings.TrimPrefix(testenv.Address(t), "127.0.0.1:")+" user=gate dbname=gate\"\n\t}\n}\n\nhttp://"+testenv.Address(t)+
		" {\n\tgatehouse\n}\n")
	f.start()
	f.wait("the gate is closed (503)")
	if log := f.logged(); strings.Contains(log, "ready:") {
		t.Error(log)
	}
}

// What is no gate is not well, whatever its status is; no redirect is followed, and no other machine asked.
func TestHealthcheckRefusesWhatIsNoGate(t *testing.T) {
	t.Parallel()
	well := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/_auth/healthz", "/well":
			well(w, r)
		case "/redirect":
			http.Redirect(w, r, "/well", http.StatusFound)
		default:
			_, _ = w.Write([]byte("hello"))
		}
	}))
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(http.HandlerFunc(well))
	t.Cleanup(secure.Close)
	f := newFolder(t, "http://*.app.test:8080 {\n\tgatehouse\n}\n")
	elsewhere := newFolder(t, "http://app.test:8080 {\n\tbind 192.0.2.1\n\tgatehouse\n}\n")
	none := newFolder(t, "http://app.test:8080 {\n\trespond no\n}\n")
	for _, c := range []struct {
		folder folder
		args   []string
		want   string // of the error, "" for none
	}{
		{f, []string{"--url", plain.URL}, ""},
		{f, []string{"--url", plain.URL + "/"}, ""},
		{f, []string{"--url", plain.URL + "/well"}, ""},
		{f, []string{"--url", plain.URL + "/other"}, "no gate responds there (status 200)"},
		{f, []string{"--url", plain.URL + "/redirect"}, "no gate responds there (status 302)"},
		{f, []string{"--url", secure.URL}, "certificate"},
		{f, []string{"--url", strings.Replace(plain.URL, "http://", "http://me:hunter2@", 1)}, "--url needs the address"},
		{f, []string{"--url", "app.test"}, "--url needs the address"},
		{f, []string{"--url", ""}, "--url needs the address"},
		{f, []string{"--store", "x.db"}, "in place of --store"},
		{f, nil, "a name without a wildcard"},
		{elsewhere, nil, "192.0.2.1, which is no address of this machine"},
		{none, nil, "does not use gatehouse"},
		{folder{t: t, dir: t.TempDir()}, nil, "no configuration found"},
	} {
		out, errs, err := c.folder.check(c.args...)
		if (err == nil) != (c.want == "") || !strings.Contains(errs, c.want) || (out == "ok\n") != (c.want == "") ||
			strings.Contains(errs, "hunter2") {
			t.Errorf("%v: %q %s, %v", c.args, out, errs, err)
		}
	}
}
