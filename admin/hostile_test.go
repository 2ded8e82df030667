package admin

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

// evil are texts that end up in pages, attributes, scripts, addresses and cells where they are not escaped. Each has a
// mark by which it is found however it is shown.
var evil = []string{
	`<script>alert("xss0")</script>`, `"><img src=x onerror=alert('xss1')>`, `' onmouseover='alert("xss2")`, `javascript:alert("xss3")`,
	`</textarea><svg/onload=alert("xss4")>`, `{{.}}${7*7}<%= "xss5" %>`, `=HYPERLINK("http://evil.test","xss6")`, `+cmd|' /C calc'!A0 xss7`, `-2+3 xss8`, `@SUM(1) xss9`,
	`</title><base href=//evil.test>xss10`, `<!--xss11`, `&lt;b&gt;xss12`, `{env.ADMIN_PASSWORD} xss13`, "\u2028alert('xss14')", `＝1+1 xss15`,
}

// raw are the pieces that must not stand in a page as they are.
var raw = regexp.MustCompile(`(?i)<script>alert|<img src=x|onerror=alert\('|onmouseover='alert\("|<svg/onload|<base href|<!--xss|<%=|href="javascript:`)

// hostileWorld has one user for each text, which stands in everything that a client, a provider or an administrator
// can give.
func hostileWorld(t *testing.T) (*world, store.User) {
	t.Helper()
	var warnings []i18n.Text
	for _, s := range evil {
		warnings = append(warnings, i18n.New("warning.cookie_domain", "domain", s))
	}
	w := newWorld(t, func(c *config) {
		c.CheckProvider = noCheck
		c.Providers = func() []api.ProviderStatus {
			return []api.ProviderStatus{{Name: "acme", Label: evil[0], Issuer: evil[1], RedirectURI: evil[3], Scopes: evil, LastError: evil[4], LastErrorAt: time.Now(), Down: true}}
		}
		c.Effective = func() Settings {
			return Settings{Version: evil[0], Caddy: evil[1], Warnings: warnings, Options: []Option{{Section: evil[2], Name: evil[4], Value: evil[0], Source: evil[1]}}}
		}
		c.Sites = func() []SiteRules {
			return []SiteRules{{Hosts: evil[:1], Guards: evil, Public: evil, Require: []policy.Rule{{Field: policy.FieldGroup, Values: evil}}}}
		}
	})
	w.Add("ada", store.RoleAdmin)
	var last store.User
	for i, s := range evil {
		err := w.Store.Change(t.Context(), func(tx store.Tx) error {
			now := w.Clock.Now()
			last = store.User{ID: store.NewID(now), Username: s, Email: s, Name: s, Role: store.RoleUser, Groups: []string{s}, Active: true, Origin: store.OriginOIDC, CreatedAt: now}
			if err := tx.CreateUser(t.Context(), last); err != nil {
				return err
			}
			if err := tx.CreateIdentity(t.Context(), store.Identity{Issuer: s, Subject: s, UserID: last.ID, Provider: s, Email: s, Name: s, CreatedAt: now}); err != nil {
				return err
			}
			if err := tx.CreateSession(t.Context(), store.Session{
				ID: store.NewID(now), TokenHash: store.HashToken(fmt.Sprint(i)), UserID: last.ID, CreatedAt: now, AuthAt: now,
				LastSeenAt: now, Idle: time.Hour, ExpiresAt: now.Add(time.Hour), Method: s, Provider: s, IP: s, UserAgent: s, Host: s,
			}); err != nil {
				return err
			}
			return tx.CreateLink(t.Context(), store.Link{ID: store.NewID(now), Hash: store.HashToken(store.NewToken()), Purpose: store.LinkPassword, UserID: last.ID, CreatedBy: s, CreatedAt: now, ExpiresAt: now.Add(time.Hour)})
		})
		if err != nil {
			t.Fatal(err)
		}
		e := store.Event{
			Time: w.Clock.Advance(time.Second), ActorID: last.ID, Actor: s, Action: s, TargetID: last.ID, Target: s, Outcome: store.Outcome(s), IP: s, UserAgent: s, RequestID: s,
			Details: map[string]string{s: s, "before." + s: s, "after." + s: s},
		}
		if err := w.Store.AddEvents(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return w, last
}

// Whatever people, providers and clients give as names is shown as it is, on every page, and does nothing.
func TestNothingThatIsShownRuns(t *testing.T) {
	t.Parallel()
	w, u := hostileWorld(t)
	b := w.SignIn("ada")
	sessions, err := w.Store.Sessions(t.Context(), store.SessionQuery{UserID: u.ID, Now: w.Clock.Now()})
	if err != nil || len(sessions.Items) != 1 {
		t.Fatal(err)
	}
	event := w.Events(evil[0])[0]
	pages := 0
	for _, rt := range w.table {
		if rt.Method != http.MethodGet || rt.Doc != nil || strings.Contains(rt.Pattern, "export") {
			continue
		}
		id := u.ID
		switch {
		case strings.Contains(rt.Pattern, "/sessions/{id}"):
			id = sessions.Items[0].ID
		case strings.Contains(rt.Pattern, "/audit/{id}"):
			id = event.ID
		}
		at := strings.NewReplacer("{id}", id, "{name}", "acme").Replace(rt.Pattern)
		for _, query := range []string{"?size=100", "?q=%3Cscript%3Ealert(%22xss0%22)%3C/script%3E&actor=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(%27xss1%27)%3E&action=%3Csvg/onload%3Dalert(1)%3E&group=%3Cbase%20href%3D//evil%3E&provider=%3C!--xss11"} {
			if strings.HasSuffix(rt.Pattern, "/bulk") {
				query = "?do=deactivate&id=" + u.ID
			}
			a := b.Get(at + query)
			if a.Status >= 500 {
				t.Errorf("%s: %d", at, a.Status)
			}
			if m := raw.FindStringIndex(a.Body); m != nil {
				t.Errorf("%s%s shows it raw: %s", at, query, a.Body[max(0, m[0]-60):min(len(a.Body), m[1]+60)])
			}
			if strings.Contains(a.Body, "xss") {
				pages++
			}
			csp := a.Header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "script-src 'nonce-") || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: %s", at, csp)
			}
		}
	}
	if pages < 20 {
		t.Errorf("the texts were seen on %d pages only", pages)
	}
	b.Get("/admin/users?size=100").Shows(t, "&lt;script&gt;alert(&#34;xss0&#34;)&lt;/script&gt;")
	// In a form that is shown again, too.
	for _, s := range evil {
		form := map[string][]string{"username": {s + ","}, "email": {s}, "name": {s}, "groups": {s}, "role": {s}, "active": {s}, "way": {s}, "expires": {s}, "note": {s}, "confirm": {s + "!"}}
		for _, at := range []string{"/admin/users/invite", "/admin/users/" + u.ID + "/edit", "/admin/users/" + u.ID + "/delete"} {
			a := b.Post(at, form)
			if a.Status != http.StatusUnprocessableEntity || raw.MatchString(a.Body) {
				t.Errorf("%s with %q: %d", at, s, a.Status)
			}
		}
	}
}

