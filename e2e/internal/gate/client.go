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

// Client returns an HTTP client that connects to the gate for every host, does not follow redirects, and has a cookie
// jar.
func (g *Gate) Client() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails without options
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
		// The certificate is issued by the gate's own, new CA.
		Transport:     &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Response is a response that has been read.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request and reads the response. With a form it is a POST.
func (g *Gate) Do(c *http.Client, path string, form url.Values, header ...string) (Response, error) {
	var body io.Reader
	method := http.MethodGet
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, g.URL+path, body)
	if err != nil {
		return Response{}, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		return Response{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return Response{Status: res.StatusCode, Header: res.Header, Body: string(read)}, err
}

// SignIn signs a client in and returns the response.
func (g *Gate) SignIn(c *http.Client, username, password string) (Response, error) {
	return g.Do(c, "/_auth/login", url.Values{"username": {username}, "password": {password}})
}
