package caddyauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browser is a client with a cookie jar that follows nothing by itself.
type browser struct {
	t    testing.TB
	s    *caddyServer
	http *http.Client
}

func (s *caddyServer) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{s.t, s, &http.Client{
		Jar: jar, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// response is a response read whole.
type response struct {
	*http.Response
	body string
}

func (a response) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, a.body)
	}
	return m
}

func (b *browser) do(r *http.Request) response {
	b.t.Helper()
	res, err := b.http.Do(r)
	// A reload closes the old listening socket, with or without a gate, and with it connections that were waiting
	// there. Nothing was asked then; a browser tries again, and so does this.
	for try := 0; err != nil && (r.Method == http.MethodGet || notSent(err)) && try < 20; try++ {
		time.Sleep(5 * time.Millisecond) // waits: a pause between tries, of which there are at most twenty
		if r.GetBody != nil {
			r.Body, _ = r.GetBody()
		}
		res, err = b.http.Do(r)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := readResponse(res)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// try is do for a server that may not be there: it tries once and returns the error.
func (b *browser) try(r *http.Request) (response, error) {
	res, err := b.http.Do(r)
	if err != nil {
		return response{}, err
	}
	return readResponse(res)
}

func readResponse(res *http.Response) (response, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return response{res, string(body)}, err
}

// notSent reports whether no server received the request: there was no connection; or it ended without a byte of a
// response around a reload, as those do that waited at a socket which the reload closed. At any other time that is a
// failure of the server.
func notSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return time.Since(time.Unix(0, lastLoad.Load())) < 5*time.Second &&
		(errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET))
}

func (b *browser) request(method, path string, body io.Reader, header ...string) *http.Request {
	b.t.Helper()
	r, err := http.NewRequest(method, "http://"+b.s.addr+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// page loads a page as a browser does.
func (b *browser) page(path string) response {
	return b.do(b.request("GET", path, nil, "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none"))
}

// fetch asks as a script does.
func (b *browser) fetch(path string, header ...string) response {
	return b.do(b.request("GET", path, nil, append([]string{"Accept", "application/json", "Sec-Fetch-Mode", "cors"}, header...)...))
}

// post sends a form from one of our pages.
func (b *browser) post(path string, fields ...string) response {
	b.t.Helper()
	return b.do(b.form(path, fields...))
}

// form returns the request that sends a form from one of our pages.
func (b *browser) form(path string, fields ...string) *http.Request {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return b.request("POST", path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded",
		"Origin", "http://"+b.s.addr, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Accept", "text/html")
}

// signIn signs in and fails the test when that does not work.
func (b *browser) signIn(name, pass string) response {
	b.t.Helper()
	a := b.post("/_auth/login", "username", name, "password", pass)
	if a.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("sign-in: %d\n%s", a.StatusCode, a.body)
	}
	return a
}

// cookie returns the session token: what the session cookie holds, without the mark of the store that issued it.
func (b *browser) cookie() string {
	u, _ := url.Parse("http://" + b.s.addr)
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == "gatehouse" {
			return c.Value[:min(len(c.Value), 43)]
		}
	}
	return ""
}

// reaches reports whether the app responds.
func (b *browser) reaches(path string) bool {
	b.t.Helper()
	a := b.fetch(path)
	return a.StatusCode == 200 && a.Header.Get("X-Upstream") == "yes"
}
