package cmd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/duration"
	"github.com/gatehouse-auth/gatehouse/store"
)

func tokenCommand() *cobra.Command {
	root := &cobra.Command{Use: "token <verb>", Short: "Adds, lists, rotates and revokes tokens of programs"}
	group(root)

	add := verb("add", "Adds a token",
		`Adds a token with which a program gets in, of a person (--user) or of a service account
(--service), which is made if it is not there. Its text is printed on standard output,
this once: only its hash is stored.`, cobra.NoArgs, tokenAdd)
	f := add.Flags()
	f.String("user", "", "the person whose token it is")
	f.String("service", "", "the service account whose token it is; made if it is not there")
	f.String("name", "", "by which people recognize the token")
	f.StringArray("host", nil, "a host where it counts, without port, *.example.com for one label, or * for all; "+
		"may be given several times")
	f.StringArray("path", nil, "a path where it counts: exact, or a prefix that ends in /* (default: all); "+
		"may be given several times")
	f.String("methods", string(store.TokenAll), "read (GET, HEAD, OPTIONS, PROPFIND, REPORT) or all")
	f.String("expires", "", "how long it lives, such as 90d or 12h, or never (default: expiry of the tokens block)")

	list := verb("list", "Lists tokens", "Lists tokens, the newest first.", cobra.NoArgs, tokenList)
	list.Flags().String("user", "", "of this person only")
	list.Flags().String("service", "", "of this service account only")

	rotate := verb("rotate <token id>", "Replaces a token by a new one",
		`Replaces a token by a new one of the same scope and length of life, and prints the new
text on standard output. With --keep the old one goes on for a while, until its program
has the new one.`, cobra.ExactArgs(1), tokenRotate)
	rotate.Flags().String("keep", "now", "how long the old one goes on: now, or a duration of at most 168h")

	root.AddCommand(add, list, rotate,
		verb("revoke <token id>...", "Revokes tokens",
			`Revokes the tokens with these ids (see "token list"), and those that they replaced. Open
streams are cut, too.`, cobra.MinimumNArgs(1), tokenRevoke))
	return root
}

// newToken returns the fields of a new token from the flags.
func (c *call) newToken() (account.NewToken, error) {
	hosts, paths := c.list("host"), c.list("path")
	n := account.NewToken{
		Name: c.flag("name"), Hosts: hosts, Paths: paths, Methods: store.TokenMethods(c.flag("methods")),
	}
	switch {
	case c.given("user") == c.given("service"):
		return n, errors.New("say whose token it is: --user <user>, or --service <name> for a program's own account")
	case strings.TrimSpace(n.Name) == "":
		return n, errors.New("--name: give the token a name, by which you recognize it")
	case len(hosts) == 0:
		return n, errors.New("--host: say where the token counts, such as --host app.example.com, or --host '*' for all")
	case !oneOf(string(n.Methods), string(store.TokenRead), string(store.TokenAll)):
		return n, fmt.Errorf("--methods %q: use read or all", n.Methods)
	}
	switch v := c.flag("expires"); {
	case v == api.Never:
		n.Never = true
	case c.given("expires"):
		life, err := duration.Parse(v)
		if err != nil {
			return n, fmt.Errorf("--expires %q: give a duration such as 90d or 12h, or never", v)
		}
		n.Expires = life
	}
	return n, nil
}

func tokenAdd(c *call) error {
	n, err := c.newToken()
	if err != nil {
		return err
	}
	return c.open(func(e *env) error {
		if e.accounts.Tokens == nil {
			return errNoTokens
		}
		if err := e.accounts.Programs.Check(n); err != nil && c.flag("service") != "" {
			return err
		}
		u, err := c.tokenOwner(e)
		if err != nil {
			return err
		}
		made, err := e.accounts.Programs.Create(c.ctx, operator, u.ID, n)
		if err != nil {
			return tokenError(err)
		}
		return c.printToken(made)
	})
}

// errNoTokens means that the configuration switches no tokens on: nothing would take the new one.
var errNoTokens = errors.New("the configuration has no tokens, so that none would be taken: switch them on in the " +
	"global option, { gatehouse { tokens } }")

// tokenOwner returns the account that the flags name. A service account is made if it is not there.
func (c *call) tokenOwner(e *env) (store.User, error) {
	name := c.flag("service")
	if name == "" {
		return e.person(c, c.flag("user"))
	}
	u, err := e.service(c, name)
	if !errors.Is(err, errNoService) {
		return u, err
	}
	u, _, err = e.accounts.Create(c.ctx, operator,
		account.NewUser{Kind: store.KindService, Username: name, Active: true})
	if err != nil {
		return u, userError(err)
	}
	c.notef("added the service account %s", sanitize(u.Username))
	return u, nil
}

