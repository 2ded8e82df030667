package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/store"
)

// A password, a session's token or a link's is in no page, no address, no log line and no audit row.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	w := newWorld(t, func(c *config) {
		c.Log = zap.New(core)
		c.Login.Log, c.Accounts.Log = c.Log, c.Log
	})
	const wrong, fresh = "canary-wrong-guess-1", "canary and a fresh one"
	in := w.invited("grace")
	b := w.browser()
	var seen []answer
	see := func(a answer) { seen = append(seen, a) }
	see(in.get)
	see(in.b.get("/welcome"))
	see(in.b.post("/welcome", "password", "canary"))
	see(in.b.post("/welcome", "password", fresh))
	tokens := []string{in.token, in.b.token()}
	see(b.post("/login", "username", "ada", "password", wrong))
	see(b.post("/login", "username", wrong, "password", wrong)) // a password typed into the wrong field
	see(b.post("/login", "username", "ada", "password", adaPass))
	tokens = append(tokens, b.token())
	for _, p := range []string{"", "/profile", "/sessions", "/activity", "/password"} {
		see(b.get("/account" + p))
	}
	see(b.post("/account/password", "current_password", wrong, "new_password", fresh))
	see(b.post("/account/password", "current_password", adaPass, "new_password", fresh))
	tokens = append(tokens, b.token())
	see(b.get("/api/v1/session"))
	see(b.get("/api/v1/me/sessions"))
	see(b.post("/logout"))

	secrets := []string{wrong, fresh, adaPass, "$argon2id$"}
	for _, token := range tokens {
		if len(token) < 43 {
			t.Fatalf("token %q", token)
		}
		secrets = append(secrets, token, store.HashToken(token).String())
	}
	events, err := w.Store.Events(t.Context(), store.EventQuery{Limit: 1000})
	if err != nil || len(events.Items) < 8 {
		t.Fatalf("%d events, %v", len(events.Items), err)
	}
	var text strings.Builder
	for _, e := range logs.All() {
		line, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}).EncodeEntry(e.Entry, e.Context)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(line.String())
	}
	if logs.Len() < 2 {
		t.Fatalf("only %d log lines", logs.Len())
	}
	for _, e := range events.Items {
		text.WriteString(e.Actor + e.Target + e.UserAgent)
		for k, v := range e.Details {
			text.WriteString(k + v)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(text.String(), secret) {
			t.Errorf("%q is in the log or the audit", secret)
		}
		for i, a := range seen {
			if strings.Contains(a.location(), url.QueryEscape(secret)) || strings.Contains(a.location(), secret) {
				t.Errorf("answer %d: %q is in %s", i, secret, a.location())
			}
			typed := secret == wrong && strings.Contains(a.body, `value="`+wrong+`"`) // what was typed as a name stays in its field
			if strings.Contains(a.body, secret) && !typed {
				t.Errorf("answer %d: %q is in the page", i, secret)
			}
		}
	}
}

// With a cookie domain the session is shared by its hosts; everything else of ours stays with one.
func TestCookieDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config) { c.CookieDomain = "example.test" })
	b := w.browser()
	a := b.post("/login", "username", "ada", "password", adaPass)
	names := map[string]string{}
	for _, c := range a.Cookies() {
		names[c.Name] = c.Domain
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("%s", c.Raw)
		}
	}
	if len(names) != 2 || names["__Secure-gatehouse"] != "example.test" || names["__Host-gatehouse-device"] != "" {
		t.Errorf("%v", names)
	}
	for _, c := range b.post("/logout").Cookies() {
		if c.Name == "__Secure-gatehouse" && c.MaxAge >= 0 {
			t.Errorf("the cookie stays: %s", c.Raw)
		}
	}
	if _, ok := b.cookies["__Secure-gatehouse"]; ok {
		t.Error("the cookie stays")
	}
}

// Malformed, foreign and doubled cookies are nobody's, and never an error.
func TestOddCookiesAreAnonymous(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, root := w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	for name, line := range map[string]string{
		"empty": "__Host-gatehouse=", "short": "__Host-gatehouse=abc", "long": "__Host-gatehouse=" + strings.Repeat("A", 8000), "binary": "__Host-gatehouse=\x01\x02\xff",
		"unknown": "__Host-gatehouse=" + store.NewToken(), "other prefix": "gatehouse=" + ada.token(), "quoted": `__Host-gatehouse="` + ada.token() + `"`, "cut": "__Host-gatehouse=" + ada.token()[:42],
		"two people's": "__Host-gatehouse=" + ada.token() + "; __Host-gatehouse=" + root.token(), "no name": "=" + ada.token(), "junk": ";;;=;,",
		"hash": "__Host-gatehouse=" + store.HashToken(ada.token()[:43]).String(), "case": "__host-gatehouse=" + ada.token(),
	} {
		send := func(path string) answer {
			r := request("GET", path, "", "")
			r.Header["Cookie"] = []string{line}
			return w.browser().send(r)
		}
		if a := send("/api/v1/session"); a.StatusCode != 401 {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
		if a := send("/account"); a.StatusCode != 303 {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
		if a := send("/login"); a.StatusCode != 200 {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
	}
	if !ada.signedIn() {
		t.Error("ada was signed out")
	}
}
