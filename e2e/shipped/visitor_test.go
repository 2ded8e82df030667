package shipped

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// visitor is somebody with a browser of their own.
type visitor struct {
	t       *testing.T
	site    string
	cookies []*http.Cookie
}

func (v *visitor) do(method, path string, form url.Values) *http.Response {
	v.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.site+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range v.cookies {
		req.AddCookie(c)
	}
	client := &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	v.cookies = append(v.cookies, res.Cookies()...)
	return res
}

// signIn tries a password and returns what the app says then, "" where the gate lets nobody through.
func signIn(t *testing.T, site, user, password string) (app string, v *visitor) {
	t.Helper()
	v = &visitor{t: t, site: site}
	res := v.do(http.MethodPost, "/_auth/login", url.Values{"username": {user}, "password": {password}, "rt": {"/"}})
	defer res.Body.Close()
	return v.app(), v
}

// app returns what the app says to the visitor.
func (v *visitor) app() string {
	v.t.Helper()
	res := v.do(http.MethodGet, "/", nil)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}
