package caddyauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// What the Caddyfile refuses about a gate is refused in JSON.
func TestGatesInJSONAreRefusedAsInCaddyfiles(t *testing.T) {
	rules := func(lines ...string) *caddyauth.Gate {
		g := &caddyauth.Gate{}
		for _, l := range lines {
			field, values, _ := strings.Cut(l, " ")
			g.Require = append(g.Require, caddyauth.Rule{Field: policy.Field(field), Values: strings.Fields(values)})
		}
		return g
	}
	header := func(name string) *caddyauth.Gate {
		return &caddyauth.Gate{Headers: []caddyauth.HeaderConfig{{Name: name, Value: "user"}}}
	}
	signed := func(a caddyauth.AssertionConfig) *caddyauth.Gate { return &caddyauth.Gate{Assertion: &a} }
	for _, c := range []struct {
		want string
		gate *caddyauth.Gate
	}{
		{`public: "/x" is given twice`, &caddyauth.Gate{Public: []string{"/x", "/x"}}},
		{`optional: "/x/*" is given twice`, &caddyauth.Gate{Optional: []string{"/x/*", "/y", "/x/*"}}},
		{`api: "/x" is given twice`, &caddyauth.Gate{API: []string{"/x", "/x"}}},
		{`both public and optional`, &caddyauth.Gate{Public: []string{"/x"}, Optional: []string{"/x"}}},
		{`public: path "/{x}": placeholders`, &caddyauth.Gate{Public: []string{"/{x}"}}},
		{`optional: path "/{x": placeholders`, &caddyauth.Gate{Optional: []string{"/{x"}}},
		{`api: path "/x}": placeholders`, &caddyauth.Gate{API: []string{"/x}"}}},
		{`placeholders are not replaced`, rules("group {env.G}")},
		{`require group: "a" is given twice`, rules("group a b a")},
		{`require user: "ada" is given twice`, rules("user Ada ada")},
		{`is given twice`, rules("role admin user", "role user admin")},
		{`nobody can satisfy all`, rules("role admin", "role user")},
		{`nobody can satisfy all`, rules("user a b", "user b c", "user c a")},
		{`nobody can satisfy all`, rules("email a@x.test", "email b@x.test")},
		{`nobody can satisfy all`, rules("domain x.test", "domain y.test")},
		{`nobody can satisfy all`, rules("provider local", "provider a")},
		{`nobody can satisfy both`, rules("email a@x.test b@x.test", "group g", "domain y.test")},
		{`header Authorization: programs send`, header("authorization")},
		{`header Via: it says how`, header("VIA")},
		{`header Sec-Websocket-Key: browsers`, header("Sec-WebSocket-Key")},
		{`header X-Real-Ip: it tells`, header("X-Real-IP")},
		{`assertion Cookie: it means something`, signed(caddyauth.AssertionConfig{Header: "cookie"})},
		{`use letters, digits`, signed(caddyauth.AssertionConfig{Header: strings.Repeat("x", 65)})},
		{`a plain value is sent`, signed(caddyauth.AssertionConfig{Header: "remote-groups"})},
		{`use 10s to 1h`, signed(caddyauth.AssertionConfig{Lifetime: -1})},
		{`use 10s to 1h`, signed(caddyauth.AssertionConfig{Lifetime: caddy.Duration(time.Hour + 1)})},
		{`there is no claim "azp"`, signed(caddyauth.AssertionConfig{Claims: []string{"azp"}})},
		{`characters that nobody sees`, signed(caddyauth.AssertionConfig{Audience: "a\u202eb"})},
		{`it is too long`, signed(caddyauth.AssertionConfig{Audience: strings.Repeat("x", 255)})},
	} {
		if err := c.gate.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.gate, err, c.want)
		}
	}
	for _, good := range []*caddyauth.Gate{
		{},
		{Public: []string{"/x", "/x/*", "/%7Bx%7D"}, Optional: []string{"/x/y"}, API: []string{"/x"}},
		rules("group a", "group b", "group a b"), rules("role admin user", "role user"), rules("email a@X.test", "domain x.TEST"),
		rules("user a b", "user B c"), header("X-Forwarded-User"), header("X-WebAuth-User"), header("Remote-User"),
		signed(caddyauth.AssertionConfig{}), signed(caddyauth.AssertionConfig{Header: "x-jwt-assertion", Lifetime: caddy.Duration(time.Hour), Audience: "Büro 1, urn:x"}),
	} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

// The server runs the validation of a gate, so that `caddy validate`, a start and a reload agree.
func TestTheServerValidatesGates(t *testing.T) {
	setenv(t, "ADMIN_PASSWORD", adminPass)
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	err := caddy.Validate(&caddy.Config{AppsRaw: caddy.ModuleMap{"http": []byte(`{"servers":{"a":{"listen":["127.0.0.1:0"],"routes":[{"handle":[
		{"handler":"gatehouse","public":["/x","/x"]}]}]}}}`)}})
	if err == nil || !strings.Contains(err.Error(), `public: "/x" is given twice`) {
		t.Errorf("got %v", err)
	}
}
