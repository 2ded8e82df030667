package webtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// Browser is a browser or a program that calls the API. It follows no redirect.
type Browser struct {
	Client *http.Client
	w      *World
	header http.Header
}

// Browser returns a browser without cookies. The World must be served.
func (w *World) Browser() *Browser {
	w.T.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.T.Fatal(err)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Browser{w: w, header: http.Header{}, Client: &http.Client{Jar: jar, CheckRedirect: stay}}
}

// SignIn signs in with GoodPass and returns the browser.
func (w *World) SignIn(username string) *Browser {
	w.T.Helper()
	b := w.Browser()
	r := b.Post("/login", url.Values{"username": {username}, "password": {GoodPass}})
	if r.Status != http.StatusSeeOther {
		w.T.Fatalf("signing in as %s: %d %s", username, r.Status, r.Body)
	}
	return b
}

// UseLink opens a link as a person does and sets GoodPass, then checks that the link does not work again.
func (w *World) UseLink(t testing.TB, link, username string) {
	t.Helper()
	path, ok := strings.CutPrefix(link, w.Server.URL+Prefix)
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	b := w.Browser()
	b.Get(path).Want(t, http.StatusSeeOther)
	b.Post("/welcome", url.Values{"password": {GoodPass}}).Want(t, http.StatusSeeOther)
	w.SignIn(username)
	if r := w.Browser().Get(path); r.Status == http.StatusSeeOther {
		again := w.Browser()
		again.Get(path)
		if r = again.Post("/welcome", url.Values{"password": {OtherPass}}); r.Status < 400 {
			t.Errorf("the link works twice: %s", r)
		}
	}
}

// Do sends a request to a path below Prefix. mime may be empty and body nil.
func (b *Browser) Do(method, path, mime string, body io.Reader) Response {
	t := b.w.T
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.w.Server.URL+Prefix+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range b.header {
		req.Header[k] = v
	}
	if mime != "" {
		req.Header.Set("Content-Type", mime)
	}
	resp, err := b.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Response{resp.StatusCode, resp.Header, string(text)}
}

// Get requests a page.
func (b *Browser) Get(path string) Response { return b.Do(http.MethodGet, path, "", nil) }

// Post sends a form.
func (b *Browser) Post(path string, form url.Values) Response {
	return b.Do(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// JSON calls the API with a value, with a string as it is, or with no body for nil.
func (b *Browser) JSON(method, path string, v any) Response {
	b.w.T.Helper()
	if v == nil {
		return b.Do(method, "/api/v1"+path, "", nil)
	}
	text, ok := v.(string)
	if !ok {
		raw, err := json.Marshal(v)
		if err != nil {
			b.w.T.Fatal(err)
		}
		text = string(raw)
	}
	return b.Do(method, "/api/v1"+path, "application/json", bytes.NewReader([]byte(text)))
}

// Follow requests the page that a response redirects to.
func (b *Browser) Follow(r Response) Response {
	t := b.w.T
	t.Helper()
	to, ok := strings.CutPrefix(r.Want(t, http.StatusSeeOther).Header.Get("Location"), Prefix)
	if !ok {
		t.Fatalf("redirected to %q", r.Header.Get("Location"))
	}
	return b.Get(to)
}

// With returns the same browser with another header.
func (b *Browser) With(name, value string) *Browser {
	c := *b
	c.header = b.header.Clone()
	c.header.Set(name, value)
	return &c
}

// Response is what a Browser got.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

func (r Response) String() string { return fmt.Sprintf("%d %s", r.Status, r.Body) }

// Decode decodes a JSON body into v.
func (r Response) Decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Body), v); err != nil {
		t.Fatalf("%s: %v", r, err)
	}
}

// Problem returns the last element of a problem's type, "" when the body is none (RFC 9457).
func (r Response) Problem() string {
	var p struct {
		Type string `json:"type"`
	}
	if json.Unmarshal([]byte(r.Body), &p) != nil {
		return ""
	}
	return p.Type[strings.LastIndexByte(p.Type, '/')+1:]
}

// Want fails the test unless the status is that.
func (r Response) Want(t testing.TB, status int) Response {
	t.Helper()
	if r.Status != status {
		t.Fatalf("want %d, got %s", status, r)
	}
	return r
}

// Shows fails the test unless the page has the texts, as they stand in HTML.
func (r Response) Shows(t testing.TB, texts ...string) Response {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(r.Body, s) {
			t.Errorf("the page does not show %q:\n%s", s, r.Body)
		}
	}
	return r
}
