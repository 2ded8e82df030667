package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
)

// site is a site with a device sign-in that says what a test wants.
type site struct {
	*httptest.Server
	mu          sync.Mutex // guards the rest
	code, token http.HandlerFunc
	asked       url.Values // the last form for a code
}

// says sets what the site responds with; nil leaves it.
func (s *site) says(code, token http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if code != nil {
		s.code = code
	}
	if token != nil {
		s.token = token
	}
}

func (s *site) lastForm() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked.Encode()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_auth/device/code", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.mu.Lock()
		s.asked = r.PostForm
		handle := s.code
		s.mu.Unlock()
		handle(w, r)
	})
	mux.HandleFunc("POST /_auth/device/token", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		handle := s.token
		s.mu.Unlock()
		handle(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	page := s.URL + "/_auth/device"
	s.code = say(200, map[string]any{
		"device_code": "secret", "user_code": "WDJB-MJHT", "verification_uri": page, "verification_uri_complete": page + "?user_code=WDJB-MJHT",
		"expires_in": 600, "interval": 1,
	})
	return s
}

func say(status int, v any) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
}

func oauth(status int, code string) func(http.ResponseWriter, *http.Request) {
	return say(status, map[string]string{"error": code, "error_description": "\x1b[31mred\u202e"})
}

// runLogin runs the command.
func runLogin(ctx context.Context, t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(stdin), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out, errs bytes.Buffer
	root := loginCommand()
	run := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		old := os.Stdin
		os.Stdin = f
		defer func() { os.Stdin = old }()
		return run(cmd, args)
	}
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SilenceUsage, root.SilenceErrors = true, true
	err = root.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

func tokenOf(text, user string) map[string]any {
	return map[string]any{"access_token": text, "token_type": "bearer", "expires_in": 43200, "user": user}
}