// A cell never begins as a formula does, and every file can be read back (OWASP ASVS 5.0, 1.2.10).
func TestExportsAreInert(t *testing.T) {
	t.Parallel()
	w, _ := hostileWorld(t)
	b := w.SignIn("ada")
	for path, found := range map[string]int{"/admin/users/export.csv": len(evil), "/admin/audit/export.csv": len(evil)} {
		a := b.Get(path).Want(t, http.StatusOK)
		if !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment;") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, a.Header)
		}
		rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, row := range rows {
			if strings.Contains(strings.Join(row, " "), "xss") {
				seen++
			}
			for _, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
					t.Errorf("%s: the cell %q", path, cell)
				}
			}
		}
		if seen != found {
			t.Errorf("%s: %d rows with the texts, not %d", path, seen, found)
		}
	}
	a := b.Get("/admin/audit/export.jsonl").Want(t, http.StatusOK)
	dec, n := json.NewDecoder(strings.NewReader(a.Body)), 0
	for {
		var e api.Event
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Actor == evil[6] && e.Details[evil[6]] != evil[6] {
			t.Errorf("%+v", e)
		}
		n++
	}
	if n < len(evil) || strings.Count(a.Body, "\n") != n {
		t.Errorf("%d entries on %d lines", n, strings.Count(a.Body, "\n"))
	}
}

