package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/store"
)

const tokenKeys = "created_at expires_at hint hosts id kind last_used_at last_used_ip methods name paths user"

// newTokenWorld returns a world with tokens, an administrator "ada", a person "tom" and a service account "ci".
func newTokenWorld(t *testing.T, limits account.TokenLimits) (w *world, ada, tom *browser, service store.User) {
	t.Helper()
	w = newWorld(t)
	w.Accounts.Tokens = &limits
	w.Add("ada", store.RoleAdmin)
	w.Add("tom", store.RoleUser)
	return w, w.SignIn("ada"), w.SignIn("tom"), w.addService("ci")
}

// addService creates an active service account.
func (w *world) addService(username string) store.User {
	w.T.Helper()
	return w.Create(account.NewUser{Kind: store.KindService, Username: username, Active: true})
}

// issued is a new token as it travels.
type issued struct {
	ID, Name, User, Kind, Methods, Token, Hint string
	Hosts, Paths                               []string
	CreatedAt                                  time.Time  `json:"created_at"`
	ExpiresAt                                  *time.Time `json:"expires_at"`
	LastUsedAt                                 *time.Time `json:"last_used_at"`
	LastUsedIP                                 string     `json:"last_used_ip"`
}

// make makes a token and returns it.
func makeToken(t *testing.T, b *browser, at, body string) (issued, response) {
	t.Helper()
	a := b.JSON(http.MethodPost, at, body).Want(t, http.StatusCreated)
	var out issued
	a.Decode(t, &out)
	return out, a
}

func TestOwnTokensByAPI(t *testing.T) {
	t.Parallel()
	w, _, tom, _ := newTokenWorld(t, account.DefaultTokenLimits)
	made, a := makeToken(t, tom, "/me/tokens", `{"name":"laptop"}`)
	if keysOf(t, json.RawMessage(a.Body)) != strings.Replace(tokenKeys, "user", "token user", 1) || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("made %s %v", a, a.Header)
	}
	if !credential.Valid(made.Token) || !strings.HasPrefix(made.Token, credential.PersonPrefix) || !strings.HasSuffix(made.Token, made.Hint) {
		t.Errorf("the token is %q, hint %q", made.Token, made.Hint)
	}
	if made.User != "tom" || made.Kind != "person" || made.Methods != "all" || !slices.Equal(made.Hosts, []string{"127.0.0.1"}) ||
		made.Paths == nil || len(made.Paths) != 0 || !made.ExpiresAt.Equal(w.Clock.Now().Add(90*24*time.Hour)) || made.LastUsedAt != nil {
		t.Errorf("made %s", a)
	}
	for body, check := range map[string]func(issued) bool{
		`{"name":"a","expires_in":"36h"}`:                           func(i issued) bool { return i.ExpiresAt.Equal(w.Clock.Now().Add(36 * time.Hour)) },
		`{"name":"b","expires_in":"1d12h"}`:                         func(i issued) bool { return i.ExpiresAt.Equal(w.Clock.Now().Add(36 * time.Hour)) },
		`{"name":"c","expires_in":"2s"}`:                            func(i issued) bool { return i.ExpiresAt.Equal(w.Clock.Now().Add(2 * time.Second)) },
		`{"name":"d","expires_at":"2026-03-02T00:00:00+01:00"}`:     func(i issued) bool { return i.ExpiresAt.Equal(time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)) },
		`{"name":"e","hosts":["APP.test","*.x.test","app.test"]}`:   func(i issued) bool { return slices.Equal(i.Hosts, []string{"app.test", "*.x.test"}) },
		`{"name":"f","hosts":[],"paths":["/a/*"],"methods":"read"}`: func(i issued) bool { return i.Methods == "read" && slices.Equal(i.Paths, []string{"/a/*"}) },
		`{"name":"g","hosts":["*"],"paths":[]}`:                     func(i issued) bool { return slices.Equal(i.Hosts, []string{"*"}) && i.ExpiresAt != nil },
		`{"name":"h","hosts":["[::1]","*.localhost"]}`:              func(i issued) bool { return slices.Equal(i.Hosts, []string{"::1", "*.localhost"}) },
	} {
		if made, a := makeToken(t, tom, "/me/tokens", body); !check(made) {
			t.Errorf("%s: %s", body, a)
		}
	}
	var list List[json.RawMessage]
	tom.JSON(http.MethodGet, "/me/tokens", nil).Want(t, http.StatusOK).Decode(t, &list)
	if len(list.Items) != 9 || keysOf(t, list.Items[0]) != tokenKeys {
		t.Errorf("%d tokens, the first is %s", len(list.Items), list.Items[0])
	}
	tom.JSON(http.MethodDelete, "/me/tokens/"+made.ID, nil).Want(t, http.StatusNoContent)
	for _, id := range []string{made.ID, "x", strings.Repeat("0", 26)} {
		tom.JSON(http.MethodDelete, "/me/tokens/"+id, nil).Want(t, http.StatusNotFound)
		tom.JSON(http.MethodPost, "/me/tokens/"+id+"/rotate", `{}`).Want(t, http.StatusNotFound)
	}
}

