package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
	"github.com/gatehouse-auth/gatehouse/internal/device"
)

// grantType is that of RFC 8628, section 3.4.
const grantType = "urn:ietf:params:oauth:grant-type:device_code"

// defaultPrefix is where the pages of a site are unless its configuration says otherwise.
const defaultPrefix = "/_auth"

// devicePage is where people type codes, below the prefix.
const devicePage = "device"

// What a site may say.
const (
	loginTimeout     = 30 * time.Second // of one request
	maxLoginResponse = 64 << 10
	maxLoginWait     = 30 * time.Minute // for somebody to approve
	maxLoginInterval = time.Minute
	loginSlower      = 5 * time.Second // what slow_down adds (RFC 8628, section 3.5)
)

// parseSite returns the address below which a site has its pages. It has to be https but on this machine: the token is
// in a response.
func parseSite(arg string) (*url.URL, error) {
	u, err := url.Parse(arg)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%q is no address of a site: write for example https://app.example.com", arg)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("give the address of the site alone, such as https://app.example.com")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return nil, fmt.Errorf("%q: use https, since the token is sent to this machine; http is for localhost only", arg)
	}
	prefix := strings.TrimRight(u.EscapedPath(), "/")
	if prefix == "" {
		prefix = defaultPrefix
	}
	return (&url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: "/"}).JoinPath(prefix), nil
}

// isLoopback reports whether a host is this machine (RFC 6761, section 6.3).
func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// loginTransport returns what asks a site. There is no client around it, which would read redirects and keep cookies.
// Without TLS it connects to this machine only, whatever address a name has, and never by a proxy, which is elsewhere.
func loginTransport(site *url.URL) *http.Transport {
	t := &http.Transport{TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true}
	if site.Scheme == "https" {
		t.Proxy = http.ProxyFromEnvironment
		return t
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: onlyThisMachine}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, thisMachine(address))
	}
	return t
}

// thisMachine returns an address with localhost for a name below it: browsers know where that is, resolvers often do
// not (RFC 6761, section 6.3).
func thisMachine(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return address
	}
	return net.JoinHostPort("localhost", port)
}

// onlyThisMachine refuses to connect to an address of another machine. It is called with what a name was resolved to.
func onlyThisMachine(_, address string, _ syscall.RawConn) error {
	if to, err := netip.ParseAddrPort(address); err == nil && to.Addr().Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not this machine: use https, since the token is sent to this machine", address)
}

// deviceLogin is the sign-in of a program at one site.
type deviceLogin struct {
	site *url.URL
	// interval is the time between two polls.
	interval  time.Duration
	client    string
	transport *http.Transport
}

func newDeviceLogin(site *url.URL) *deviceLogin {
	return &deviceLogin{site: site, interval: device.Interval, transport: loginTransport(site)}
}

// deviceGrant is what the site told. Nothing of it is shown but the letters of the code: the addresses are those of the
// site that was asked, so that none leads elsewhere or moves a cursor.
type deviceGrant struct {
	secret           string // the device code
	code, page, open string
	until            time.Time
}

// begin asks for a code (RFC 8628, section 3.1).
func (d *deviceLogin) begin(ctx context.Context, form url.Values) (deviceGrant, error) {
	var got struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
		Page       string `json:"verification_uri"`
		Open       string `json:"verification_uri_complete"`
		ExpiresIn  int64  `json:"expires_in"`
		Interval   int64  `json:"interval"`
	}
	d.client = form.Get("client_id")
	status, err := d.post(ctx, "device/code", form, &got)
	switch {
	case err != nil:
		return deviceGrant{}, err
	case status == http.StatusNotFound:
		return deviceGrant{}, fmt.Errorf("%s has no device sign-in: it needs \"tokens { device }\" in the global gatehouse "+
			"option; %s", d.site, d.prefixHint())
	}
	code, ok := device.ParseCode(got.UserCode)
	if !ok || got.DeviceCode == "" || got.ExpiresIn <= 0 {
		return deviceGrant{}, fmt.Errorf("%s sent no code that could be used: is it a site of Gatehouse?", d.site)
	}
	page := d.site.JoinPath(devicePage)
	for _, address := range []string{got.Page, cmp.Or(got.Open, got.Page)} {
		if !isPage(address, page) {
			return deviceGrant{}, fmt.Errorf("%s wants the code to be typed at another site, or another page, which is not "+
				"trusted for that: %s; if that is where you open this site in a browser, give its address", d.site,
				strconv.QuoteToASCII(clip(address)))
		}
	}
	code = device.FormatCode(code)
	open := *page
	if got.Open != "" {
		open.RawQuery = url.Values{"user_code": {code}}.Encode()
	}
	if got.Interval > 0 {
		d.interval = min(time.Duration(min(got.Interval, 3600))*time.Second, maxLoginInterval)
	}
	life := min(time.Duration(min(got.ExpiresIn, 86400))*time.Second, maxLoginWait)
	return deviceGrant{
		secret: got.DeviceCode, code: code, page: page.String(), open: open.String(), until: time.Now().Add(life),
	}, nil
}

// prefixHint says what to do where the pages of a site are elsewhere.
func (d *deviceLogin) prefixHint() string {
	return fmt.Sprintf("if its pages are not below %s, give their prefix as the path of the address, such as "+
		"%s://%s/prefix", d.site.EscapedPath(), d.site.Scheme, d.site.Host)
}

// isPage reports whether an address is that page, in any spelling of its host, with any query.
func isPage(address string, page *url.URL) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == page.Scheme && sameHost(u, page) && u.User == nil &&
		u.EscapedPath() == page.EscapedPath()
}