// An export is in the audit log, with what was selected, before anything goes out; asking for the headers is none.
func TestExportsAreAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	w.Add("tom", store.RoleUser)
	b := w.SignIn("ada")
	for path, action := range map[string]string{"/admin/users/export.csv?q=tom&role=user": "user.export", "/admin/audit/export.csv?action=user.": "audit.export", "/admin/audit/export.jsonl": "audit.export"} {
		before := len(w.Events(action))
		if a := b.Do(http.MethodHead, path, "", nil).Want(t, http.StatusOK); a.Body != "" {
			t.Error(a)
		}
		if n := len(w.Events(action)); n != before {
			t.Errorf("HEAD %s is audited", path)
		}
		b.Get(path).Want(t, http.StatusOK)
		if n := len(w.Events(action)); n != before+1 {
			t.Errorf("%s: %d entries more", path, n-before)
		}
	}
	if a := b.Get("/admin/users/export.csv?q=tom&role=user"); strings.Contains(a.Body, "ada") || !strings.Contains(a.Body, "tom") {
		t.Errorf("the filter does not count: %s", a)
	}
	if e := w.Events("user.export")[0]; e.Details["filter.q"] != "tom" || e.Details["format"] != "csv" || e.Actor != "ada" {
		t.Errorf("%+v", e)
	}
}

// cutter is a connection on which something happens after the first part of a response.
type cutter struct {
	*httptest.ResponseRecorder
	after func()
}

func (c *cutter) Flush() {
	if c.after != nil {
		c.after()
		c.after = nil
	}
}

// An export goes on over many pages of the store, and stops when its administrator is signed out on the way: the
// connection breaks, so that nobody takes the half for the whole.
func TestALongExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	var events []store.Event
	for i := range 3*exportPage + 10 {
		events = append(events, store.Event{Time: w.Clock.Now().Add(time.Duration(i) * time.Millisecond), Actor: "somebody", Action: "test.act", Outcome: store.Success})
	}
	w.log(events)
	b := w.SignIn("ada")
	a := b.Get("/admin/audit/export.csv?action=test.act").Want(t, http.StatusOK)
	rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
	if err != nil || len(rows) != 3*exportPage+10+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		seen[row[0]] = true
	}
	if len(seen) != 3*exportPage+10 {
		t.Errorf("%d different rows", len(seen))
	}
	at, err := url.Parse(w.Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, w.Server.URL+prefix+"/admin/audit/export.csv?action=test.act", nil)
	for _, c := range b.Client.Jar.Cookies(at) {
		r.AddCookie(c)
	}
	rw := &cutter{ResponseRecorder: httptest.NewRecorder(), after: func() {
		if _, err := w.Accounts.EndAllSessions(t.Context(), operator); err != nil {
			t.Error(err)
		}
	}}
	func() {
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("the export ended with %v", err)
			}
		}()
		w.Server.Config.Handler.ServeHTTP(rw, r)
	}()
	if n := strings.Count(rw.Body.String(), "\r\n"); n != exportPage+1 {
		t.Errorf("%d lines went out", n)
	}
}

// No page, response, file or entry of the audit log holds a password, a hash or a token.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.SignIn("ada")
	b.JSON(http.MethodPost, "/users/"+s.Target.ID+"/reset-password", `{"password":"`+otherPass+`"}`).Want(t, http.StatusOK)
	b = s.SignIn("ada")
	secrets := []string{goodPass, otherPass, "argon2id"}
	for _, name := range []string{"ada", "tom"} {
		u, err := s.Store.UserByUsername(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, u.PasswordHash)
	}
	at, err := url.Parse(s.Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Client.Jar.Cookies(at) {
		secrets = append(secrets, c.Value, store.HashToken(c.Value).String())
	}
	for _, rt := range s.world.table {
		if rt.Method != http.MethodGet {
			continue
		}
		a := s.try(t, b, rt.Method, rt.Pattern)
		for _, secret := range secrets {
			if secret != "" && strings.Contains(a.Body+fmt.Sprint(a.Header), secret) {
				t.Errorf("%s holds %q", rt.Pattern, secret)
			}
		}
	}
}
