//go:build providers

package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHydra(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"a person signs in and out here and there", hydraInAndOut},
		{"a session that ends there ends here within a second", hydraEnds},
		{"a confirmation asks again", hydraConfirmation},
		{"keys are rotated while people are signed in", hydraRotation},
		{"who is revoked is out", hydraFollows},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

func hydraInAndOut(t *testing.T) {
	h := startHydra(t)
	checks(t, h.g, h.url)
	v := h.visit("ada", "/wanted?x=1")
	v.sees("/wanted?x=1", "as ada (staff) <ada@example.com> user.")
	session := v.session()
	h.line.cut()
	if !strings.Contains(session(), "as ada") {
		t.Error("a session ends when Hydra goes down")
	}
	h.line.mend()
	v.signOutThere("Hydra")
	if !strings.HasPrefix(v.URL(), h.g.URL+"/_auth/logged-out") {
		t.Errorf("Hydra sent the browser to %s:\n%s", v.URL(), v.Text())
	}
	endsWithin(t, session, 0)
	v.begins("/wanted")
	h.enter(v, "grace")
	v.sees("/wanted", "as grace (admins,staff) <grace@example.com> admin.")
}

func hydraEnds(t *testing.T) {
	h := startHydra(t)
	v := h.visit("ada", "/wanted")
	session := v.session()
	v.Go(h.url + "/oauth2/sessions/logout")
	endsWithin(t, session, time.Second)
	session = h.visit("ada", "/wanted").session()
	h.call(http.MethodDelete, "/oauth2/auth/sessions/login?sid="+h.lastSession(), nil, nil)
	endsWithin(t, session, time.Second)
}

func hydraConfirmation(t *testing.T) {
	h := startHydra(t)
	v := h.visit("ada", "/wanted")
	v.Go(h.g.URL + "/_auth/reauth?rt=/wanted")
	v.Find("link", "Continue with .*").Follow()
	h.enter(v, "ada")
	v.sees("/wanted", "as ada")
}

func hydraRotation(t *testing.T) {
	h := startHydra(t)
	session := h.visit("ada", "/wanted").session()
	h.call(http.MethodPost, "/keys/hydra.openid.id-token", object{"alg": "RS256", "use": "sig", "kid": "the-next"}, nil)
	h.visit("grace", "/wanted").sees("/wanted", "as grace")
	if !strings.Contains(session(), "as ada") {
		t.Error("a rotation ends a session")
	}
}

func hydraFollows(t *testing.T) {
	h := startHydra(t)
	ada, grace := h.visit("ada", "/wanted").session(), h.visit("grace", "/wanted").session()
	h.call(http.MethodDelete, "/oauth2/auth/sessions/consent?all=true&subject=ada", nil, nil)
	endsWithin(t, ada, refreshed)
	if !strings.Contains(grace(), "as grace") {
		t.Error("the end of one person's session ends another's")
	}
}
