//go:build providers

package providers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// object is JSON of Keycloak's admin API.
type object = map[string]any

// keycloak is a running server. It takes much time to start, so that all tests use one, each with a realm of its own.
type keycloak struct {
	credentials
	url     string // for browsers and gates
	line    *line
	token   string
	renewed time.Time
}

const keycloakAdmin = "a password of the tests"

func startKeycloak(t *testing.T) *keycloak {
	t.Helper()
	dir := installed(t, "keycloak-*")
	k := &keycloak{credentials: newCredentials(t), line: newLine(t)}
	k.url = "https://" + k.line.at
	_, port, _ := strings.Cut(k.line.to, ":")
	(&harness.Program{
		Home: t.TempDir(), Ready: k.url + "/realms/master/.well-known/openid-configuration", Client: k.client,
		Env: []string{
			"JAVA_OPTS=-Xms128m -Xmx512m -XX:TieredStopAtLevel=1", "KC_BOOTSTRAP_ADMIN_USERNAME=admin",
			"KC_BOOTSTRAP_ADMIN_PASSWORD=" + keycloakAdmin,
		},
		Command: []string{
			filepath.Join(dir, "bin", "kc.sh"), "start", "--optimized", "--cache=local", "--http-host=127.0.0.1", "--https-port=" + port,
			"--hostname=" + k.url, "--https-certificate-file=" + k.cert, "--https-certificate-key-file=" + k.key,
			"--truststore-paths=" + k.cert,
		},
	}).Launch(t)
	return k
}

// call calls the admin API at a path below /admin/realms and decodes the response into out, unless that is nil.
func (k *keycloak) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if time.Since(k.renewed) > 30*time.Second {
		var granted struct {
			Token string `json:"access_token"`
		}
		k.send(t, http.MethodPost, k.url+"/realms/master/protocol/openid-connect/token", "application/x-www-form-urlencoded",
			strings.NewReader(url.Values{
				"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {keycloakAdmin},
			}.Encode()), &granted)
		k.token, k.renewed = granted.Token, time.Now()
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	k.send(t, method, k.url+"/admin/realms"+path, "application/json", bytes.NewReader(body), out)
}

func (k *keycloak) send(t *testing.T, method, address, kind string, body io.Reader, out any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	if strings.Contains(address, "/admin/") {
		r.Header.Set("Authorization", "Bearer "+k.token)
	}
	res, err := k.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %d\n%s", method, address, res.StatusCode, read)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(read, out)
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, address, err, read)
	}
}

// realm is a realm with the people grace, who administers, and ada, both in the group staff.
type realm struct {
	*keycloak
	t    *testing.T
	name string
}

func (k *keycloak) realm(t *testing.T, name string, more object) *realm {
	t.Helper()
	person := func(name, first, last string, groups ...string) object {
		return object{
			"username": name, "enabled": true, "firstName": first, "lastName": last, "email": name + "@example.com",
			"emailVerified": true, "groups": groups,
			"credentials": []object{{"type": "password", "value": password, "temporary": false}},
		}
	}
	representation := object{
		"realm": name, "enabled": true, "accessTokenLifespan": 60,
		"groups": []object{{"name": "gatehouse-admins"}, {"name": "staff"}},
	}
	for member, value := range more {
		representation[member] = value
	}
	k.call(t, http.MethodPost, "", representation, nil)
	// One by one: what is imported with the realm has no default roles.
	k.call(t, http.MethodPost, "/"+name+"/users", person("grace", "Grace", "Hopper", "/gatehouse-admins", "/staff"), nil)
	k.call(t, http.MethodPost, "/"+name+"/users", person("ada", "Ada", "Lovelace", "/staff"), nil)
	return &realm{k, t, name}
}

func (r *realm) issuer() string { return r.url + "/realms/" + r.name }

// behind runs a gate with a block of keycloak.md, and registers it as that page says.
func (r *realm) behind(block int, more ...string) *gate.Gate {
	r.t.Helper()
	g := behind(r.t, "keycloak", block, r.issuer(), r.credentials, more...)
	r.call(r.t, http.MethodPost, "/"+r.name+"/clients", object{
		"clientId": "gatehouse", "protocol": "openid-connect", "publicClient": false, "secret": clientSecret,
		"standardFlowEnabled": true, "implicitFlowEnabled": false, "directAccessGrantsEnabled": false,
		"serviceAccountsEnabled": false, "frontchannelLogout": false,
		"redirectUris": []string{address(r.t, "keycloak", "/callback", g)},
		"attributes": object{
			"pkce.code.challenge.method":          "S256",
			"post.logout.redirect.uris":           address(r.t, "keycloak", "/logged-out", g),
			"backchannel.logout.url":              address(r.t, "keycloak", "/backchannel-logout", g),
			"backchannel.logout.session.required": "true",
		},
		"protocolMappers": []object{{
			"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
			"config": object{
				"claim.name": "groups", "full.path": "false", "userinfo.token.claim": "true",
			},
		}},
	}, nil)
	return g
}

// with changes a member of what is at a path of the realm.
func (r *realm) with(path string, change func(object)) {
	r.t.Helper()
	found := object{}
	r.call(r.t, http.MethodGet, "/"+r.name+path, nil, &found)
	change(found)
	r.call(r.t, http.MethodPut, "/"+r.name+path, found, nil)
}

// id returns the id of the first that is found at a path of the realm.
func (r *realm) id(path string) string {
	r.t.Helper()
	var found []struct{ ID string }
	r.call(r.t, http.MethodGet, "/"+r.name+path, nil, &found)
	if len(found) == 0 {
		r.t.Fatalf("there is nothing at %s", path)
	}
	return found[0].ID
}

func (r *realm) user(name string) string { return "/users/" + r.id("/users?exact=true&username="+name) }

func (r *realm) clientPath() string { return "/clients/" + r.id("/clients?clientId=gatehouse") }

// sessions returns the ids of a person's sessions there.
func (r *realm) sessions(name string) []string {
	r.t.Helper()
	var found []struct{ ID string }
	r.call(r.t, http.MethodGet, "/"+r.name+r.user(name)+"/sessions", nil, &found)
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	return ids
}

// visit opens a browser in which somebody signs in for a page of the app.
func (r *realm) visit(g *gate.Gate, name, path string) visit {
	r.t.Helper()
	v := newVisit(r.t, g, r.url)
	v.begins(path)
	r.enter(v, name)
	return v
}

// enter signs in on Keycloak's page.
func (r *realm) enter(v visit, name string) {
	r.t.Helper()
	if !strings.HasPrefix(v.URL(), r.issuer()) {
		r.t.Fatalf("not at Keycloak but at %s:\n%s", v.URL(), v.Text())
	}
	v.Find("textbox", "Username or email").Fill(name)
	v.Find("textbox", "Password").Fill(password)
	v.Find("button", "Sign In").Follow()
}
