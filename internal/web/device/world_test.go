package device_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	devicepages "github.com/gatehouse-auth/gatehouse/internal/web/device"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is a site with the device sign-in and a person "tom".
type world struct {
	*webtest.World
	tom store.User
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s := webtest.NewServices(t, "Acme", nil)
	w := &world{World: webtest.New(s, webtest.Config{Config: s.WebConfig()})}
	w.Serve()
	w.Add("ada", store.RoleAdmin)
	w.tom = w.Add("tom", store.RoleUser)
	return w
}

// grant is what a program was told.
type grant struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	Address         string `json:"verification_uri"`
	CompleteAddress string `json:"verification_uri_complete"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int    `json:"interval"`
}

// ask asks for a code.
func (w *world) ask(pairs ...string) grant {
	w.T.Helper()
	form := url.Values{"client_id": {"editor"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	var g grant
	w.Browser().Post("/device/code", form).Want(w.T, http.StatusOK).Decode(w.T, &g)
	return g
}

// poll polls for the token.
func (w *world) poll(g grant, pairs ...string) webtest.Response {
	w.T.Helper()
	form := url.Values{"client_id": {"editor"}, "grant_type": {devicepages.GrantType}, "device_code": {g.DeviceCode}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return w.Browser().Post("/device/token", form)
}

// wantError fails the test unless a response is that error, as programs of OAuth read it.
func wantError(t *testing.T, name string, r webtest.Response, status int, code string) {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil || r.Status != status || body["error"] != code {
		t.Errorf("%s: %s, want %d %s", name, r, status, code)
	}
	checkHeaders(t, name, r)
	for _, c := range body["error_description"] { // RFC 6749, section 5.2
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			t.Errorf("%s: the description has %q: %s", name, c, r.Body)
		}
	}
}

func checkHeaders(t *testing.T, name string, r webtest.Response) {
	t.Helper()
	for header, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache", "Set-Cookie": "",
		"Access-Control-Allow-Origin": "", "X-Frame-Options": "DENY",
	} {
		if got := r.Header.Get(header); got != want {
			t.Errorf("%s: %s is %q", name, header, got)
		}
	}
}

func decide(b *webtest.Browser, code, decision string) webtest.Response {
	return b.Post("/device", url.Values{"user_code": {code}, "decision": {decision}})
}

type token struct {
	Token     string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"`
	User      string `json:"user"`
}

// fetched decodes a successful poll.
func fetched(t *testing.T, r webtest.Response) (out token) {
	t.Helper()
	r.Want(t, http.StatusOK).Decode(t, &out)
	checkHeaders(t, "the token", r)
	return out
}

// tokens returns tom's tokens, newest first.
func (w *world) tokens() []store.TokenRow {
	w.T.Helper()
	page, err := w.Store.Tokens(w.T.Context(), store.TokenQuery{UserID: w.tom.ID})
	if err != nil {
		w.T.Fatal(err)
	}
	return page.Items
}

func (w *world) change(fn func(ctx context.Context, tx store.Tx) error) {
	w.T.Helper()
	ctx := w.T.Context()
	if err := w.Store.Change(ctx, func(tx store.Tx) error { return fn(ctx, tx) }); err != nil {
		w.T.Fatal(err)
	}
}

// wrongCode is a code that nobody was told.
func wrongCode(right grant) string {
	for {
		if code := device.NewCode(); device.FormatCode(code) != right.UserCode {
			return strings.ToLower(code)
		}
	}
}
