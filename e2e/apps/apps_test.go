//go:build apps

package apps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// A kernel runs over its WebSocket, which ends with the session.
func TestJupyterLab(t *testing.T) {
	home, at := t.TempDir(), harness.Port(t)
	launch(t, home, "http://127.0.0.1:"+at+"/api", nil, installed(t, "jupyterlab", "bin", "jupyter"), "lab", "--no-browser",
		"--ip=127.0.0.1", "--port="+at, "--ServerApp.port_retries=0", "--IdentityProvider.token=",
		"--ServerApp.allow_remote_access=True", "--allow-root", "--ServerApp.root_dir="+home)
	g := behind(t, "jupyterlab", at)
	if _, err := g.Gatehouse(t.Context(), gate.AdminPassword+"\n", "user", "add", "ada", "--group", "data", "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	p := harness.Chromium().Open(t, browser.View{}, strings.TrimPrefix(g.URL, "https://"))
	t.Cleanup(p.Close)
	p.Go(g.URL + "/lab")
	signIn(p, "ada")
	shows(t, p, "Launcher")
	const kernel = `(async () => {
		const xsrf = document.cookie.match(/_xsrf=([^;]+)/)[1];
		const made = await fetch("/api/kernels", {method: "POST", headers: {"X-XSRFToken": xsrf}, body: "{}"});
		const {id} = await made.json();
		const socket = new WebSocket(location.origin.replace("http", "ws") + "/api/kernels/" + id + "/channels?session_id=e2e");
		window.ended = new Promise(done => socket.onclose = () => done(true));
		const said = new Promise(done => socket.onmessage = m => {
			const got = JSON.parse(m.data);
			if (got.msg_type === "stream") done(got.content.text);
		});
		await new Promise((open, failed) => { socket.onopen = open; socket.onerror = failed; });
		socket.send(JSON.stringify({channel: "shell", buffers: [], parent_header: {}, metadata: {},
			header: {msg_id: "1", msg_type: "execute_request", session: "e2e", username: "", version: "5.3", date: new Date().toISOString()},
			content: {code: "print(6 * 7)", silent: false, store_history: false, user_expressions: {}, allow_stdin: false}}));
		return await said;
	})()`
	var said string
	if p.Eval(kernel, &said); strings.TrimSpace(said) != "42" {
		t.Errorf("the kernel says %q", said)
	}
	endsElsewhere(t, g, "ada")
	var ended bool
	p.Eval("window.ended", &ended)
	p.Reload()
	p.Find("heading", "Sign in to .*")
}

// The app knows who looks at it, and is interactive over its WebSocket; after the end it leads to the sign-in page.
func TestStreamlit(t *testing.T) {
	home, at := t.TempDir(), harness.Port(t)
	script := filepath.Join(home, "app.py")
	const app = `import streamlit as st
st.write("Hello,", st.context.headers["Remote-User"])
n = st.number_input("Number", value=20)
if st.button("Double"):
    st.write("It is", n * 2)
`
	if err := os.WriteFile(script, []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, home, "http://127.0.0.1:"+at+"/_stcore/health", nil, installed(t, "streamlit", "bin", "streamlit"), "run", script,
		"--server.address", "127.0.0.1", "--server.port", at, "--server.headless", "true", "--browser.gatherUsageStats", "false")
	g := behind(t, "streamlit", at)
	p := signedIn(t, g, "/")
	shows(t, p, "Hello, admin")
	shows(t, p, "Double")
	p.Find("button", "Double").Click()
	shows(t, p, "It is 40")
	comesBack(t, p, g, "Hello, admin")
}

// Its pages open without a password of its own, and it answers CalDAV for the person who is signed in.
func TestRadicale(t *testing.T) {
	home, at := t.TempDir(), harness.Port(t)
	config := filepath.Join(home, "config")
	text := "[server]\nhosts = 127.0.0.1:" + at + "\n\n[auth]\ntype = http_remote_user\n\n[web]\nprefer_browser_login = True\n\n" +
		"[storage]\nfilesystem_folder = " + home + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, home, "http://127.0.0.1:"+at+"/.web/", nil, installed(t, "radicale", "bin", "radicale"), "--config", config)
	g := behind(t, "radicale", at)
	p := signedIn(t, g, "/.web/")
	var answer string
	p.Eval(`fetch("/", {method: "PROPFIND", headers: {Depth: "0"}, body: '<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>'}).then(async a => a.status + " " + await a.text())`, &answer)
	if !strings.HasPrefix(answer, "207 ") || !strings.Contains(answer, "/admin/") {
		t.Errorf("CalDAV: %s", answer)
	}
	endsElsewhere(t, g, gate.Admin)
	p.Until("the end of the session", func() bool { // a running gate learns of it within a second
		p.Eval(`fetch("/", {method: "PROPFIND"}).then(a => String(a.status))`, &answer)
		return answer == "401"
	})
	p.Eval(`fetch("/", {method: "PROPFIND"}).then(async a => a.status + " " + (await a.json()).login_url)`, &answer)
	if !strings.HasPrefix(answer, "401 ") || !strings.Contains(answer, "/_auth/login") {
		t.Errorf("CalDAV after the end: %s", answer)
	}
}