func sameHost(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		switch p := u.Port(); {
		case p != "":
			return p
		case u.Scheme == "https":
			return "443"
		}
		return "80"
	}
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// wait polls until somebody has decided (RFC 8628, section 3.4). A site that is away for a moment is asked again.
func (d *deviceLogin) wait(ctx context.Context, g deviceGrant) (loginToken, error) {
	form := url.Values{"grant_type": {grantType}, "device_code": {g.secret}, "client_id": {d.client}}
	for {
		timer := time.NewTimer(d.interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return loginToken{}, fmt.Errorf("waiting for the approval: %w", ctx.Err())
		case <-timer.C:
		}
		if !time.Now().Before(g.until) {
			return loginToken{}, errLoginExpired
		}
		t, err := d.poll(ctx, form)
		if err == nil {
			return t, nil
		}
		if err := d.goOn(ctx, err); err != nil {
			return loginToken{}, err
		}
	}
}

// goOn returns nil if the site is to be asked again after a response that is no token, with the interval as it is then.
func (d *deviceLogin) goOn(ctx context.Context, err error) error {
	var refused *loginError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("waiting for the approval: %w", ctx.Err())
	case !errors.As(err, &refused): // no response: back off (RFC 8628, section 3.5)
		d.slowDown(0)
	case refused.code == "authorization_pending":
	case refused.code == "slow_down", refused.status == http.StatusTooManyRequests, refused.status >= 500:
		d.slowDown(refused.retry)
	case refused.code == "access_denied":
		return errors.New("the sign-in was denied in the browser, or its token was revoked there")
	case refused.code == "expired_token":
		return errLoginExpired
	default:
		return err
	}
	return nil
}

func (d *deviceLogin) slowDown(retry time.Duration) {
	d.interval = min(max(d.interval+loginSlower, retry), maxLoginInterval)
}

// errNoToken means that a site responded with something else than a token of Gatehouse.
var errNoToken = errors.New("the site sent no token of Gatehouse")

func (d *deviceLogin) poll(ctx context.Context, form url.Values) (loginToken, error) {
	var got struct {
		Token     string `json:"access_token"`
		Type      string `json:"token_type"`
		ExpiresIn int64  `json:"expires_in"`
		User      string `json:"user"`
	}
	status, err := d.post(ctx, "device/token", form, &got)
	switch {
	case err != nil:
		return loginToken{}, err
	case status != http.StatusOK || !credential.Valid(got.Token) || !strings.EqualFold(got.Type, "Bearer") ||
		got.ExpiresIn <= 0:
		return loginToken{}, &loginError{status: status, err: errNoToken}
	}
	life := time.Duration(min(got.ExpiresIn, 10*366*86400)) * time.Second
	return loginToken{text: got.Token, user: got.User, expires: time.Now().Add(life)}, nil
}

// loginError is a response that is none of the wanted ones.
type loginError struct {
	status int
	code   string // of OAuth, "" for none
	retry  time.Duration
	err    error
}

func (e *loginError) Error() string { return e.err.Error() }

// post sends a form and decodes the JSON of a response with status 200 into dst. Status 404 is no error. A redirect is
// not followed: what it leads to may be anybody.
func (d *deviceLogin) post(ctx context.Context, path string, form url.Values, dst any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	address := d.site.JoinPath(path).String()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, fmt.Errorf("asking %s: %w", d.site, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	res, err := d.transport.RoundTrip(r)
	if err != nil {
		return 0, fmt.Errorf("asking %s: %w", d.site, oneLine(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxLoginResponse))
	if err != nil {
		return 0, fmt.Errorf("reading the response of %s: %w", d.site, oneLine(err))
	}
	switch {
	case res.StatusCode == http.StatusNotFound:
		return res.StatusCode, nil
	case res.StatusCode == http.StatusOK && json.Unmarshal(body, dst) == nil:
		return res.StatusCode, nil
	}
	return res.StatusCode, d.refused(res, body)
}

// refused returns the error of a response. Its words are the site's, and made safe for a terminal.
func (d *deviceLogin) refused(res *http.Response, body []byte) error {
	var said struct {
		Code   string `json:"error"`
		Text   string `json:"error_description"`
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(body, &said) // whatever else it is says nothing
	e := &loginError{status: res.StatusCode, code: said.Code}
	if n, err := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 16); err == nil {
		e.retry = time.Duration(n) * time.Second
	}
	switch location := res.Header.Get("Location"); {
	case location != "":
		e.err = fmt.Errorf("%s leads elsewhere, which is not followed: give the address of the site itself (it leads to %s)",
			d.site, sanitize(clip(location)))
	case said.Code != "":
		e.err = fmt.Errorf("%s refused: %s (%s)", d.site, sanitize(clip(said.Text)), sanitize(clip(said.Code)))
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		e.err = fmt.Errorf("%s responded with status %d, as for a page of the app: %s", d.site, res.StatusCode,
			d.prefixHint())
	case said.Detail != "":
		e.err = fmt.Errorf("%s responded with status %d: %s", d.site, res.StatusCode, sanitize(clip(said.Detail)))
	default:
		e.err = fmt.Errorf("%s responded with status %d and nothing that this command knows: is it a site of Gatehouse?",
			d.site, res.StatusCode)
	}
	return e
}

// oneLine is an error as a part of a line: what a peer, a proxy or a certificate says must not look like a line of this
// command.
func oneLine(err error) error { return &lineError{err} }

type lineError struct{ err error }

func (e *lineError) Error() string { return sanitize(clip(e.err.Error())) }

func (e *lineError) Unwrap() error { return e.err }

// clip bounds what is shown of a site's words.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
