//go:build providers

package providers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// hydra is a server with the login and consent pages that each Hydra needs, which ask for a name alone.
type hydra struct {
	credentials
	t     *testing.T
	url   string
	admin string
	line  *line
	g     *gate.Gate
	pages *httptest.Server

	mu       sync.Mutex
	sessions []string
}

func startHydra(t *testing.T) *hydra {
	t.Helper()
	h := &hydra{credentials: newCredentials(t), t: t, line: newLine(t)}
	h.url, h.admin = "https://"+h.line.at, "127.0.0.1:"+harness.Port(t)
	h.g = behind(t, "hydra", 0, h.url, h.credentials)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", h.loginPage)
	mux.HandleFunc("POST /login", h.login)
	mux.HandleFunc("GET /consent", h.consent)
	mux.HandleFunc("GET /logout", h.logout)
	h.pages = httptest.NewTLSServer(mux) // no sign-out leads from https to http
	t.Cleanup(h.pages.Close)
	dir := t.TempDir()
	_, port, _ := strings.Cut(h.line.to, ":")
	_, adminPort, _ := strings.Cut(h.admin, ":")
	config, err := json.Marshal(object{ // which is YAML as well
		"dsn": "memory",
		"serve": object{
			"tls":    object{"enabled": true, "cert": object{"path": h.cert}, "key": object{"path": h.key}},
			"public": object{"host": "127.0.0.1", "port": json.Number(port)},
			"admin":  object{"host": "127.0.0.1", "port": json.Number(adminPort), "tls": object{"enabled": false}},
		},
		"urls": object{
			"self": object{"issuer": h.url}, "login": h.pages.URL + "/login", "consent": h.pages.URL + "/consent",
			"logout": h.pages.URL + "/logout",
		},
		"secrets": object{"system": []string{"a secret of the tests that is long enough"}},
		"ttl":     object{"access_token": "1m"},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "hydra.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	(&harness.Program{
		Home: dir, Ready: h.url + "/.well-known/openid-configuration", Client: h.client,
		Env:     []string{"SSL_CERT_FILE=" + h.cert},
		Command: []string{installed(t, "hydra-*"), "serve", "all", "--sqa-opt-out", "--config", file},
	}).Launch(t)
	h.register()
	return h
}

// register registers the gate with the client of hydra.md.
func (h *hydra) register() {
	h.t.Helper()
	text := harness.Blocks(h.t, "json", "providers", "hydra.md")[0]
	client := object{}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "https://app.example.com", h.g.URL)), &client); err != nil {
		h.t.Fatal(err)
	}
	client["client_secret"] = clientSecret
	h.call(http.MethodPost, "/clients", client, nil)
}

// call calls the admin API.
func (h *hydra) call(method, path string, in, out any) {
	h.t.Helper()
	if err := h.ask(method, path, in, out); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hydra) ask(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, "http://"+h.admin+"/admin"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode >= http.StatusBadRequest:
		return &url.Error{Op: method, URL: path, Err: io.ErrUnexpectedEOF}
	case out != nil:
		return json.Unmarshal(read, out)
	}
	return nil
}

func (h *hydra) loginPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, `<!doctype html><html lang=en><title>Hydra's login</title><link rel=icon href=data:,><form method=post>
<label>Your name <input name=name></label> <button>Enter</button></form>`)
}

// goOn accepts a request at Hydra and sends the browser back there.
func (h *hydra) goOn(w http.ResponseWriter, r *http.Request, path string, answer any) {
	var next struct {
		To string `json:"redirect_to"`
	}
	if err := h.ask(http.MethodPut, "/oauth2/auth/requests/"+path, answer, &next); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, next.To, http.StatusSeeOther)
}

func (h *hydra) login(w http.ResponseWriter, r *http.Request) {
	challenge := r.URL.Query().Get("login_challenge")
	var asked struct {
		Session string `json:"session_id"`
	}
	if err := h.ask(http.MethodGet, "/oauth2/auth/requests/login?login_challenge="+challenge, nil, &asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	h.mu.Lock()
	h.sessions = append(h.sessions, asked.Session)
	h.mu.Unlock()
	h.goOn(w, r, "login/accept?login_challenge="+challenge, object{
		"subject": r.FormValue("name"), "remember": true, "remember_for": 3600,
	})
}

func (h *hydra) consent(w http.ResponseWriter, r *http.Request) {
	challenge := r.URL.Query().Get("consent_challenge")
	var asked struct {
		Subject string
		Scope   []string `json:"requested_scope"`
	}
	if err := h.ask(http.MethodGet, "/oauth2/auth/requests/consent?consent_challenge="+challenge, nil, &asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	groups := []string{"staff"}
	if asked.Subject == "grace" {
		groups = append(groups, "admins")
	}
	h.goOn(w, r, "consent/accept?consent_challenge="+challenge, object{
		"grant_scope": asked.Scope, "remember": true,
		"session": object{"id_token": object{
			"preferred_username": asked.Subject, "email": asked.Subject + "@example.com", "email_verified": true, "groups": groups,
		}},
	})
}

func (h *hydra) logout(w http.ResponseWriter, r *http.Request) {
	h.goOn(w, r, "logout/accept?logout_challenge="+r.URL.Query().Get("logout_challenge"), nil)
}

// lastSession returns the id of the session that began last.
func (h *hydra) lastSession() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[len(h.sessions)-1]
}

// visit opens a browser in which somebody signs in for a page of the app.
func (h *hydra) visit(name, path string) visit {
	h.t.Helper()
	v := newVisit(h.t, h.g, h.url)
	v.begins(path)
	h.enter(v, name)
	return v
}

func (h *hydra) enter(v visit, name string) {
	h.t.Helper()
	if !strings.HasPrefix(v.URL(), h.pages.URL) {
		h.t.Fatalf("not at Hydra's login but at %s:\n%s", v.URL(), v.Text())
	}
	v.Find("textbox", "Your name").Fill(name)
	v.Find("button", "Enter").Follow()
}
