package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

func editCommand() *cobra.Command {
	edit := verb("edit <user>", "Changes an account",
		`Changes the given fields of an account; the others stay. It acts on the next request.

--group sets all groups, --add-group and --remove-group change some; an empty value,
as in --group '' or --email '', leaves none. Groups of a provider are not among them.`,
		cobra.ExactArgs(1), userEdit)
	f := edit.Flags()
	f.String("username", "", "another username")
	f.String("email", "", "another e-mail address")
	f.String("name", "", "another display name")
	f.String("role", "", "admin or user")
	f.StringArray("group", nil, "the groups, in place of all there are; may be given several times")
	f.StringArray("add-group", nil, "a further group; may be given several times")
	f.StringArray("remove-group", nil, "a group to leave; may be given several times")
	return edit
}

func unlockCommand() *cobra.Command {
	return verb("unlock <user>", "Ends the wait after wrong passwords",
		`Forgets the wrong passwords that were counted for an account, so that its next sign-in
need not wait. An address that tried too often waits all the same, for a minute at most.`,
		cobra.ExactArgs(1), userUnlock)
}

func userEdit(c *call) error {
	p, err := c.userPatch()
	if err != nil {
		return err
	}
	add, _ := c.cmd.Flags().GetStringArray("add-group")
	remove, _ := c.cmd.Flags().GetStringArray("remove-group")
	for name, groups := range map[string][]string{"add-group": add, "remove-group": remove} {
		if c.given(name) && (len(groups) == 0 || slices.Contains(groups, "")) {
			return fmt.Errorf("--%s: give the name of a group", name)
		}
	}
	return c.open(func(e *env) error {
		u, err := e.user(c, c.args[0])
		if err != nil {
			return err
		}
		if len(add)+len(remove) > 0 {
			if err := checkRemoved(u, remove); err != nil {
				return err
			}
			groups := slices.DeleteFunc(slices.Clone(u.Groups), func(g string) bool { return slices.Contains(remove, g) })
			for _, g := range add {
				if !slices.Contains(groups, g) {
					groups = append(groups, g)
				}
			}
			p.Groups, p.Version = &groups, u.Version
		}
		if u, err = e.accounts.Update(c.ctx, operator, u.ID, p); err != nil {
			if errors.Is(err, store.ErrStale) {
				return errors.New("somebody else changed this account just now; run the command again")
			}
			return userError(err)
		}
		return c.result(newAccountJSON(u), "%s is changed", sanitize(u.Username))
	})
}

// checkRemoved refuses what would change nothing: whoever takes a right away has to know that it is gone.
func checkRemoved(u store.User, remove []string) error {
	for _, g := range remove {
		switch {
		case slices.Contains(u.ProvidedGroups, g):
			return fmt.Errorf("--remove-group: %s has %q from a provider, which gives it again at the next sign-in: take it "+
				"away there, or turn the account off", sanitize(u.Username), sanitize(g))
		case !slices.Contains(u.Groups, g):
			return fmt.Errorf("--remove-group: %s is not in %q; the groups are: %s", sanitize(u.Username), sanitize(g),
				sanitize(strings.Join(u.Groups, ", ")))
		}
	}
	return nil
}

// userPatch returns what the flags of edit change, but for single groups.
func (c *call) userPatch() (account.Patch, error) {
	var p account.Patch
	given := false
	text := func(name string) *string {
		if !c.given(name) {
			return nil
		}
		given = true
		v := c.flag(name)
		return &v
	}
	p.Username, p.Email, p.Name = text("username"), text("email"), text("name")
	if role := text("role"); role != nil {
		r := store.Role(*role)
		if !r.Valid() {
			return p, errors.New("--role: use admin or user")
		}
		p.Role, p.PinRole = &r, true
	}
	single := c.given("add-group") || c.given("remove-group")
	if c.given("group") {
		if single {
			return p, errors.New("--group sets all groups; give it, or --add-group and --remove-group, not both")
		}
		groups, _ := c.cmd.Flags().GetStringArray("group")
		groups = slices.DeleteFunc(groups, func(g string) bool { return g == "" })
		p.Groups, given = &groups, true
	}
	if !given && !single {
		return p, errors.New("nothing to change: give --username, --email, --name, --role, --group, --add-group or " +
			"--remove-group")
	}
	return p, nil
}

func userUnlock(c *call) error {
	return c.open(func(e *env) error {
		u, err := e.user(c, c.args[0])
		if err != nil {
			return err
		}
		if err := e.accounts.Unlock(c.ctx, operator, u.ID); err != nil {
			return userError(err)
		}
		return c.result(newAccountJSON(u), "%s need not wait", sanitize(u.Username))
	})
}
