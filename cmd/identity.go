package cmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

func identityCommand() *cobra.Command {
	root := &cobra.Command{Use: "identity <verb>", Short: "Lists, unlinks and moves sign-ins through providers"}
	group(root)

	unlink := verb("unlink <user> [<identity>...]", "Unlinks sign-ins through providers",
		`Unlinks a user's sign-ins through providers, named by id, subject or provider (see
"identity list"), or all of them with --all. Sessions that began so end at once.`,
		cobra.MinimumNArgs(1), identityUnlink)
	unlink.Flags().Bool("all", false, "all of the user's")

	root.AddCommand(
		verb("list <user>", "Lists a user's sign-ins through providers", "Lists the people at providers who are this user.",
			cobra.ExactArgs(1), identityList),
		unlink,
		verb("move <user> <identity> <to user>", "Gives a sign-in through a provider to another account",
			`Gives a sign-in through a provider to another account: when the provider knows a
person under another subject than before, and they were given a new account, they get
the old one back. Sessions that began so end at once; what the sign-in gave the account
(groups, role) goes, and the other account gets it at the next sign-in.`, cobra.ExactArgs(3), identityMove))
	return root
}

func identityList(c *call) error {
	return c.open(func(e *env) error {
		_, ids, err := e.identities(c, c.args[0])
		if err != nil {
			return err
		}
		out := listing{
			w: c.out, json: c.boolFlag("json"),
			header: []string{"ID", "PROVIDER", "SUBJECT", "E-MAIL", "LINKED", "LAST SIGN-IN", "ISSUER"},
		}
		values, rows := make([]any, len(ids)), make([][]string, len(ids))
		for i, id := range ids {
			values[i] = api.NewIdentity(id)
			rows[i] = []string{
				id.ID(), id.Provider, id.Subject, id.Email, formatTime(id.CreatedAt), formatTime(id.LastLoginAt),
				id.Issuer,
			}
		}
		if err := out.page(values, rows); err != nil {
			return err
		}
		return out.end()
	})
}

// identities returns a user by name, and the user's identities.
func (e *env) identities(c *call, name string) (store.User, []store.Identity, error) {
	u, err := e.user(c, name)
	if err != nil {
		return u, nil, err
	}
	ids, err := e.store.Identities(c.ctx, u.ID)
	if err != nil {
		return u, nil, fmt.Errorf("looking up identities: %w", err)
	}
	return u, ids, nil
}

// pickIdentity returns the identity named on the command line by id, or by subject or provider if that is unique.
func pickIdentity(u store.User, ids []store.Identity, name string) (store.Identity, error) {
	for _, is := range []func(store.Identity) bool{
		func(i store.Identity) bool { return i.ID() == name },
		func(i store.Identity) bool { return i.Subject == name || oidc.BareSubject(i.Subject) == name },
		func(i store.Identity) bool { return i.Provider == name },
	} {
		var found []store.Identity
		for _, id := range ids {
			if is(id) {
				found = append(found, id)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return store.Identity{}, fmt.Errorf("%q is several sign-ins of %s: give the id that %q shows", name,
				sanitize(u.Username), "caddy gatehouse identity list")
		}
	}
	return store.Identity{}, fmt.Errorf("%s has no sign-in through a provider named %q; see %q", sanitize(u.Username),
		name, "caddy gatehouse identity list")
}

// identityChange is the output of unlink and move.
type identityChange struct {
	User       string         `json:"user"`
	Identities []api.Identity `json:"identities"`
}

func identityUnlink(c *call) error {
	names := c.args[1:]
	if c.boolFlag("all") != (len(names) == 0) {
		return errors.New("say which sign-ins to unlink: their ids, or --all")
	}
	return c.open(func(e *env) error {
		u, ids, err := e.identities(c, c.args[0])
		if err != nil {
			return err
		}
		if !c.boolFlag("all") {
			picked := make([]store.Identity, len(names))
			for i, name := range names {
				if picked[i], err = pickIdentity(u, ids, name); err != nil {
					return err
				}
			}
			ids = picked
		}
		out := identityChange{User: u.Username, Identities: []api.Identity{}}
		for _, id := range ids {
			if err := e.accounts.UnlinkIdentity(c.ctx, operator, u.ID, id.ID()); err != nil {
				return userError(err)
			}
			out.Identities = append(out.Identities, api.NewIdentity(id))
		}
		return c.result(out, "unlinked %d sign-in(s) of %s", len(ids), sanitize(u.Username))
	})
}

func identityMove(c *call) error {
	return c.open(func(e *env) error {
		u, ids, err := e.identities(c, c.args[0])
		if err != nil {
			return err
		}
		id, err := pickIdentity(u, ids, c.args[1])
		if err != nil {
			return err
		}
		to, err := e.user(c, c.args[2])
		if err != nil {
			return err
		}
		if err := e.accounts.MoveIdentity(c.ctx, operator, u.ID, id.ID(), to.ID); err != nil {
			return userError(err)
		}
		if !e.app.Passwords().Has(u) && len(ids) == 1 && u.ID != to.ID {
			c.notef("note: nobody can sign in to %s any more; see %q", sanitize(u.Username), "caddy gatehouse user delete")
		}
		return c.result(identityChange{to.Username, []api.Identity{api.NewIdentity(id)}},
			"%s at %s now signs in to %s", sanitize(id.Subject), sanitize(id.Provider), sanitize(to.Username))
	})
}

// accessLeftJSON is who else still gets in to an account after it was taken back: with identities at providers, and
// with tokens of programs.
type accessLeftJSON struct {
	Identities []api.Identity `json:"identities,omitempty"`
	Tokens     int            `json:"tokens,omitempty"`
	Passkeys   int            `json:"passkeys,omitempty"`
}

// noteAccessLeft prints notes about who else still gets in to an account, and returns that.
func (c *call) noteAccessLeft(e *env, u store.User) (out accessLeftJSON, err error) {
	left, err := e.accounts.AccessLeft(c.ctx, u.ID)
	if err != nil {
		return out, err
	}
	out.Tokens, out.Passkeys = left.Tokens, left.Passkeys
	names := make([]string, len(left.Identities))
	for i, id := range left.Identities {
		names[i] = sanitize(id.Provider)
		out.Identities = append(out.Identities, api.NewIdentity(id))
	}
	if len(names) > 0 {
		c.notef("note: %s can still be signed in to through %s; see %q", sanitize(u.Username), strings.Join(names, ", "),
			"caddy gatehouse identity unlink")
	}
	if left.Passkeys > 0 {
		c.notef("note: %d passkey(s) of %s can still sign in; see %q", left.Passkeys, sanitize(u.Username),
			"caddy gatehouse user reset-mfa "+sanitize(u.Username))
	}
	if left.Tokens > 0 {
		c.notef("note: %d token(s) of %s go on; see %q", left.Tokens, sanitize(u.Username),
			"caddy gatehouse token list --user "+sanitize(u.Username))
	}
	return out, nil
}
