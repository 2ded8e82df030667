//go:build providers

package providers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

func TestDex(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"a person signs in and out here", dexInAndOut},
		{"with sessions a sign-out there ends the session here within a second", dexSessions},
		{"with ES256 the ID token is enough", dexES256},
		{"keys are rotated while people are signed in", dexRotation},
		{"claims follow and a second sign-in ends the first", dexFollows},
		{"who is gone there is out when refresh_grace is over", dexGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

// dexPassword is that of everybody at Dex, with its hash.
const (
	dexPassword = "password"
	dexHash     = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
)

// dex is a server with the configuration of dex.md, in front of a list of people.
type dex struct {
	credentials
	t      *testing.T
	url    string // origin
	line   *line
	dir    string
	g      *gate.Gate
	config string // without the people
	stop   func()
}

// startDex starts Dex with the blocks of the page and more lines, and a gate for it.
func startDex(t *testing.T, blocks []int, more string, lines ...string) *dex {
	t.Helper()
	d := &dex{credentials: newCredentials(t), t: t, line: newLine(t), dir: t.TempDir()}
	d.url = "https://" + d.line.at
	d.g = behind(t, "dex", 0, d.url+"/dex", d.credentials, lines...)
	page := harness.Blocks(t, "yaml", "providers", "dex.md")
	for _, i := range blocks {
		d.config += page[i]
	}
	d.config = strings.NewReplacer("https://dex.example.com", d.url, "https://app.example.com", d.g.URL).Replace(d.config)
	d.config += fmt.Sprintf("web: { https: %q, tlsCert: %q, tlsKey: %q }\n%s\n", d.line.to, d.cert, d.key, more)
	if strings.Contains(more, "expiry:") { // refreshes do not end with the storages that have one connection alone
		d.config += "storage: { type: postgres, config: { host: 127.0.0.1, port: " + harness.Postgres(t, "dex") +
			", user: dex, database: postgres, ssl: { mode: disable } } }\n"
	} else {
		d.config += "storage: { type: memory }\n"
	}
	d.start("ada: [staff]", "grace: [staff, admins]")
	return d
}

// start starts Dex with people, each a name with groups.
func (d *dex) start(people ...string) {
	d.t.Helper()
	text := d.config + "enablePasswordDB: true\nstaticPasswords:\n"
	for _, person := range people {
		name, groups, _ := strings.Cut(person, ": ")
		text += "  - { email: " + name + "@example.com, preferredUsername: " + name + ", username: " + name + ", userID: " + name +
			"-at-dex, hash: \"" + dexHash + "\", groups: " + groups + " }\n"
	}
	file := filepath.Join(d.dir, "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	env := []string{"GATEHOUSE_SECRET=" + clientSecret, "SSL_CERT_FILE=" + d.cert}
	if strings.Contains(d.config, "sessions:") {
		env = append(env, "DEX_SESSIONS_ENABLED=true")
	}
	d.stop = (&harness.Program{
		Home: d.dir, Ready: d.url + "/dex/.well-known/openid-configuration", Client: d.client,
		Env:     env,
		Command: []string{installed(d.t, "dex-*"), "serve", file},
	}).Launch(d.t)
}

// visit opens a browser in which somebody signs in for a page of the app.
func (d *dex) visit(name, path string) visit {
	d.t.Helper()
	v := newVisit(d.t, d.g, d.url)
	v.begins(path)
	d.enter(v, name)
	return v
}

// enter signs in on Dex's pages.
func (d *dex) enter(v visit, name string) {
	d.t.Helper()
	if !strings.HasPrefix(v.URL(), d.url) {
		d.t.Fatalf("not at Dex but at %s:\n%s", v.URL(), v.Text())
	}
	v.Find("textbox", "Email Address").Fill(name + "@example.com")
	v.Find("textbox", "Password").Fill(dexPassword)
	v.Find("button", "Login").Follow()
	if v.Has("button", "Grant Access") {
		v.Find("button", "Grant Access").Follow()
	}
}

func dexInAndOut(t *testing.T) {
	d := startDex(t, []int{0}, "")
	checks(t, d.g, d.url+"/dex")
	v := d.visit("ada", "/wanted?x=1")
	v.sees("/wanted?x=1", "as ada (staff) <ada@example.com> user.")
	session := v.session()
	d.line.cut()
	if !strings.Contains(session(), "as ada") {
		t.Error("a session ends when Dex goes down")
	}
	d.line.mend()
	v.Go(d.g.URL + "/_auth/logout")
	v.Find("button", "Sign out").Follow()
	endsWithin(t, session, 0)
}

func dexSessions(t *testing.T) {
	d := startDex(t, []int{1}, "")
	v := d.visit("ada", "/wanted")
	v.sees("/wanted", "as ada (staff)")
	session := v.session()
	v.Go(d.url + "/dex/logout")
	v.Find("button", "Log Out").Follow()
	endsWithin(t, session, time.Second)
	v.begins("/wanted")
	d.enter(v, "ada")
	v.sees("/wanted", "as ada (staff)")
	session = v.session()
	v.signOutThere("Dex")
	if !strings.HasPrefix(v.URL(), d.g.URL+"/_auth/logged-out") {
		t.Errorf("Dex sent the browser to %s:\n%s", v.URL(), v.Text())
	}
	endsWithin(t, session, 0)
}

func dexES256(t *testing.T) {
	d := startDex(t, []int{0}, "signer: { type: local, config: { keysRotationPeriod: 6h, algorithm: ES256 } }")
	d.visit("grace", "/wanted").sees("/wanted", "as grace (admins,staff) <grace@example.com>")
	if !strings.Contains(d.g.Log(), "the userinfo endpoint rejects the access token; the ID token is enough") {
		t.Error("userinfo was called in vain, and the log does not say so")
	}
}

func dexRotation(t *testing.T) {
	d := startDex(t, []int{0}, "signer: { type: local, config: { keysRotationPeriod: 20s } }\nexpiry: { idTokens: 1m }")
	session := d.visit("ada", "/wanted").session()
	first := d.keys()
	became(t, d.keys, time.Minute, "another key", func(keys string) bool { return keys != first })
	d.visit("grace", "/wanted").sees("/wanted", "as grace")
	// With the refresh comes a token that another key has signed.
	for deadline := time.Now().Add(refreshed); time.Now().Before(deadline); {
		if !strings.Contains(session(), "as ada") {
			t.Fatal("a rotation ends a session")
		}
		time.Sleep(time.Second) // waits: a refresh is due after a minute
	}
}

// keys returns what Dex publishes as its keys.
func (d *dex) keys() string {
	d.t.Helper()
	body, err := get(d.client, d.url+"/dex/keys")
	if err != nil {
		d.t.Fatal(err)
	}
	return body
}

func dexFollows(t *testing.T) {
	d := startDex(t, []int{0}, "expiry: { idTokens: 1m }")
	first := d.visit("ada", "/wanted").session()
	second := d.visit("ada", "/wanted").session()
	d.stop()
	d.start("ada: [staff, night]")
	became(t, second, refreshed, "another group", func(body string) bool { return strings.Contains(body, "(night,staff)") })
	endsWithin(t, first, refreshed)
}

func dexGone(t *testing.T) {
	d := startDex(t, []int{0}, "expiry: { idTokens: 1m }", "refresh_grace 1m")
	session := d.visit("grace", "/wanted").session()
	d.stop()
	d.start("ada: [staff]")
	endsWithin(t, session, refreshed+75*time.Second)
}