// The token is printed alone, or in the form that was asked for; address and code are on standard error.
func TestLoginPrintsTheTokenAsAskedFor(t *testing.T) {
	s := newSite(t)
	text := credential.New(false)
	host := strings.TrimPrefix(s.URL, "http://")
	git := "protocol=http\nhost=" + host + "\n\n"
	for name, c := range map[string]struct {
		args  []string
		user  string
		stdin string
		want  string // a prefix
	}{
		"alone":                  {nil, "ada", "", text + "\n"},
		"git":                    {[]string{"--git-credential"}, "ada", "", "username=ada\npassword=" + text + "\npassword_expiry_utc="},
		"git, as a helper":       {[]string{"get", "--git-credential"}, "ada", git, "username=ada\npassword=" + text + "\n"},
		"git, a name of its own": {[]string{"get", "--git-credential"}, "ada", "username=bob\n" + git, "username=bob\npassword=" + text + "\n"},
		"git, an odd name":       {[]string{"--git-credential"}, "a\npassword=x", "", "username=gatehouse\npassword=" + text + "\n"},
		"netrc":                  {[]string{"--netrc"}, "ada", "", "machine 127.0.0.1 login ada password " + text + "\n"},
		"netrc, an odd name":     {[]string{"--netrc"}, "ada lovelace", "", "machine 127.0.0.1 login gatehouse password " + text + "\n"},
		"kubectl":                {[]string{"--exec-credential"}, "ada", "", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"` + text + `","expirationTimestamp":"20`},
		"JSON":                   {[]string{"--json"}, "ada", "", "{\n  \"token\": \"" + text + "\",\n  \"user\": \"ada\",\n  \"expires_at\": \"20"},
		"git, another site":      {[]string{"get", "--git-credential"}, "ada", "protocol=http\nhost=other.test\n", ""},
		"git, another scheme":    {[]string{"get", "--git-credential"}, "ada", "protocol=https\nhost=" + host + "\n", ""},
		"git, with CR":           {[]string{"get", "--git-credential"}, "ada", "protocol=http\r\nhost=" + host + "\r\n", ""},
		"git, no host":           {[]string{"get", "--git-credential"}, "ada", "", ""},
		"git, to store":          {[]string{"store", "--git-credential"}, "ada", git, ""},
		"git, to erase":          {[]string{"erase", "--git-credential"}, "ada", git, ""},
		"git, two hosts in line": {[]string{"get", "--git-credential"}, "ada", "protocol=http\nhost=" + host + "@evil.test\n", ""},
	} {
		s.says(nil, say(200, tokenOf(text, c.user)))
		stdout, stderr, err := runLogin(t.Context(), t, c.stdin, append([]string{s.URL}, c.args...)...)
		if err != nil || !strings.HasPrefix(stdout, c.want) || (c.want == "") != (stdout == "") {
			t.Errorf("%s: %q, %v; %s", name, stdout, err, stderr)
		}
		if shown := strings.Contains(stderr, s.URL+"/_auth/device?user_code=WDJB-MJHT") && strings.Contains(stderr, "Code: WDJB-MJHT"); shown != (c.want != "") {
			t.Errorf("%s: standard error has %q", name, stderr)
		}
		if strings.Contains(stderr, text) {
			t.Errorf("%s: the token is on standard error", name)
		}
	}
	if _, _, err := runLogin(t.Context(), t, "", s.URL, "--host", "a.test", "--host", "b.test", "--path", "/x/*", "--methods", "read", "--name", "my job"); err != nil {
		t.Fatal(err)
	}
	if got := s.lastForm(); got != "client_id=my+job&hosts=a.test+b.test&methods=read&paths=%2Fx%2F%2A" {
		t.Errorf("asked for %s", got)
	}
}

// What a site says is checked before it is shown, followed or printed.
func TestLoginTrustsNoSiteFurtherThanItself(t *testing.T) {
	s := newSite(t)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another site was asked") }))
	t.Cleanup(other.Close)
	good := map[string]any{"device_code": "secret", "user_code": "WDJB-MJHT", "verification_uri": s.URL + "/_auth/device", "expires_in": 600, "interval": 1}
	with := func(key string, value any) func(http.ResponseWriter, *http.Request) {
		m := map[string]any{}
		for k, v := range good {
			m[k] = v
		}
		m[key] = value
		return say(200, m)
	}
	elsewhere := func(status int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/x", status) }
	}
	for name, c := range map[string]struct {
		code, token func(http.ResponseWriter, *http.Request)
		want        string
	}{
		"a redirect":                    {elsewhere(302), nil, "leads elsewhere"},
		"a redirect that keeps POST":    {elsewhere(307), nil, "leads elsewhere"},
		"no device sign-in":             {say(404, nil), nil, "tokens { device }"},
		"another page":                  {with("verification_uri", other.URL+"/device"), nil, "another site"},
		"another complete page":         {with("verification_uri_complete", "https://evil.test/"), nil, "another site"},
		"a page of another scheme":      {with("verification_uri", "javascript:alert(1)"), nil, "another site"},
		"a page with a password":        {with("verification_uri", strings.Replace(s.URL, "//", "//x@", 1)), nil, "another site"},
		"no code":                       {with("user_code", "\x1b[31m"), nil, "no code"},
		"no device code":                {with("device_code", ""), nil, "no code"},
		"no end":                        {with("expires_in", 0), nil, "no code"},
		"no JSON":                       {say(200, "hello"), nil, "is it a site of Gatehouse"},
		"endless":                       {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, endless{}) }, nil, "is it a site of Gatehouse"},
		"refused":                       {oauth(429, "temporarily_unavailable"), nil, "temporarily_unavailable"},
		"denied":                        {nil, oauth(400, "access_denied"), "denied in the browser"},
		"expired":                       {nil, oauth(400, "expired_token"), "run the command again"},
		"gone":                          {nil, oauth(400, "invalid_grant"), "invalid_grant"},
		"another token":                 {nil, say(200, tokenOf("eyJhbGciOiJub25lIn0.e30.", "x")), "no token of Gatehouse"},
		"a token that is a command":     {nil, say(200, tokenOf("$(reboot)", "x")), "no token of Gatehouse"},
		"a redirect with the device's":  {nil, elsewhere(307), "leads elsewhere"},
		"no token at all":               {nil, say(200, map[string]any{}), "no token of Gatehouse"},
		"the sign-in is gone meanwhile": {nil, say(404, nil), "no token of Gatehouse"},
	} {
		s.says(good2(c.code, with("interval", 1)), c.token)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		stdout, stderr, err := runLogin(ctx, t, "", s.URL)
		cancel()
		if err == nil || stdout != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", name, stdout, err)
		}
		if err != nil && strings.ContainsAny(err.Error()+stderr, "\x1b\u202e") {
			t.Errorf("%s: the terminal gets %q", name, err.Error()+stderr)
		}
	}
}