// What a new token cannot be is refused by the name of its field, and nothing is made.
func TestFieldsOfTokensAreChecked(t *testing.T) {
	t.Parallel()
	w, ada, tom, ci := newTokenWorld(t, account.DefaultTokenLimits)
	for body, field := range map[string]string{
		`{}`: "name", `{"name":""}`: "name", `{"name":"a\u0007"}`: "name", `{"name":"` + strings.Repeat("x", 101) + `"}`: "name",
		`{"name":"a","expires_in":"1h","expires_at":"2026-03-02T00:00:00Z"}`: "expires_at",
		`{"name":"a","expires_in":"never"}`:                                  "expires_in",
		`{"name":"a","expires_in":""}`:                                       "expires_in", `{"name":"a","expires_in":"0"}`: "expires_in", `{"name":"a","expires_in":"-1h"}`: "expires_in",
		`{"name":"a","expires_in":"367d"}`: "expires_in", `{"name":"a","expires_in":"Never"}`: "expires_in", `{"name":"a","expires_in":"99999999999d"}`: "expires_in",
		`{"name":"a","expires_at":"2026-02-28T00:00:00Z"}`: "expires_at", `{"name":"a","expires_at":"2028-01-01T00:00:00Z"}`: "expires_at",
		`{"name":"a","expires_at":"2026-03-02"}`: "expires_at", `{"name":"a","expires_at":""}`: "expires_at", `{"name":"a","expires_at":"0001-01-01T00:00:00Z"}`: "expires_at",
		`{"name":"a","hosts":["a.test:80"]}`: "hosts", `{"name":"a","hosts":["http://a.test"]}`: "hosts", `{"name":"a","hosts":["**"]}`: "hosts", `{"name":"a","hosts":[""]}`: "hosts",
		`{"name":"a","hosts":["a.*.test"]}`: "hosts", `{"name":"a","paths":["x"]}`: "paths", `{"name":"a","paths":["/a*"]}`: "paths", `{"name":"a","paths":["/a/%2e%2e/*"]}`: "paths",
		`{"name":"a","methods":"write"}`: "methods", `{"name":"a","methods":"READ"}`: "methods", `{"name":"a","user":"ada"}`: "user", `{"name":"a","kind":"service"}`: "kind",
	} {
		for at, b := range map[string]*browser{"/me/tokens": tom, "/users/" + ci.ID + "/tokens": ada} {
			if at != "/me/tokens" && !strings.Contains(body, `"hosts"`) {
				body = strings.Replace(body, `}`, `,"hosts":["a.test"]}`, 1)
				body = strings.Replace(body, `{,`, `{`, 1)
			}
			var p struct{ Errors []struct{ Field string } }
			a := b.JSON(http.MethodPost, at, body).Want(t, http.StatusUnprocessableEntity)
			if a.Decode(t, &p); len(p.Errors) != 1 || p.Errors[0].Field != field {
				t.Errorf("%s %s: %s", at, body, a)
			}
		}
	}
	for _, body := range []string{`{"name":"a"}`, `{"name":"a","hosts":[]}`} {
		if a := ada.JSON(http.MethodPost, "/users/"+ci.ID+"/tokens", body); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, `"hosts"`) {
			t.Errorf("no host: %s", a)
		}
	}
	if page, err := w.Store.Tokens(t.Context(), store.TokenQuery{}); err != nil || len(page.Items) != 0 {
		t.Errorf("%d tokens were made: %v", len(page.Items), err)
	}
}