// person returns the account of a person.
func (e *env) person(c *call, name string) (store.User, error) {
	u, err := e.user(c, name)
	if err == nil && u.IsService() {
		return u, fmt.Errorf("%s is a service account: give --service", sanitize(u.Username))
	}
	return u, err
}

// errNoService means that there is no account of that name.
var errNoService = errors.New("there is no such service account; see caddy gatehouse user list --kind service")

// service returns a service account by id or username.
func (e *env) service(c *call, name string) (store.User, error) {
	u, err := e.store.UserByUsername(c.ctx, name)
	if store.ValidID(name) {
		if byID, iderr := e.store.User(c.ctx, name); !errors.Is(iderr, store.ErrNotFound) {
			u, err = byID, iderr
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return u, fmt.Errorf("--service %q: %w", name, errNoService)
	case err == nil && !u.IsService():
		return u, fmt.Errorf("%s is a person's account: give --user, or another name", sanitize(u.Username))
	}
	return u, err
}

// printToken prints a new token: its text alone, or with --json all of it.
func (c *call) printToken(made account.IssuedToken) error {
	c.notef("token %s of %s, expires: %s; this is its text, which is shown this once:", made.ID,
		sanitize(made.Owner.Username), formatTime(made.ExpiresAt))
	return c.result(api.NewIssuedToken(made), "%s", made.Text)
}

func tokenList(c *call) error {
	if c.given("user") && c.given("service") {
		return errors.New("give --user or --service, not both")
	}
	return c.open(func(e *env) error {
		q := store.TokenQuery{Limit: pageSize}
		var owner store.User
		var err error
		switch {
		case c.given("user"):
			owner, err = e.person(c, c.flag("user"))
		case c.given("service"):
			owner, err = e.service(c, c.flag("service"))
		}
		if err != nil {
			return err
		}
		q.UserID = owner.ID
		out := listing{
			w: c.out, json: c.boolFlag("json"),
			header: []string{"ID", "NAME", "ACCOUNT", "HINT", "HOSTS", "PATHS", "METHODS", "EXPIRES", "LAST USED"},
		}
		return out.all(func() (values []any, rows [][]string, more bool, err error) {
			page, err := e.store.Tokens(c.ctx, q)
			if err != nil {
				return nil, nil, false, fmt.Errorf("listing tokens: %w", err)
			}
			values, rows = tokenRows(page.Items, time.Now())
			q.Cursor = page.Next
			return values, rows, q.Cursor != "", nil
		})
	})
}

// tokenRows returns tokens as JSON and as columns.
func tokenRows(items []store.TokenRow, now time.Time) (values []any, rows [][]string) {
	for _, t := range items {
		expires := formatTime(t.ExpiresAt)
		if t.Expired(now) {
			expires += " (over)"
		}
		ends := "…" + t.Hint
		if !t.Fetched() {
			ends = "not fetched yet"
		}
		values = append(values, api.NewTokenRow(t))
		rows = append(rows, []string{
			t.ID, t.Name, t.Username, ends, strings.Join(t.Hosts, " "), strings.Join(t.Paths, " "),
			string(t.Methods), expires, formatTime(t.LastUsedAt),
		})
	}
	return values, rows
}

// revokedJSON are the ids of revoked tokens.
type revokedJSON struct {
	Revoked []string `json:"revoked"`
}

// tokenRevoke revokes tokens. If one of them can't be revoked, those before it are, and are reported.
func tokenRevoke(c *call) error {
	return c.open(func(e *env) error {
		var failed error
		done := revokedJSON{[]string{}}
		for _, id := range c.args {
			if failed = tokenError(e.accounts.Programs.Revoke(c.ctx, operator, id)); failed != nil {
				break
			}
			done.Revoked = append(done.Revoked, id)
			if c.boolFlag("json") {
				continue
			}
			if err := c.printf("revoked token %s", id); err != nil {
				return err
			}
		}
		if c.boolFlag("json") && len(done.Revoked) > 0 {
			return errors.Join(failed, c.printJSON(done))
		}
		return failed
	})
}

func tokenRotate(c *call) error {
	var keep time.Duration
	if v := c.flag("keep"); v != "now" {
		var err error
		if keep, err = duration.Parse(v); err != nil || keep > account.MaxTokenKeep {
			return fmt.Errorf("--keep %q: use now, or a duration of at most 168h", v)
		}
	}
	return c.open(func(e *env) error {
		if e.accounts.Tokens == nil {
			return errNoTokens
		}
		made, err := e.accounts.Programs.Rotate(c.ctx, operator, c.args[0], keep)
		if err != nil {
			return tokenError(err)
		}
		return c.printToken(made)
	})
}

// tokenError turns errors about tokens into messages for the command line.
func tokenError(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errors.New("there is no such token (any more); see caddy gatehouse token list")
	case errors.Is(err, store.ErrStale):
		return errors.New("this token was rotated already; rotate the new one, see caddy gatehouse token list")
	}
	return err
}
