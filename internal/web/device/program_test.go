package device_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	devicepages "github.com/gatehouse-auth/gatehouse/internal/web/device"
	"github.com/gatehouse-auth/gatehouse/store"
)

const deny, approve = "deny", "approve"

// The responses of RFC 8628, from the request for a code to the token.
func TestAProgramGetsItsTokenOnceApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ask("client_id", "editor on a laptop", "hosts", "app.test *.b.test", "paths", "/api/* /x", "methods", "read")
	if !store.ValidToken(g.DeviceCode) || !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(g.UserCode) ||
		g.Address != w.Server.URL+"/_auth/device" || g.CompleteAddress != g.Address+"?user_code="+g.UserCode || g.ExpiresIn != 600 || g.Interval != 5 {
		t.Errorf("the program is told %+v", g)
	}
	poll := func() {
		wantError(t, "pending", w.poll(g, "client_id", "editor on a laptop"), 400, "authorization_pending")
	}
	poll()
	w.Clock.Advance(5 * time.Second)
	poll()
	b := w.SignIn("tom")
	b.Get("/device").Want(t, 200).Shows(t, `name="user_code"`)
	for name, page := range map[string]string{
		"by the link": b.Get("/device?user_code="+g.UserCode).Want(t, 200).Body,
		"typed":       b.Post("/device", url.Values{"user_code": {strings.ToLower(strings.ReplaceAll(g.UserCode, "-", ""))}}).Want(t, 200).Body,
	} {
		for _, text := range []string{g.UserCode, "editor on a laptop", "192.0.2.7", "app.test, *.b.test", "/api/*, /x", "reading only", "12 hours", "Compare the code", `type="checkbox" id="same" required`} {
			if !strings.Contains(page, text) {
				t.Errorf("%s: the page does not show %q:\n%s", name, text, page)
			}
		}
	}
	if n := len(w.tokens()); n != 0 {
		t.Fatalf("looking made %d tokens", n)
	}
	w.Clock.Advance(5 * time.Second)
	poll()
	b.Follow(decide(b, g.UserCode, approve)).Shows(t, "Approved", "editor on a laptop")
	got := fetched(t, w.poll(g, "client_id", "editor on a laptop")) // at once: it is no longer pending
	list := w.tokens()
	if len(list) != 1 {
		t.Fatalf("there are %d tokens", len(list))
	}
	tok := list[0]
	life := tok.ExpiresAt.Sub(tok.CreatedAt)
	if !credential.Valid(got.Token) || tok.Hash != store.HashToken(got.Token) || got.Type != "Bearer" || got.User != "tom" || got.ExpiresIn != int(life.Seconds()) ||
		life != account.DeviceTokenLife || tok.Name != "editor on a laptop" || tok.Methods != store.TokenRead || strings.Join(tok.Hosts, " ") != "app.test *.b.test" ||
		strings.Join(tok.Paths, " ") != "/api/* /x" || tok.Hint != credential.Hint(got.Token) || tok.Level != "aal1" {
		t.Errorf("got %+v for %+v", got, tok.Token)
	}
	wantError(t, "used", w.poll(g, "client_id", "editor on a laptop"), 400, "invalid_grant")
	for action, n := range map[string]int{"token.create": 1, "device.approve": 1, "device.fetch": 1, "device.deny": 0} {
		if got := w.Events(action); len(got) != n {
			t.Errorf("%d events %s", len(got), action)
		}
	}
	if e := w.Events("device.approve")[0]; e.Actor != "tom" || e.Details["client"] != "editor on a laptop" || e.Details["asked_from"] != "192.0.2.7" || e.Details["token"] != tok.ID {
		t.Errorf("the log says %+v", e)
	}
}