func TestTokensOfServiceAccountsByAPI(t *testing.T) {
	t.Parallel()
	w, ada, tom, ci := newTokenWorld(t, account.TokenLimits{Expiry: time.Hour, MaxExpiry: 48 * time.Hour, NoExpiry: account.NoExpiryForServices, PerUser: 2})
	at := "/users/" + ci.ID + "/tokens"
	made, a := makeToken(t, ada, at, `{"name":"deploy","hosts":["*"],"expires_in":"never"}`)
	if made.User != "ci" || made.Kind != "service" || made.ExpiresAt != nil || !strings.HasPrefix(made.Token, credential.ServicePrefix) {
		t.Errorf("made %s", a)
	}
	toms, _ := makeToken(t, tom, "/me/tokens", `{"name":"laptop"}`)
	for path, want := range map[string]int{at: 1, "/tokens": 2, "/tokens?user=" + ci.ID: 1, "/me/tokens": 0, "/tokens?limit=1": 1} {
		var list List[Token]
		if ada.JSON(http.MethodGet, path, nil).Want(t, http.StatusOK).Decode(t, &list); len(list.Items) != want {
			t.Errorf("%s: %d tokens", path, len(list.Items))
		}
	}
	next, _ := makeToken(t, ada, "/tokens/"+made.ID+"/rotate", `{"keep":"24h"}`)
	if next.ID == made.ID || next.Token == made.Token || next.ExpiresAt != nil {
		t.Errorf("rotated to %+v", next)
	}
	if a := ada.JSON(http.MethodPost, "/tokens/"+made.ID+"/rotate", `{}`); a.Status != http.StatusConflict {
		t.Errorf("rotated twice: %s", a)
	}
	makeToken(t, ada, at, `{"name":"second","hosts":["*"]}`)
	if a := ada.JSON(http.MethodPost, at, `{"name":"third","hosts":["*"]}`); a.Status != http.StatusConflict || a.Problem() != "token-limit" {
		t.Errorf("one too many: %s", a)
	}
	for _, keep := range []string{`"169h"`, `"-1h"`, `"x"`, `"never"`, `"8d"`} {
		if a := ada.JSON(http.MethodPost, "/tokens/"+next.ID+"/rotate", `{"keep":`+keep+`}`); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("keep %s: %s", keep, a)
		}
	}
	// Administrators see and revoke people's tokens, and make none of them.
	person, err := w.Store.UserByUsername(t.Context(), "tom")
	if err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{"/users/" + person.ID + "/tokens": `{"name":"x","hosts":["*"]}`, "/tokens/" + toms.ID + "/rotate": `{}`} {
		if a := ada.JSON(http.MethodPost, path, body); a.Status != http.StatusForbidden || a.Problem() != "not-service" {
			t.Errorf("%s: %s", path, a)
		}
	}
	ada.JSON(http.MethodDelete, "/tokens/"+toms.ID, nil).Want(t, http.StatusNoContent)
	ada.JSON(http.MethodDelete, "/tokens/"+next.ID, nil).Want(t, http.StatusNoContent)
	ada.JSON(http.MethodDelete, "/tokens/"+made.ID, nil).Want(t, http.StatusNotFound) // with the one that it was rotated to
	for _, e := range w.Events("token.") {
		if e.Outcome == store.Success && (e.Details["token"] == "" || e.Target != "ci" && e.Target != "tom") {
			t.Errorf("the audit log has %+v", e)
		}
	}
}

// Who makes, replaces or revokes a token has signed in a short while ago; other people's tokens are not there.
func TestChangesOfTokensNeedAFreshSignIn(t *testing.T) {
	t.Parallel()
	w, ada, tom, ci := newTokenWorld(t, account.DefaultTokenLimits)
	toms, _ := makeToken(t, tom, "/me/tokens", `{"name":"laptop"}`)
	cis, _ := makeToken(t, ada, "/users/"+ci.ID+"/tokens", `{"name":"deploy","hosts":["*"]}`)
	for _, path := range []string{toms.ID, cis.ID} { // also an administrator's own list has only their own
		ada.JSON(http.MethodDelete, "/me/tokens/"+path, nil).Want(t, http.StatusNotFound)
		ada.JSON(http.MethodPost, "/me/tokens/"+path+"/rotate", `{}`).Want(t, http.StatusNotFound)
	}
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, "/tokens", ""},
		{http.MethodDelete, "/tokens/" + cis.ID, ""},
		{http.MethodPost, "/tokens/" + cis.ID + "/rotate", `{}`},
		{http.MethodGet, "/users/" + ci.ID + "/tokens", ""},
		{http.MethodPost, "/users/" + ci.ID + "/tokens", `{"name":"x","hosts":["*"]}`},
	} {
		if a := tom.JSON(c.method, c.path, c.body); a.Status != http.StatusForbidden || a.Problem() != "role" {
			t.Errorf("tom: %s %s: %s", c.method, c.path, a)
		}
		if a := w.Browser().JSON(c.method, c.path, c.body); a.Status != http.StatusUnauthorized {
			t.Errorf("nobody: %s %s: %s", c.method, c.path, a)
		}
	}
	w.Clock.Advance(account.FreshWindow)
	for _, c := range []struct {
		b                  *browser
		method, path, body string
	}{
		{tom, http.MethodPost, "/me/tokens", `{"name":"x"}`},
		{tom, http.MethodDelete, "/me/tokens/" + toms.ID, ""},
		{tom, http.MethodPost, "/me/tokens/" + toms.ID + "/rotate", `{}`},
		{ada, http.MethodPost, "/users/" + ci.ID + "/tokens", `{"name":"x","hosts":["*"]}`},
		{ada, http.MethodDelete, "/tokens/" + toms.ID, ""},
		{ada, http.MethodPost, "/tokens/" + cis.ID + "/rotate", `{}`},
	} {
		if a := c.b.JSON(c.method, c.path, c.body); a.Status != http.StatusForbidden || a.Problem() != "reauth-required" {
			t.Errorf("%s %s: %s", c.method, c.path, a)
		}
	}
	tom.JSON(http.MethodGet, "/me/tokens", nil).Want(t, http.StatusOK)
}

