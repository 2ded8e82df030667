package gate

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// Client is an HTTP client that finds the gate under every name, does not follow redirects, and keeps cookies.
func (g *Gate) Client() *http.Client {
	jar, _ := cookiejar.New(nil) // fails for no options
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	return &http.Client{
		Timeout: 30 * time.Second,
		Jar:     jar,
		// The certificate is of an authority that the gate has just made for itself.
		Transport:     &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Answer is a response that has been read.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends one request and reads the answer. A form makes it a POST.
func (g *Gate) Do(c *http.Client, path string, form url.Values, header ...string) (Answer, error) {
	var body io.Reader
	method := http.MethodGet
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, g.URL+path, body)
	if err != nil {
		return Answer{}, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return Answer{Status: res.StatusCode, Header: res.Header, Body: string(read)}, err
}

// SignIn signs a client in and returns the sign-in's answer.
func (g *Gate) SignIn(c *http.Client, username, password string) (Answer, error) {
	return g.Do(c, "/_auth/login", url.Values{"username": {username}, "password": {password}})
}
