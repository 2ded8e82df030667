//go:build providers

package providers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestKeycloak(t *testing.T) {
	k := startKeycloak(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *keycloak)
	}{
		{"a person signs in, and out here and there", keycloakInAndOut},
		{"the roles of a realm are groups", keycloakRoles},
		{"a session that ends there ends here within a second", keycloakEnds},
		{"a front-channel logout ends the session", keycloakFrontchannel},
		{"a confirmation asks for the password again", keycloakConfirmation},
		{"what a client requires to be pushed is pushed with par", keycloakPushed},
		{"a client proves itself with a key that Keycloak reads here", keycloakClientKey},
		{"a lightweight access token needs the claims in the ID token", keycloakLightweight},
		{"people are known by a claim of the realm, and signed out by it", keycloakIdentityKey},
		{"keys are rotated while people are signed in", keycloakRotation},
		{"while it is down people go on, and come again when it is up", keycloakDown},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, k) })
	}
	t.Run("with the refresh", func(t *testing.T) {
		for _, c := range []struct {
			name string
			test func(*testing.T, *keycloak)
		}{
			{"groups and roles follow, and a disabled person is out", keycloakFollows},
			{"sign out all active sessions acts", keycloakLogoutAll},
			{"an offline session outlives a sign-out there, and ends with one here", keycloakOffline},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.test(t, &keycloak{credentials: k.credentials, url: k.url, line: k.line}) // a token of its own
			})
		}
	})
}

func keycloakInAndOut(t *testing.T, k *keycloak) {
	r := k.realm(t, "in-and-out", nil)
	g := r.behind(0)
	checks(t, g, r.issuer())
	v := r.visit(g, "grace", "/wanted?x=1")
	v.sees("/wanted?x=1", "as grace (gatehouse-admins,staff) <grace@example.com> admin.")
	session := v.session()
	v.signOutThere("keycloak")
	if !strings.HasPrefix(v.URL(), g.URL+"/_auth/logged-out") || !strings.Contains(v.Text(), "You are signed out") {
		t.Errorf("Keycloak sent the browser to %s:\n%s", v.URL(), v.Text())
	}
	endsWithin(t, session, 0)
	if left := r.sessions("grace"); len(left) != 0 {
		t.Errorf("there are sessions at Keycloak: %v", left)
	}
	// Whoever is no administrator there is none here, and the browser is asked again.
	v.begins("/wanted")
	r.enter(v, "ada")
	v.sees("/wanted", "as ada (staff) <ada@example.com> user.")
}

func keycloakRoles(t *testing.T, k *keycloak) {
	r := k.realm(t, "roles", object{"roles": object{"realm": []object{{"name": "operators"}}}})
	scope := "/client-scopes/" + r.scope("roles")
	var mappers []object
	r.call(t, http.MethodGet, "/"+r.name+scope+"/protocol-mappers/models", nil, &mappers)
	for _, m := range mappers {
		if m["name"] == "realm roles" {
			m["config"].(object)["userinfo.token.claim"] = "true"
			r.call(t, http.MethodPut, "/"+r.name+scope+"/protocol-mappers/models/"+m["id"].(string), m, nil)
		}
	}
	role := object{}
	r.call(t, http.MethodGet, "/"+r.name+"/roles/operators", nil, &role)
	r.call(t, http.MethodPost, "/"+r.name+r.user("ada")+"/role-mappings/realm", []object{role}, nil)
	v := r.visit(r.behind(1), "ada", "/wanted")
	for _, group := range []string{"operators", "default-roles-roles", "offline_access", "uma_authorization"} {
		v.sees("/wanted", group)
	}
}

// scope returns the id of a client scope.
func (r *realm) scope(name string) string {
	r.t.Helper()
	var found []struct{ ID, Name string }
	r.call(r.t, http.MethodGet, "/"+r.name+"/client-scopes", nil, &found)
	for _, s := range found {
		if s.Name == name {
			return s.ID
		}
	}
	r.t.Fatalf("there is no client scope %s", name)
	return ""
}

func keycloakEnds(t *testing.T, k *keycloak) {
	r := k.realm(t, "ends", nil)
	g := r.behind(0)
	// The person signs out at Keycloak.
	v := r.visit(g, "ada", "/wanted")
	session := v.session()
	v.Go(r.issuer() + "/protocol/openid-connect/logout")
	v.Find("button", "Logout").Follow()
	endsWithin(t, session, time.Second)
	// An administrator signs one session out, and then the person out of all.
	session = r.visit(g, "ada", "/wanted").session()
	r.call(t, http.MethodDelete, "/"+r.name+"/sessions/"+r.sessions("ada")[0], nil, nil)
	endsWithin(t, session, time.Second)
	one, other := r.visit(g, "ada", "/wanted").session(), r.visit(g, "ada", "/wanted").session()
	r.call(t, http.MethodPost, "/"+r.name+r.user("ada")+"/logout", nil, nil)
	endsWithin(t, one, time.Second)
	endsWithin(t, other, time.Second)
}