func good2(f, otherwise func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
	if f != nil {
		return f
	}
	return otherwise
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A site is asked by https, but for this machine, and by the prefix that its pages have.
func TestLoginAsksByHTTPS(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"https://app.example.com":        "https://app.example.com/_auth",
		"https://APP.example.com:8443/":  "https://app.example.com:8443/_auth",
		"https://app.example.com/gate":   "https://app.example.com/gate",
		"http://localhost:2015":          "http://localhost:2015/_auth",
		"https://app.example.com//":      "https://app.example.com/_auth",
		"http://127.0.0.1:2015":          "http://127.0.0.1:2015/_auth",
		"http://[::1]:2015":              "http://[::1]:2015/_auth",
		"http://app.localhost":           "http://app.localhost/_auth",
		"http://app.example.com":         "",
		"http://localhost.example.com":   "",
		"http://127.0.0.1.example.com":   "",
		"http://2130706433":              "",
		"app.example.com":                "",
		"https://":                       "",
		"https://a@app.example.com":      "",
		"https://app.example.com?x":      "",
		"https://app.example.com/#x":     "",
		"ftp://localhost":                "",
		"https://app.example.com/%zz":    "",
		"https://app.example.com/a/b/":   "https://app.example.com/a/b",
		"http://169.254.169.254/latest/": "",
	} {
		u, err := parseSite(arg)
		if (err == nil) != (want != "") || err == nil && u.String() != want {
			t.Errorf("%q is %v, %v", arg, u, err)
		}
	}
}

// The command waits as the site says, goes on while the site is away for a moment, and stops when it is canceled.
func TestLoginPollsAsTheSiteSays(t *testing.T) {
	s := newSite(t)
	u, err := parseSite(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := newDeviceLogin(u)
	g, err := d.begin(t.Context(), url.Values{"client_id": {"x"}})
	if err != nil || d.interval != time.Second {
		t.Fatal(d.interval, err)
	}
	retry := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "40")
		oauth(429, "slow_down")(w, r)
	}
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for i, c := range []struct {
		answer  func(http.ResponseWriter, *http.Request)
		seconds int
	}{
		{oauth(400, "authorization_pending"), 1},
		{oauth(400, "slow_down"), 6},
		{say(502, "bad gateway"), 11},
		{oauth(503, "temporarily_unavailable"), 16},
		{oauth(400, "authorization_pending"), 16},
		{hangUp, 21},
		{retry, 40},
		{hangUp, 45},
		{hangUp, 50},
		{hangUp, 55},
		{hangUp, 60},
		{hangUp, 60},
	} {
		s.says(nil, c.answer)
		_, err := d.poll(t.Context(), url.Values{})
		if err := d.goOn(t.Context(), err); err != nil || d.interval != time.Duration(c.seconds)*time.Second {
			t.Errorf("after answer %d it waits %s, %v", i, d.interval, err)
		}
	}
	g.until = time.Now()
	d.interval = time.Millisecond
	if _, err := d.wait(t.Context(), g); !errors.Is(err, errLoginExpired) {
		t.Errorf("after the end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.interval, g.until = time.Hour, time.Now().Add(time.Hour)
	if _, err := d.wait(ctx, g); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