// Its interface works with its own guard against forged requests, and a permanent redirect of it shows nothing after a
// sign-out.
func TestTransmission(t *testing.T) {
	home, at := t.TempDir(), harness.Port(t)
	settings := `{"rpc-bind-address": "127.0.0.1", "rpc-port": ` + at + `, "rpc-authentication-required": false,
		"rpc-host-whitelist-enabled": true, "rpc-host-whitelist": "transmission.test", "peer-port": 0, "dht-enabled": false,
		"lpd-enabled": false, "port-forwarding-enabled": false}`
	if err := os.WriteFile(filepath.Join(home, "settings.json"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, home, "http://127.0.0.1:"+at+"/transmission/web/", nil, "transmission-daemon", "--foreground", "--config-dir", home)
	g := behind(t, "transmission", at)
	p := signedIn(t, g, "/")
	p.Until("the interface", func() bool { return strings.Contains(p.Title(), "Transmission") })
	var answer string
	p.Eval(`(async () => {
		const ask = id => fetch("/transmission/rpc", {method: "POST", headers: {"X-Transmission-Session-Id": id}, body: '{"method":"session-get"}'});
		const refused = await ask("");
		const a = await ask(refused.headers.get("X-Transmission-Session-Id"));
		return refused.status + " " + a.status + " " + (await a.json()).result;
	})()`, &answer)
	if answer != "409 200 success" {
		t.Errorf("its requests: %s", answer)
	}
	p.Go(g.URL + "/_auth/logout")
	p.Find("button", "Sign out").Follow()
	for _, path := range []string{"/", "/transmission/web/"} {
		if p.Go(g.URL + path); strings.Contains(p.Title(), "Transmission") {
			t.Errorf("after signing out %s shows %s", path, p.Title())
		}
	}
}

// A service worker that answers every page hides neither the end of the session nor the sign-in page for long.
func TestActualBudget(t *testing.T) {
	build := installed(t, "actual", "node_modules", "@actual-app", "web", "build")
	g := behind(t, "actual-budget", "1", "header Cross-Origin-Opener-Policy same-origin", "header Cross-Origin-Embedder-Policy require-corp",
		"root * "+build, "try_files {path} /index.html", "file_server")
	p := signedIn(t, g, "/")
	p.Until("the app", func() bool { return strings.Contains(p.Title(), "Actual") })
	p.Until("its worker", func() bool {
		var controlled bool
		p.Eval("navigator.serviceWorker.getRegistration().then(r => !!(r && r.active))", &controlled)
		return controlled
	})
	p.Reload()
	endsElsewhere(t, g, gate.Admin)
	p.Reload()
	p.Until("the sign-in page", func() bool { return p.Has("heading", "Sign in to .*") })
}