// What a request for a code says wrong, and how the response says so.
func TestARequestForACodeIsReadStrictly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	many := strings.Repeat("a.test ", 20)
	for name, c := range map[string]struct{ body, code string }{
		"nothing":              {"", "invalid_request"},
		"no client":            {"hosts=a.test", "invalid_request"},
		"an empty client":      {"client_id=", "invalid_request"},
		"a blank client":       {"client_id=+", "invalid_request"},
		"two clients":          {"client_id=a&client_id=b", "invalid_request"},
		"two lists of hosts":   {"client_id=a&hosts=a.test&hosts=*", "invalid_request"},
		"65 characters":        {"client_id=" + strings.Repeat("%C3%A4", 65), "invalid_request"},
		"a line break":         {"client_id=a%0Ab", "invalid_request"},
		"NUL":                  {"client_id=a%00b", "invalid_request"},
		"an escape":            {"client_id=a%1B[31m", "invalid_request"},
		"an override":          {"client_id=a%E2%80%AEb", "invalid_request"},
		"an isolate":           {"client_id=a%E2%81%A6b", "invalid_request"},
		"a zero width space":   {"client_id=a%E2%80%8Bb", "invalid_request"},
		"a joiner":             {"client_id=a%E2%80%8Db", "invalid_request"},
		"a tag":                {"client_id=a%F3%A0%80%81", "invalid_request"},
		"no UTF-8":             {"client_id=a%FF", "invalid_request"},
		"outer blanks":         {"client_id=+a", "invalid_request"},
		"broken":               {"client_id=%zz", "invalid_request"},
		"a semicolon":          {"client_id=a;hosts=*", "invalid_request"},
		"a scope":              {"client_id=a&scope=read", "invalid_scope"},
		"a host with a port":   {"client_id=a&hosts=a.test:443", "invalid_scope"},
		"an address":           {"client_id=a&hosts=https://a.test/%22%5C%C3%A4", "invalid_scope"},
		"too many hosts":       {"client_id=a&hosts=" + url.QueryEscape(many+strings.ReplaceAll(many, "a.", "b.")+hosts(21)), "invalid_scope"},
		"a pattern":            {"client_id=a&paths=/a*b", "invalid_scope"},
		"a path that is none":  {"client_id=a&paths=a", "invalid_scope"},
		"an ambiguous path":    {"client_id=a&paths=/a//b", "invalid_scope"},
		"too many paths":       {"client_id=a&paths=" + strings.Repeat("/a+", 51), "invalid_scope"},
		"hosts of separators":  {"client_id=a&hosts=+,%09,", "invalid_scope"},
		"paths of blanks":      {"client_id=a&paths=+%0A", "invalid_scope"},
		"a path of 501 bytes":  {"client_id=a&paths=/" + strings.Repeat("a", 500), "invalid_scope"},
		"a stack of marks":     {"client_id=a" + strings.Repeat("%CC%81", 40), "invalid_request"},
		"methods of no kind":   {"client_id=a&methods=write", "invalid_scope"},
		"methods in upper":     {"client_id=a&methods=READ", "invalid_scope"},
		"only in the address":  {"x=y", "invalid_request"},
		"methods of two kinds": {"client_id=a&methods=read,all", "invalid_scope"},
	} {
		r := w.Browser().Do("POST", "/device/code?client_id=a", "application/x-www-form-urlencoded", strings.NewReader(c.body))
		wantError(t, name, r, 400, c.code)
	}
	for name, mime := range map[string]string{"JSON": "application/json", "multipart": "multipart/form-data; boundary=x", "no type": ""} {
		r := w.Browser().Do("POST", "/device/code", mime, strings.NewReader(`{"client_id":"a"}`))
		wantError(t, name, r, 400, "invalid_request")
	}
	large := w.Browser().Do("POST", "/device/code", "application/x-www-form-urlencoded", strings.NewReader("client_id="+strings.Repeat("a", 70_000)))
	wantError(t, "too large", large, 413, "invalid_request")
	if all, _, err := w.Store.CountDeviceGrants(t.Context(), "", w.Clock.Now()); err != nil || all != 0 {
		t.Errorf("%d were stored, %v", all, err)
	}
	for name, g := range map[string]grant{
		"empty fields": w.ask("scope", "", "hosts", "", "paths", "", "methods", ""),
		"64 letters":   w.ask("client_id", strings.Repeat("ä", 64)),
		"unknown ones": w.ask("redirect_uri", "https://evil.test/", "client_secret", "x"),
	} {
		row, err := w.Store.DeviceGrant(t.Context(), store.HashToken(g.DeviceCode))
		if err != nil || len(row.Hosts) != 1 || row.Hosts[0] != "127.0.0.1" || len(row.Paths) != 0 || row.Methods != store.TokenAll {
			t.Errorf("%s: %+v, %v", name, row, err)
		}
	}
}

