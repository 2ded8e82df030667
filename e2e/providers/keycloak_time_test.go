//go:build providers

package providers

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func keycloakFollows(t *testing.T, k *keycloak) {
	r := k.realm(t, "follows", nil)
	g := r.behind(0)
	grace, ada := r.visit(g, "grace", "/wanted").session(), r.visit(g, "ada", "/wanted").session()
	admins := r.id("/groups?search=gatehouse-admins")
	r.call(t, http.MethodDelete, "/"+r.name+r.user("grace")+"/groups/"+admins, nil, nil)
	r.with(r.user("ada"), func(user object) { user["enabled"] = false })
	if !strings.Contains(ada(), "as ada") {
		t.Error("a disabled person was out before the access token's life was over")
	}
	became(t, grace, refreshed, "the loss of a group", func(body string) bool {
		return strings.Contains(body, "as grace (staff)") && strings.Contains(body, "user.")
	})
	endsWithin(t, ada, refreshed)
}

func keycloakLogoutAll(t *testing.T, k *keycloak) {
	r := k.realm(t, "logout-all", nil)
	session := r.visit(r.behind(0), "ada", "/wanted").session()
	r.call(t, http.MethodPost, "/"+r.name+"/logout-all", nil, nil)
	endsWithin(t, session, refreshed)
}

func keycloakOffline(t *testing.T, k *keycloak) {
	r := k.realm(t, "offline", nil)
	g := r.behind(0, "scopes openid profile email offline_access")
	v := r.visit(g, "ada", "/wanted")
	v.sees("/wanted", "as ada")
	if offline := r.offline("ada"); offline != 1 {
		t.Errorf("there are %d offline sessions", offline)
	}
	v.Go(g.URL + "/_auth/logout")
	v.Find("button", "Sign out").Follow()
	for deadline := time.Now().Add(10 * time.Second); r.offline("ada") != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the offline session outlives the sign-out here")
		}
		time.Sleep(100 * time.Millisecond) // waits: the pause of a poll that has a deadline
	}
}

// offline returns how many offline sessions somebody has.
func (r *realm) offline(name string) int {
	r.t.Helper()
	client := strings.TrimPrefix(r.clientPath(), "/clients/")
	var found []object
	r.call(r.t, http.MethodGet, "/"+r.name+r.user(name)+"/offline-sessions/"+client, nil, &found)
	return len(found)
}

func keycloakRotation(t *testing.T, k *keycloak) {
	r := k.realm(t, "rotation", nil)
	g := r.behind(0)
	one, other := r.visit(g, "ada", "/wanted").session(), r.visit(g, "grace", "/wanted").session()
	old := r.id("/components?name=rsa-generated")
	r.call(t, http.MethodPost, "/"+r.name+"/components", object{
		"name": "the next", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
		"config": object{"priority": []string{"500"}, "enabled": []string{"true"}, "active": []string{"true"}},
	}, nil)
	// While the old key is known there, and when it is not any more.
	r.call(t, http.MethodPost, "/"+r.name+r.user("ada")+"/logout", nil, nil)
	endsWithin(t, one, time.Second)
	r.call(t, http.MethodDelete, "/"+r.name+"/components/"+old, nil, nil)
	one = r.visit(g, "ada", "/wanted").session()
	r.call(t, http.MethodPost, "/"+r.name+r.user("grace")+"/logout", nil, nil)
	endsWithin(t, other, time.Second)
	r.call(t, http.MethodPost, "/"+r.name+r.user("ada")+"/logout", nil, nil)
	endsWithin(t, one, time.Second)
}

func keycloakDown(t *testing.T, k *keycloak) {
	r := k.realm(t, "down", nil)
	g := r.behind(0)
	session := r.visit(g, "ada", "/wanted").session()
	k.line.cut()
	up := sync.OnceFunc(k.line.mend)
	defer up()
	if !strings.Contains(session(), "as ada") {
		t.Error("a session ends when Keycloak goes down")
	}
	checks(t, g, "the discovery document cannot be fetched")
	if err := g.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(session(), "as ada") {
		t.Error("a session ends when the gate starts while Keycloak is down")
	}
	v := newVisit(t, g, r.url)
	v.begins("/wanted")
	if !strings.HasPrefix(v.URL(), g.URL) || !strings.Contains(v.Text(), "can't be reached") {
		t.Errorf("at %s:\n%s", v.URL(), v.Text())
	}
	up()
	checks(t, g, r.issuer())
	start := func() string { // the gate leaves a provider alone for some seconds after it could not be reached
		a, err := g.Do(g.Client(), "/_auth/oidc/keycloak/start?rt=%2Fwanted", nil)
		if err != nil {
			t.Fatal(err)
		}
		return a.Header.Get("Location")
	}
	became(t, start, time.Minute, "the way to Keycloak", func(to string) bool { return strings.HasPrefix(to, r.issuer()) })
	session = r.visit(g, "grace", "/wanted").session()
	r.call(t, http.MethodPost, "/"+r.name+r.user("grace")+"/logout", nil, nil)
	endsWithin(t, session, time.Second)
}