// usersAway is a store that finds no account.
type usersAway struct{ store.Store }

func (usersAway) User(context.Context, string) (store.User, error) {
	return store.User{}, errors.New("the store is away")
}

// Once a token is made, nothing can fail between its text and whoever asked: nobody else has it.
func TestATokenThatWasMadeIsInTheResponse(t *testing.T) {
	t.Parallel()
	w, ada, tom, ci := newTokenWorld(t, account.DefaultTokenLimits)
	w.Deps.Store = usersAway{w.Store}
	for at, b := range map[string]*browser{"/me/tokens": tom, "/users/" + ci.ID + "/tokens": ada} {
		made, _ := makeToken(t, b, at, `{"name":"x","hosts":["*"]}`)
		all := strings.TrimPrefix(at, "/users/"+ci.ID)
		next, _ := makeToken(t, b, all+"/"+made.ID+"/rotate", `{"keep":"1h"}`)
		if next.User != made.User || next.Kind != made.Kind || (made.User == "ci") != (b == ada) || next.Token == "" || made.Token == "" {
			t.Errorf("%s: %+v, then %+v", at, made, next)
		}
	}
}

// Where the configuration has no tokens, their addresses are not there for those who could use them.
func TestWithoutTokensTheirAddressesAreNotThere(t *testing.T) {
	t.Parallel()
	w, ada, tom, ci := newTokenWorld(t, account.DefaultTokenLimits)
	made, _ := makeToken(t, tom, "/me/tokens", `{"name":"laptop"}`)
	w.Accounts.Tokens = nil
	for _, c := range []struct {
		b                  *browser
		method, path, body string
	}{
		{tom, http.MethodGet, "/me/tokens", ""},
		{tom, http.MethodPost, "/me/tokens", `{"name":"x"}`},
		{tom, http.MethodDelete, "/me/tokens/" + made.ID, ""},
		{tom, http.MethodPost, "/me/tokens/" + made.ID + "/rotate", ""},
		{ada, http.MethodGet, "/tokens", ""},
		{ada, http.MethodDelete, "/tokens/" + made.ID, ""},
		{ada, http.MethodPost, "/tokens/" + made.ID + "/rotate", ""},
		{ada, http.MethodGet, "/users/" + ci.ID + "/tokens", ""},
		{ada, http.MethodPost, "/users/" + ci.ID + "/tokens", `{"name":"x","hosts":["*"]}`},
	} {
		if a := c.b.JSON(c.method, c.path, c.body); a.Status != http.StatusNotFound || a.Problem() != "not-found" {
			t.Errorf("%s %s: %s", c.method, c.path, a)
		}
	}
	tom.JSON(http.MethodGet, "/tokens", nil).Want(t, http.StatusForbidden)
}

