package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/store"
)

func resetMFACommand() *cobra.Command {
	cmd := verb("reset-mfa <user>", "Takes second factors from somebody who has lost them",
		`Removes the second factors of an account, ends its sessions, and says which other ways in
are left. The password stays, so that whoever knows it can sign in and add factors of
their own: --link ends it, and makes a one-time link to set a new one. Without --totp,
--passkeys, --codes or --browsers, all are removed; no browser stays trusted in any case.
It is the way back in for the last administrator, also for one that the deployment
manages. It asks before, unless --yes is given.`, cobra.ExactArgs(1), userResetMFA)
	f := cmd.Flags()
	f.Bool("totp", false, "remove all authenticator apps")
	f.Bool("passkeys", false, "remove all passkeys")
	f.Bool("codes", false, "remove the recovery codes")
	f.Bool("browsers", false, "trust no browser any more")
	f.Bool("yes", false, "do not ask")
	linkFlags(cmd)
	return cmd
}

func unlockMFACommand() *cobra.Command {
	return verb("unlock-mfa <user>", "Accepts codes again after too many wrong ones",
		`Lets codes of an account's authenticator apps count again. After 100 wrong ones in a row none
is accepted: whoever tried them knows the password, so find out first who that was.`,
		cobra.ExactArgs(1), userUnlockMFA)
}

func userResetMFA(c *call) error {
	lifetime, site, err := c.linkOptions()
	if err != nil {
		return err
	}
	r := account.ResetMFA{Sessions: true, Link: c.boolFlag("link"), Expires: lifetime}
	var methods []string
	for _, m := range account.ResetMethods {
		if c.boolFlag(m) {
			methods = append(methods, m)
		}
	}
	if err := r.Take(methods...); err != nil {
		return err
	}
	return c.open(func(e *env) error {
		u, err := e.user(c, c.args[0])
		if err != nil {
			return err
		}
		v, err := e.accounts.Factors.Overview(c.ctx, u)
		if err != nil {
			return fmt.Errorf("looking up second factors: %w", err)
		}
		c.notef("%s (%s, %s): %s", sanitize(u.Username), u.ID, u.Role, factorsText(v))
		if err := c.confirm("Resetting the second factors of "+sanitize(u.Username)+".", u.Username); err != nil {
			return err
		}
		done, err := e.accounts.Factors.ResetMFA(c.ctx, operator, u.ID, r)
		if err != nil {
			return userError(err)
		}
		return c.printReset(e, u, done, site)
	})
}

// resetMFAJSON is an account, what was taken from it, and the link in its place.
type resetMFAJSON struct {
	accountJSON
	Removed api.RemovedFactors `json:"removed"`
}

// printReset prints what was taken from an account, and who else still gets in.
func (c *call) printReset(e *env, u store.User, done account.MFAReset, site string) error {
	left, err := c.noteAccessLeft(e, u)
	if err != nil {
		return fmt.Errorf("it is done, but looking up what is left failed: %w", err)
	}
	removed := api.NewMFAReset(done, account.AccessLeft{}).Removed
	said := fmt.Sprintf("removed from %s: %d authenticator app(s), %d passkey(s), %d recovery code(s)",
		sanitize(u.Username), removed.TOTP, removed.Passkeys, removed.Codes)
	if removed.Trusted > 0 {
		said += fmt.Sprintf(", %d trusted browser(s)", removed.Trusted)
	}
	said += fmt.Sprintf("; %d session(s) ended", removed.Sessions)
	out := resetMFAJSON{accountJSON: newAccountJSON(u), Removed: removed}
	out.accessLeftJSON = left
	if done.Link == nil {
		return c.result(out, "%s", said)
	}
	c.notef("%s", said)
	if !c.boolFlag("json") {
		return c.printLink(e, u, *done.Link, site, left)
	}
	until := done.Link.ExpiresAt.UTC().Truncate(time.Millisecond)
	out.Link, out.ExpiresAt = c.linkAt(site)+done.Link.Path(e.app.MountPrefix()), &until
	return c.printJSON(out)
}

func userUnlockMFA(c *call) error {
	return c.open(func(e *env) error {
		u, err := e.user(c, c.args[0])
		if err != nil {
			return err
		}
		if err := e.accounts.Factors.UnlockMFA(c.ctx, operator, u.ID); err != nil {
			return userError(err)
		}
		return c.result(newAccountJSON(u), "codes of %s are accepted again", sanitize(u.Username))
	})
}

// factorsText describes second factors on a line.
func factorsText(v account.FactorOverview) string {
	if !v.Any() && v.Codes.Left == 0 {
		return "no second factor"
	}
	list := []string{fmt.Sprintf("%d authenticator app(s)", len(v.Apps))}
	if v.Passkeys > 0 {
		list = append(list, fmt.Sprintf("%d passkey(s)", v.Passkeys))
	}
	list = append(list, fmt.Sprintf("%d recovery code(s) left", v.Codes.Left))
	if v.Browsers > 0 {
		list = append(list, fmt.Sprintf("%d trusted browser(s)", v.Browsers))
	}
	if v.Locked() {
		list = append(list, "locked after too many wrong codes")
	}
	if at := v.LastUsedAt(); !at.IsZero() {
		list = append(list, "last used "+formatTime(at))
	}
	return strings.Join(list, ", ")
}
