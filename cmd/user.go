package cmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/store"
)

func userCommand() *cobra.Command {
	root := &cobra.Command{Use: "user <verb>", Short: "Lists, shows, adds and changes accounts"}
	group(root)

	list := verb("list", "Lists accounts", "Lists accounts by username.", cobra.NoArgs, userList)
	list.Flags().String("search", "", "part of a username, e-mail or name")
	list.Flags().String("status", "", "active, inactive, pending or never (never signed in)")
	list.Flags().String("role", "", "admin or user")
	list.Flags().String("kind", "", "person or service")
	list.Flags().String("mfa", "", "second factors: "+strings.Join(api.MFAStates, ", "))

	show := verb("show <user>", "Shows an account", "Shows the account with that username, e-mail or id.",
		cobra.ExactArgs(1), userShow)

	add := verb("add <username>", "Adds an account",
		`Adds an account. Asks for its password, or reads it from standard input with
--password-stdin; with --link it prints a one-time link instead, with which the
person sets one, or signs in once where passwords are off. With --service it is the
account of a program, which has tokens (see "token add") and no password.

Where there is no store yet, --new-store makes one. The next start of Caddy with the
same configuration then finds the account there.`, cobra.ExactArgs(1), userAdd)
	af := add.Flags()
	af.String("email", "", "e-mail address")
	af.String("name", "", "display name")
	af.String("role", string(store.RoleUser), "admin or user")
	af.StringArray("group", nil, "a group; may be given several times")
	af.Bool("disabled", false, "add it turned off")
	af.Bool("must-change", false, "the password has to be replaced at the first sign-in")
	af.Bool("service", false, "the account of a program")
	af.Bool("password-stdin", false, "read the password from standard input")
	af.Bool("new-store", false, "make the store if there is none")
	linkFlags(add)

	root.AddCommand(list, show, add, editCommand(), unlockCommand(), resetMFACommand(), unlockMFACommand(),
		verb("disable <user>", "Turns an account off",
			"Turns an account off. Its sessions end at once, and turning it on again revives none of them.",
			cobra.ExactArgs(1), func(c *call) error { return setActive(c, false) }),
		verb("enable <user>", "Turns an account on", "Turns an account on, or admits one that was pending.",
			cobra.ExactArgs(1), func(c *call) error { return setActive(c, true) }),
		verb("set-role <user> admin|user", "Gives an account a role",
			"Gives an account a role. It acts on the next request; a provider's groups no longer decide it.",
			cobra.ExactArgs(2), userSetRole),
		deleteCommand())
	return root
}

func deleteCommand() *cobra.Command {
	del := verb("delete <user>", "Deletes an account",
		`Deletes an account and everything that belongs to it. Its rows in the audit log stay.
On a terminal it asks before. Consider "disable" instead.`,
		cobra.ExactArgs(1), userDelete)
	del.Flags().Bool("yes", false, "do not ask")
	return del
}

// kind returns what an account stands for.
func kind(u store.User) string {
	if u.IsService() {
		return "service account"
	}
	return "person"
}

func status(u store.User) string {
	s := "active"
	switch {
	case u.Pending:
		s = "pending"
	case !u.Active:
		s = "inactive"
	}
	switch {
	case u.Managed:
		s += ", managed"
	case u.IsService():
		s += ", service"
	}
	return s
}

// pageSize is the number of rows that a listing reads at once.
const pageSize = 500

func userList(c *call) error {
	q := store.UserQuery{
		Text: c.flag("search"), Status: c.flag("status"), Role: store.Role(c.flag("role")),
		Kind: store.UserKind(c.flag("kind")), Limit: pageSize,
	}
	switch {
	case !oneOf(c.flag("kind"), "", string(store.KindPerson), string(store.KindService)):
		return fmt.Errorf("--kind %q: use person or service", c.flag("kind"))
	case c.given("mfa") && !oneOf(c.flag("mfa"), api.MFAStates...):
		return fmt.Errorf("--mfa %q: use %s", c.flag("mfa"), strings.Join(api.MFAStates, ", "))
	case q.Role != "" && !q.Role.Valid():
		return fmt.Errorf("--role %q: use admin or user", c.flag("role"))
	case !oneOf(q.Status, "", "active", "inactive", "pending", "never"):
		return fmt.Errorf("--status %q: use active, inactive, pending or never", q.Status)
	}
	return c.open(func(e *env) error {
		api.SelectMFA(&q, c.flag("mfa"), e.app.SecondFactors().DemandFor())
		out := listing{
			w: c.out, json: c.boolFlag("json"),
			header: []string{"USERNAME", "E-MAIL", "NAME", "ROLE", "STATUS", "LAST SIGN-IN"},
		}
		return out.all(func() ([]any, [][]string, bool, error) {
			page, err := e.store.Users(c.ctx, q)
			if err != nil {
				return nil, nil, false, fmt.Errorf("listing users: %w", err)
			}
			values, rows := make([]any, len(page.Items)), make([][]string, len(page.Items))
			for i, u := range page.Items {
				values[i] = api.NewUser(u)
				rows[i] = []string{u.Username, u.Email, u.Name, string(u.Role), status(u), formatTime(u.LastLoginAt)}
			}
			q.Cursor = page.Next
			return values, rows, q.Cursor != "", nil
		})
	})
}

