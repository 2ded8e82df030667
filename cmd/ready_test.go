package cmd_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

// logged returns what the Caddy of the folder has logged.
func (f folder) logged() string {
	f.t.Helper()
	log, err := os.ReadFile(filepath.Join(f.dir, "log"))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(log)
}

// waitForLog returns when the log has the text n times.
func (f folder) waitForLog(text string, n int) {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); strings.Count(f.logged(), text) != n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("%q is not %d times in the log:\n%s", text, n, f.logged())
		}
	}
}

// The log says where the gated sites are, once for each, as soon as they are open.
func TestTheLogSaysWhereTheGateIs(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(testenv.Address(t))
	site := func(name string) string {
		return "\nhttp://" + name + ".test:" + port + " {\n\tbind 127.0.0.1\n\tgatehouse\n}\n"
	}
	first := "{\n" + healthOptions + "}\n" + site("app") + "\nhttp://plain.test:" + port + " {\n\tbind 127.0.0.1\n\trespond ok\n}\n"
	f := newFolder(t, first)
	f.start()
	const ready = `"logger":"gatehouse","msg":"ready: `
	f.waitForLog(ready+"http://app.test:"+port+`/"`, 1)
	reload := func() {
		t.Helper()
		if out, err := f.command("reload", "--force", "--address", "unix/"+f.dir+"/admin.sock").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	reload()
	if err := os.WriteFile(filepath.Join(f.dir, "Caddyfile"), []byte(first+site("other")), 0o600); err != nil {
		t.Fatal(err)
	}
	reload()
	f.waitForLog(ready+"http://other.test:"+port+`/"`, 1)
	f.waitForLog(ready, 2)
}

// Nothing is called ready that is not: a site without an administrator, a Caddy that can't listen.
func TestTheLogCallsNothingReadyThatIsNot(t *testing.T) {
	t.Parallel()
	t.Run("no administrator", func(t *testing.T) {
		t.Parallel()
		at := testenv.Address(t)
		f := newFolder(t, "{\n"+healthOptions+"}\n\nhttp://"+at+" {\n\tgatehouse\n}\n")
		f.env = []string{"ADMIN_PASSWORD="}
		stop := f.start()
		f.wait("")
		stop()
		if log := f.logged(); strings.Contains(log, "ready:") || !strings.Contains(log, `"setup_link":"http://`+at+`/_auth/link/`) {
			t.Error(log)
		}
	})
	t.Run("a port that is taken", func(t *testing.T) {
		t.Parallel()
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		f := newFolder(t, "{\n"+healthOptions+"}\n\nhttp://"+taken.Addr().String()+" {\n\tgatehouse\n}\n")
		f.start()
		f.waitForLog("address already in use", 1)
		if strings.Contains(f.logged(), "ready:") {
			t.Error(f.logged())
		}
	})
}
