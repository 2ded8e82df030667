package cmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/store"
)

func loginCommand() *cobra.Command {
	cmd := verb("login <url> [get|store|erase]", "Signs this machine in to a gated site and prints a token",
		`Signs this machine in to a gated site: shows an address and a code on standard error,
waits until you have approved the code there in a browser, and prints a token of at most
12 hours on standard output. The site needs "tokens { device }". It needs no store and no
configuration. If the pages of the site are not below /_auth, give their prefix as the
path of the address.

With --git-credential it can be a credential helper of git, which adds get, store or
erase: git config credential.https://git.example.com.helper \
'!caddy gatehouse login https://git.example.com --git-credential'`, cobra.RangeArgs(1, 2), login)
	f := cmd.Flags()
	f.Bool("git-credential", false, "print the token as git reads credentials")
	f.Bool("netrc", false, "print the token as a line of ~/.netrc")
	f.Bool("exec-credential", false, "print the token as kubectl reads credentials of a plugin")
	f.String("name", "", "what this program calls itself on the page (default: with the name of this machine)")
	f.StringArray("host", nil, "a host where the token counts (default: that of the address); may be given several times")
	f.StringArray("path", nil, "a path where it counts: exact, or a prefix that ends in /* (default: all); "+
		"may be given several times")
	f.String("methods", string(store.TokenAll), "read (GET, HEAD, OPTIONS, PROPFIND, REPORT) or all")
	cmd.MarkFlagsMutuallyExclusive("git-credential", "netrc", "exec-credential", "json")
	return cmd
}

func login(c *call) error {
	site, err := parseSite(c.args[0])
	if err != nil {
		return err
	}
	username := "" // that git wants
	if len(c.args) == 2 {
		var asks bool
		if username, asks, err = c.gitAsks(site); err != nil || !asks {
			return err
		}
	}
	form, err := c.loginForm()
	if err != nil {
		return err
	}
	if err := c.checkCounts(site); err != nil {
		return err
	}
	d := newDeviceLogin(site)
	g, err := d.begin(c.ctx, form)
	if err != nil {
		return err
	}
	c.notef("Open this address in a browser, and approve the code there if it is this one:\n\n  %s\n\nCode: %s\n\n"+
		"On another device, open %s and type the code. It expires in %s.", g.open, g.code, g.page,
		minutes(time.Until(g.until)))
	t, err := d.wait(c.ctx, g)
	if err != nil {
		return err
	}
	t.user = cmp.Or(username, t.user) // git drops what is another name's, and any name does beside a token
	return c.printLogin(site, t)
}

// loginForm returns what the token is asked for.
func (c *call) loginForm() (url.Values, error) {
	hosts, paths := c.list("host"), c.list("path")
	name, methods := c.flag("name"), c.flag("methods")
	if !c.given("name") {
		name = defaultName()
	}
	switch {
	case identifier.CheckClient(name) != "":
		return nil, fmt.Errorf("--name %q: use 1 to %d visible characters, without blanks at the ends", name,
			identifier.MaxClient)
	case !oneOf(methods, string(store.TokenRead), string(store.TokenAll)):
		return nil, fmt.Errorf("--methods %q: use read or all", methods)
	}
	form := url.Values{"client_id": {name}, "methods": {methods}}
	for flag, list := range map[string][]string{"host": hosts, "path": paths} {
		for _, v := range list { // one that is empty, or several in one, would ask for more than was meant
			if v == "" || strings.ContainsFunc(v, unicode.IsSpace) || flag == "host" && strings.Contains(v, ",") {
				return nil, fmt.Errorf("--%[1]s %[2]q: give one %[1]s, and --%[1]s again for each further one", flag, v)
			}
		}
		if len(list) > 0 {
			form.Set(flag+"s", strings.Join(list, " "))
		}
	}
	return form, nil
}

// checkCounts refuses a form of output that is for the site of the address, with a token that would not count there.
func (c *call) checkCounts(site *url.URL) error {
	scope := store.Token{Methods: store.TokenAll}
	for _, h := range c.list("host") {
		name, ok := policy.ParseScopeHost(h)
		if !ok {
			return nil // the site says what is wrong with it
		}
		scope.Hosts = append(scope.Hosts, name)
	}
	if len(scope.Hosts) == 0 || policy.NewScope(&scope).AllowsHost(site.Host, http.MethodGet) {
		return nil
	}
	for _, flag := range []string{"git-credential", "netrc"} {
		if c.boolFlag(flag) {
			return fmt.Errorf("--%s is for %[2]s, where the token would not count: add --host %[2]s, or give the address of "+
				"the other site", flag, site.Hostname())
		}
	}
	return nil
}