func oneOf(s string, list ...string) bool {
	for _, v := range list {
		if s == v {
			return true
		}
	}
	return false
}

func userShow(c *call) error {
	return c.open(func(e *env) error {
		u, err := e.user(c, c.args[0])
		if err != nil {
			return err
		}
		if c.boolFlag("json") {
			details, err := api.NewUserDetails(c.ctx, e.accounts, u)
			if err != nil {
				return fmt.Errorf("looking up second factors: %w", err)
			}
			return c.printJSON(details)
		}
		factors, err := e.accounts.Factors.Overview(c.ctx, u)
		if err != nil {
			return fmt.Errorf("looking up second factors: %w", err)
		}
		ids, err := e.store.Identities(c.ctx, u.ID)
		if err != nil {
			return fmt.Errorf("looking up identities: %w", err)
		}
		var ways []string
		if e.app.Passwords().Has(u) {
			ways = append(ways, "password")
		}
		for _, id := range ids {
			ways = append(ways, id.Provider)
		}
		return table(c.out, []string{"username", u.Username}, [][]string{
			{"id", u.ID},
			{"kind", kind(u)},
			{"e-mail", u.Email},
			{"name", u.Name},
			{"role", string(u.Role)},
			{"groups", identifier.JoinGroups(u.Groups, ", ")},
			{"status", status(u)},
			{"signs in by", strings.Join(ways, ", ")},
			{"second factors", factorsText(factors)},
			{"created", formatTime(u.CreatedAt)},
			{"updated", formatTime(u.UpdatedAt)},
			{"last sign-in", formatTime(u.LastLoginAt)},
		})
	})
}

func userAdd(c *call) error {
	lifetime, site, err := c.linkOptions()
	if err != nil {
		return err
	}
	groups, _ := c.cmd.Flags().GetStringArray("group")
	n := account.NewUser{
		Username: c.args[0], Email: c.flag("email"), Name: c.flag("name"), Role: store.Role(c.flag("role")),
		Groups: groups, MustChange: c.boolFlag("must-change"), Active: !c.boolFlag("disabled"), Expires: lifetime,
	}
	app, err := c.loadApp()
	if err != nil {
		return err
	}
	switch {
	case c.boolFlag("service"):
		for _, flag := range []string{"link", "password-stdin", "must-change"} {
			if c.boolFlag(flag) {
				return fmt.Errorf("--%s goes with people: a service account has tokens, see token add", flag)
			}
		}
		n.Kind = store.KindService
	case !c.boolFlag("link"):
		if n.Password, err = c.passwordOf(app, store.User{}); err != nil {
			return err
		}
	}
	return c.openStore(app, c.boolFlag("new-store"), func(e *env) error {
		u, link, err := e.accounts.Create(c.ctx, operator, n)
		if err != nil {
			return userError(err)
		}
		c.notef("added %s (%s)", sanitize(u.Username), u.Role)
		if link != nil {
			return c.printLink(e, u, *link, site, accessLeftJSON{})
		}
		return c.result(newAccountJSON(u), "%s", u.ID)
	})
}

func setActive(c *call, active bool) error {
	return c.patch(account.Patch{Active: &active}, map[bool]string{true: "is turned on", false: "is turned off"}[active])
}

func userSetRole(c *call) error {
	role := store.Role(c.args[1])
	if !role.Valid() {
		return fmt.Errorf("unknown role %q: use admin or user", c.args[1])
	}
	return c.patch(account.Patch{Role: &role, PinRole: true}, "has the role "+string(role))
}

// patch changes the account that the first argument names.
func (c *call) patch(p account.Patch, done string) error {
	return c.open(func(e *env) error {
		u, err := e.user(c, c.args[0])
		if err != nil {
			return err
		}
		if u, err = e.accounts.Update(c.ctx, operator, u.ID, p); err != nil {
			return userError(err)
		}
		return c.result(newAccountJSON(u), "%s %s", sanitize(u.Username), done)
	})
}

func userDelete(c *call) error {
	return c.open(func(e *env) error {
		u, err := e.user(c, c.args[0])
		if err != nil {
			return err
		}
		if c.interactive() { // scripts are not asked
			if err := c.confirm(fmt.Sprintf("Deleting %s (%s).", sanitize(u.Username), u.ID), u.Username); err != nil {
				return err
			}
		}
		if err := e.accounts.Delete(c.ctx, operator, u.ID); err != nil {
			return userError(err)
		}
		return c.result(newAccountJSON(u), "%s is deleted", sanitize(u.Username))
	})
}

// userError turns errors of the account service into messages for the command line.
func userError(err error) error {
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		return fmt.Errorf("this %s is taken by another account; see %q", conflict.Field, "caddy gatehouse user list")
	case errors.Is(err, store.ErrNotFound):
		return errors.New("it is not there any more; it was deleted or ended meanwhile")
	}
	return err
}