func keycloakFrontchannel(t *testing.T, k *keycloak) {
	r := k.realm(t, "front", nil)
	g := r.behind(0)
	r.with(r.clientPath(), func(client object) {
		client["frontchannelLogout"] = true
		attributes := client["attributes"].(object)
		delete(attributes, "backchannel.logout.url")
		attributes["frontchannel.logout.url"] = g.URL + "/_auth/oidc/keycloak/frontchannel-logout"
		attributes["frontchannel.logout.session.required"] = "true"
	})
	v := r.visit(g, "ada", "/wanted")
	session := v.session()
	v.Go(r.issuer() + "/protocol/openid-connect/logout")
	v.Find("button", "Logout").Follow()
	endsWithin(t, session, 5*time.Second)
}

func keycloakConfirmation(t *testing.T, k *keycloak) {
	r := k.realm(t, "confirmation", nil)
	v := r.visit(r.behind(0), "grace", "/wanted")
	v.Go(v.g.URL + "/_auth/reauth?rt=/wanted")
	v.Find("link", "Continue with .*").Follow()
	if !strings.HasPrefix(v.URL(), r.issuer()) {
		t.Fatalf("not at Keycloak but at %s:\n%s", v.URL(), v.Text())
	}
	v.Find("textbox", "Password").Fill(password)
	v.Find("button", "Sign In").Follow()
	v.sees("/wanted", "as grace")
}

func keycloakPushed(t *testing.T, k *keycloak) {
	r := k.realm(t, "pushed", nil)
	g := r.behind(0)
	r.with(r.clientPath(), func(client object) {
		client["attributes"].(object)["require.pushed.authorization.requests"] = "true"
	})
	v := newVisit(t, g, r.url)
	v.begins("/wanted")
	if !strings.Contains(v.Text(), "Keycloak didn't complete the sign-in") || !strings.Contains(g.Log(), "write par") {
		t.Errorf("without par at %s:\n%s\n%s", v.URL(), v.Text(), g.Log())
	}
	g = behind(t, "keycloak", 2, r.issuer(), r.credentials)
	r.with(r.clientPath(), func(client object) {
		client["redirectUris"] = []string{address(t, "keycloak", "/callback", g)}
	})
	checks(t, g, r.issuer())
	v = r.visit(g, "ada", "/wanted")
	v.sees("/wanted", "as ada")
	pushed := false
	for _, request := range v.Requests() {
		if u, err := url.Parse(request.URL); err == nil && strings.HasSuffix(u.Path, "/openid-connect/auth") {
			pushed = u.Query().Has("request_uri") && !u.Query().Has("state")
		}
	}
	if !pushed {
		t.Error("the request was not pushed")
	}
}

func keycloakClientKey(t *testing.T, k *keycloak) {
	r := k.realm(t, "key", nil)
	g := r.behind(0, "auth_method private_key_jwt", "client_key "+r.key+" gate")
	r.with(r.clientPath(), func(client object) {
		client["clientAuthenticatorType"] = "client-jwt"
		attributes := client["attributes"].(object)
		attributes["use.jwks.url"] = "true"
		attributes["jwks.url"] = g.URL + "/_auth/oidc/keycloak/jwks.json"
		attributes["token.endpoint.auth.signing.alg"] = "ES256"
	})
	r.visit(g, "ada", "/wanted").sees("/wanted", "as ada")
}

func keycloakLightweight(t *testing.T, k *keycloak) {
	r := k.realm(t, "lightweight", nil)
	g := r.behind(0)
	r.with(r.clientPath(), func(client object) {
		client["attributes"].(object)["client.use.lightweight.access.token.enabled"] = "true"
	})
	v := r.visit(g, "ada", "/wanted")
	if !strings.Contains(v.Text(), "Sign-in with Keycloak is misconfigured") ||
		!strings.Contains(g.Log(), "the ID token has no groups, which the configuration needs") {
		t.Errorf("without the groups at %s:\n%s\n%s", v.URL(), v.Text(), g.Log())
	}
	mapper := r.clientPath() + "/protocol-mappers/models"
	r.with(mapper+"/"+r.id(mapper), func(m object) { m["config"].(object)["id.token.claim"] = "true" })
	r.visit(g, "grace", "/wanted").sees("/wanted", "as grace (gatehouse-admins,staff) <grace@example.com> admin.")
	if !strings.Contains(g.Log(), "the ID token is enough") {
		t.Error("the log does not say that userinfo is called in vain")
	}
}

func keycloakIdentityKey(t *testing.T, k *keycloak) {
	r := k.realm(t, "identity", nil)
	g := r.behind(0, "identity_key employee_id")
	r.call(t, http.MethodPost, "/"+r.name+r.clientPath()+"/protocol-mappers/models", object{
		"name": "employee_id", "protocol": "openid-connect", "protocolMapper": "oidc-usermodel-attribute-mapper",
		"config": object{
			"user.attribute": "username", "claim.name": "employee_id", "jsonType.label": "String", "id.token.claim": "true",
		},
	}, nil)
	v := r.visit(g, "ada", "/wanted")
	v.sees("/wanted", "as ada")
	session := v.session()
	out, err := g.Gatehouse(t.Context(), "", "identity", "list", "ada")
	if err != nil || !strings.Contains(out, "claim:employee_id=ada") {
		t.Errorf("ada is known as (%v)\n%s", err, out)
	}
	r.call(t, http.MethodPost, "/"+r.name+r.user("ada")+"/logout", nil, nil)
	endsWithin(t, session, time.Second)
}