// minutes returns a span in words, with at least a minute.
func minutes(d time.Duration) string {
	if n := int(d.Round(time.Minute) / time.Minute); n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}

// defaultName says on which machine this runs, so that people recognize it.
func defaultName() string {
	const name = "caddy gatehouse login"
	machine, err := os.Hostname()
	if err != nil {
		return name
	}
	with := name + " on " + identifier.Clean(machine, identifier.MaxClient-len(name)-len(" on "))
	if identifier.CheckClient(with) != "" {
		return name
	}
	return with
}

// maxCredential bounds what is read of git's question.
const maxCredential = 64 << 10

// gitAsks reports whether git asks for a credential of the site, and the username that it has for it, "" for none. It
// asks each helper about every site, and also tells it to store or erase what another one has: a token is for one
// site, and printed to be used at once.
func (c *call) gitAsks(site *url.URL) (username string, asks bool, err error) {
	if !c.boolFlag("git-credential") || !oneOf(c.args[1], "get", "store", "erase") {
		return "", false, fmt.Errorf("unknown argument %q; get, store and erase are what git adds to --git-credential",
			c.args[1])
	}
	text, err := io.ReadAll(io.LimitReader(c.in, maxCredential))
	if err != nil {
		return "", false, fmt.Errorf("reading git's question: %w", err)
	}
	asked := map[string]string{}
	for line := range strings.Lines(string(text)) { // as git reads them: a CR is part of the value, and no host has one
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		asked[key] = value
	}
	if c.args[1] != "get" {
		return "", false, nil
	}
	host, ok := reqctx.ParseHost(asked["host"])
	own, _ := reqctx.ParseHost(site.Host)
	secure := site.Scheme == "https"
	if !ok || asked["protocol"] != site.Scheme || host.WithoutDefaultPort(secure) != own.WithoutDefaultPort(secure) {
		c.notef("git asks for another site than %s: no token for it", site.Host)
		return "", false, nil
	}
	return asked["username"], true, nil
}

// loginJSON is a token as --json prints it.
type loginJSON struct {
	Token     string     `json:"token"`
	User      string     `json:"user"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// execCredential is what kubectl reads of a plugin (client.authentication.k8s.io/v1, ExecCredential).
type execCredential struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Status     struct {
		Token   string `json:"token"`
		Expires string `json:"expirationTimestamp"`
	} `json:"status"`
}

// printLogin prints a token in the form that was asked for.
func (c *call) printLogin(site *url.URL, t loginToken) error {
	expires := t.expires.UTC().Truncate(time.Second)
	switch {
	case c.boolFlag("git-credential"):
		return c.printf("username=%s\npassword=%s\npassword_expiry_utc=%d", t.login(), t.text, expires.Unix())
	case c.boolFlag("netrc"):
		return c.printf("machine %s login %s password %s", site.Hostname(), t.login(), t.text)
	case c.boolFlag("exec-credential"):
		out := execCredential{APIVersion: "client.authentication.k8s.io/v1", Kind: "ExecCredential"}
		out.Status.Token, out.Status.Expires = t.text, expires.Format(time.RFC3339)
		if err := json.NewEncoder(c.out).Encode(out); err != nil {
			return fmt.Errorf("printing the token: %w", err)
		}
		return nil
	}
	return c.result(loginJSON{Token: t.text, User: t.user, ExpiresAt: &expires}, "%s", t.text)
}

// loginToken is a token with its owner's username, as the site says it.
type loginToken struct {
	text, user string
	expires    time.Time
}

// login returns the username for programs that need one beside the token. Any will do; one with a line break or a blank
// would be read as more than a name.
func (t loginToken) login() string {
	for _, r := range t.user {
		if r <= ' ' || r > '~' || strings.ContainsRune(`:"'#\=`, r) {
			return "gatehouse"
		}
	}
	if t.user == "" {
		return "gatehouse"
	}
	return t.user
}

var errLoginExpired = errors.New("nobody approved the code in time: run the command again")