func hosts(n int) (list string) {
	for range n {
		list += store.NewID(time.Now()) + ".test "
	}
	return list
}

// What a poll says wrong, or too late, and how the response says so.
func TestAPollIsAnsweredAsRFC8628Says(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.SignIn("tom")
	denied, approved, late, used := w.ask(), w.ask(), w.ask(), w.ask()
	b.Follow(decide(b, denied.UserCode, deny)).Shows(t, "Denied")
	decide(b, used.UserCode, approve).Want(t, 303)
	fetched(t, w.poll(used))
	for _, c := range []struct {
		name   string
		g      grant
		fields []string
		code   string
	}{
		{"denied", denied, nil, "access_denied"},
		{"denied, again", denied, nil, "access_denied"},
		{"used", used, nil, "invalid_grant"},
		{"another client", approved, []string{"client_id", "other"}, "invalid_grant"},
		{"a client of another case", approved, []string{"client_id", "Editor"}, "invalid_grant"},
		{"no client", approved, []string{"client_id", ""}, "invalid_request"},
		{"no grant type", approved, []string{"grant_type", ""}, "invalid_request"},
		{"another grant type", approved, []string{"grant_type", "authorization_code"}, "unsupported_grant_type"},
		{"refresh", approved, []string{"grant_type", "refresh_token"}, "unsupported_grant_type"},
		{"no code", approved, []string{"device_code", ""}, "invalid_request"},
		{"an unknown code", approved, []string{"device_code", store.NewToken()}, "invalid_grant"},
		{"no such code", approved, []string{"device_code", "'; --\x00\xff"}, "invalid_grant"},
		{"the user code", approved, []string{"device_code", approved.UserCode}, "invalid_grant"},
		{"a hash", approved, []string{"device_code", store.HashToken(approved.DeviceCode).String()}, "invalid_grant"},
	} {
		wantError(t, c.name, w.poll(c.g, c.fields...), 400, c.code)
	}
	form := url.Values{"client_id": {"editor"}, "grant_type": {devicepages.GrantType}, "device_code": {approved.DeviceCode, denied.DeviceCode}}
	wantError(t, "two codes", w.Browser().Post("/device/token", form), 400, "invalid_request")
	decide(b, approved.UserCode, approve).Want(t, 303)
	fetched(t, w.poll(approved))
	w.Clock.Advance(10 * time.Minute)
	wantError(t, "too late", w.poll(late), 400, "expired_token")
	for _, at := range []string{"/device/code", "/device/token"} {
		for _, method := range []string{"GET", "PUT", "OPTIONS"} {
			if r := w.Browser().Do(method, at, "", nil); r.Status != 405 || r.Header.Get("Allow") != "POST" || r.Problem() != "method-not-allowed" {
				t.Errorf("%s %s: %s", method, at, r)
			}
		}
	}
}

// Polling too fast, with codes that are none, or asking for too many codes is bounded for the address.
func TestProgramsAreBoundedByAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ask()
	wantError(t, "the first poll", w.poll(g), 400, "authorization_pending")
	wantError(t, "at once", w.poll(g), 400, "slow_down")
	w.Clock.Advance(5 * time.Second)
	wantError(t, "after the old interval", w.poll(g), 400, "slow_down")
	w.Clock.Advance(15 * time.Second)
	wantError(t, "after the new interval", w.poll(g), 400, "authorization_pending")
	for range 58 {
		wantError(t, "unknown", w.poll(g, "device_code", store.NewToken()), 400, "invalid_grant")
	}
	r := w.poll(g, "device_code", store.NewToken())
	wantError(t, "too many unknown", r, 429, "slow_down")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.Clock.Advance(20 * time.Second)
	wantError(t, "a good one from there", w.poll(g), 400, "authorization_pending")
	for range 59 {
		w.ask()
	}
	r = w.Browser().Post("/device/code", url.Values{"client_id": {"editor"}})
	wantError(t, "too many codes", r, 429, "temporarily_unavailable")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.Clock.Advance(time.Minute)
	for range 40 { // of the 100 that may wait
		w.ask()
	}
	wantError(t, "too many pending ones", w.Browser().Post("/device/code", url.Values{"client_id": {"editor"}}), 429, "temporarily_unavailable")
	if all, _, err := w.Store.CountDeviceGrants(t.Context(), "", w.Clock.Now()); err != nil || all != 100 {
		t.Errorf("%d are pending, %v", all, err)
	}
	w.Clock.Advance(10 * time.Minute)
	w.ask()
}