// A service account is made, changed and found like others, has no link, and cannot have what only people have.
func TestServiceAccountsByAPI(t *testing.T) {
	t.Parallel()
	w, ada, _, _ := newTokenWorld(t, account.DefaultTokenLimits)
	a := ada.JSON(http.MethodPost, "/users", `{"kind":"service","username":"backup","name":"Backups","groups":["ops"]}`).Want(t, http.StatusCreated)
	var u User
	if a.Decode(t, &u); keysOf(t, json.RawMessage(a.Body)) != userKeys || u.Kind != store.KindService || !u.Active || u.Role != store.RoleUser {
		t.Errorf("made %s", a)
	}
	a = ada.JSON(http.MethodPost, "/users", `{"kind":"person","username":"nina"}`).Want(t, http.StatusCreated)
	if a.Decode(t, &u); u.Kind != store.KindPerson || !strings.Contains(a.Body, `"link"`) {
		t.Errorf("made %s", a)
	}
	for kind, want := range map[string]string{"service": "backup ci", "person": "ada nina tom", "": "ada backup ci nina tom"} {
		var list List[User]
		ada.JSON(http.MethodGet, "/users?kind="+kind, nil).Want(t, http.StatusOK).Decode(t, &list)
		var names []string
		for _, u := range list.Items {
			names = append(names, u.Username)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("kind %q: %s", kind, got)
		}
	}
	ada.JSON(http.MethodGet, "/users?kind=robot", nil).Want(t, http.StatusBadRequest)
	for body, field := range map[string]string{
		`{"kind":"service","username":"x","role":"admin"}`: "role", `{"kind":"service","username":"x","password":"` + otherPass + `"}`: "password",
		`{"kind":"service","username":"x","must_change":true}`: "must_change", `{"kind":"robot","username":"x"}`: "kind",
	} {
		var p struct{ Errors []struct{ Field string } }
		a := ada.JSON(http.MethodPost, "/users", body).Want(t, http.StatusUnprocessableEntity)
		if a.Decode(t, &p); len(p.Errors) != 1 || p.Errors[0].Field != field {
			t.Errorf("%s: %s", body, a)
		}
	}
	if _, err := w.Store.UserByUsername(t.Context(), "x"); err == nil {
		t.Error("one was made")
	}
}

// Whatever is done to a service account works or is refused in words.
func TestNoActionOnAServiceAccountFails(t *testing.T) {
	t.Parallel()
	w, ada, _, ci := newTokenWorld(t, account.DefaultTokenLimits)
	at := "/users/" + ci.ID
	for _, c := range []struct {
		method, path, body string
		status             int
		problem            string
	}{
		{http.MethodGet, at, "", 200, ""},
		{http.MethodPatch, at, `{"name":"CI","groups":["ops"],"email":"ci@example.com","role":"user"}`, 200, ""},
		{http.MethodPatch, at, `{"username":"ci2"}`, 200, ""},
		{http.MethodPatch, at, `{"role":"admin"}`, 422, "invalid"},
		{http.MethodPatch, at, `{"kind":"person"}`, 422, "invalid"},
		{http.MethodPatch, at, `{"active":false}`, 200, ""},
		{http.MethodPatch, at, `{"active":true}`, 200, ""},
		{http.MethodPost, at + "/reset-password", `{}`, 403, "service"},
		{http.MethodPost, at + "/reset-password", `{"identities":true}`, 403, "service"},
		{http.MethodPost, at + "/reset-password", `{"password":"` + otherPass + `"}`, 403, "service"},
		{http.MethodPost, at + "/reset-password", `{"password":"` + otherPass + `","must_change":true}`, 403, "service"},
		{http.MethodPost, at + "/end-sessions", "", 403, "service"},
		{http.MethodPost, at + "/end-sessions", `{"identities":true}`, 403, "service"},
		{http.MethodGet, at + "/identities", "", 200, ""},
		{http.MethodDelete, at + "/identities/" + strings.Repeat("0", 32), "", 403, "service"},
		{http.MethodGet, at + "/tokens", "", 200, ""},
		{http.MethodPost, at + "/tokens", `{"name":"x","hosts":["*"]}`, 201, ""},
		{http.MethodGet, "/sessions?user=" + ci.ID, "", 200, ""},
		{http.MethodGet, "/audit?user=" + ci.ID, "", 200, ""},
		{http.MethodDelete, at, "", 204, ""},
	} {
		name := fmt.Sprint(c.method, " ", c.path, " ", c.body)
		if a := ada.JSON(c.method, c.path, c.body); a.Status != c.status || c.problem != "" && a.Problem() != c.problem {
			t.Errorf("%s: %s", name, a)
		}
	}
	for action, act := range map[string]func(id string) error{
		"unlock": func(id string) error {
			return w.Accounts.Unlock(t.Context(), account.Actor{Kind: account.CommandLine}, id)
		},
		"link": func(id string) error {
			return w.Accounts.CancelLink(t.Context(), account.Actor{Kind: account.CommandLine}, id)
		},
		"require": func(id string) error {
			return w.Accounts.RequirePasswordChange(t.Context(), account.Actor{Kind: account.CommandLine}, id)
		},
	} {
		other := w.addService("svc-" + action)
		if err := act(other.ID); err == nil || !strings.Contains(err.Error(), "service account") {
			t.Errorf("%s: %v", action, err)
		}
	}
}