// A subscriber with a whole /48 of IPv6 has no more requests waiting than one with a single address.
func TestOneSubscriberKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(ip string) error {
		c := login.Client{IP: netip.MustParseAddr(ip), Host: "a.test"}
		_, err := w.Accounts.Devices.Request(t.Context(), c, account.DeviceRequest{Client: "x", Hosts: []string{"a.test"}})
		return err
	}
	got := 0
	for i := range 2 * device.MaxPendingOfAddress {
		var throttled *login.ThrottledError
		switch err := ask(fmt.Sprintf("2001:db8:0:%x::1", i)); {
		case err == nil:
			got++
		case !errors.As(err, &throttled):
			t.Fatal(err)
		}
	}
	if got != device.MaxPendingOfAddress {
		t.Errorf("one network has %d requests waiting", got)
	}
	for _, ip := range []string{"2001:db8:1::1", "192.0.2.1"} {
		if err := ask(ip); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

// Going on to poll after the end is bounded like any other poll that is of no use.
func TestPollsAfterTheEndAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ask()
	decide(w.SignIn("tom"), g.UserCode, deny).Want(t, 303)
	for range 60 {
		wantError(t, "denied", w.poll(g), 400, "access_denied")
	}
	wantError(t, "denied, too often", w.poll(g), 429, "slow_down")
	w.Clock.Advance(10 * time.Minute)
	late := w.ask()
	w.Clock.Advance(10 * time.Minute)
	for range 60 {
		wantError(t, "late", w.poll(late), 400, "expired_token")
	}
	wantError(t, "late, too often", w.poll(late), 429, "slow_down")
}

// A token that its program has not come for says so, and cannot be rotated; the audit log has its real end.
func TestATokenThatNobodyFetchedSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.SignIn("tom")
	g := w.ask()
	decide(b, g.UserCode, approve).Want(t, 303)
	if r := b.Get("/account/tokens").Want(t, 200); !strings.Contains(r.Body, "not fetched yet") || strings.Contains(r.Body, "/rotate") || strings.Contains(r.Body, "<code>…</code>") {
		t.Errorf("before: %s", r.Body)
	}
	w.Clock.Advance(time.Minute)
	fetched(t, w.poll(g))
	if r := b.Get("/account/tokens").Want(t, 200); strings.Contains(r.Body, "not fetched yet") || !strings.Contains(r.Body, "/rotate") {
		t.Errorf("after: %s", r.Body)
	}
	page, err := w.Store.Events(t.Context(), store.EventQuery{Action: "device.fetch", Limit: 10})
	if err != nil || len(page.Items) != 1 || page.Items[0].Details["expires"] != w.tokens()[0].ExpiresAt.Format(time.RFC3339) {
		t.Errorf("%+v, %v", page.Items, err)
	}
	late := w.ask()
	w.Clock.Advance(device.Lifetime - 9*time.Second)
	decide(w.SignIn("tom"), late.UserCode, approve).Want(t, 422).Shows(t, "no such code")
}

// All hosts and all paths are called so, also where others stand beside them.
func TestAScopeOfAllIsCalledAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ask("hosts", "a.test b.test *", "paths", "/api/* /*")
	w.SignIn("tom").Get("/device?user_code="+g.UserCode).Want(t, 200).Shows(t, "all hosts", "all paths")
}

// A program's addresses look at no cookie: a browser that is signed in is a stranger there, and other sites cannot make
// it send anything.
func TestProgramsAddressesAreNobodys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.SignIn("tom")
	form := url.Values{"client_id": {"editor"}}
	b.Post("/device/code", form).Want(t, 200)
	r := b.With("Origin", "https://evil.test").With("Sec-Fetch-Site", "cross-site").Post("/device/code", form)
	if r.Want(t, 403); r.Problem() != "cross-site" || r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("from another site: %s", r)
	}
	w.Clock.Advance(365 * 24 * time.Hour)
	if r := b.Post("/device/code", form); r.Status != http.StatusOK || r.Header.Get("Set-Cookie") != "" {
		t.Errorf("with a cookie that is over: %s", r)
	}
}
