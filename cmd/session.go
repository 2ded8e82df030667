package cmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/store"
)

func sessionCommand() *cobra.Command {
	root := &cobra.Command{Use: "session <verb>", Short: "Lists and revokes sessions"}
	group(root)

	list := verb("list", "Lists live sessions", "Lists live sessions, the latest use first.", cobra.NoArgs, sessionList)
	list.Flags().String("user", "", "of this user only")

	revoke := verb("revoke [<session id>...]", "Ends sessions",
		`Ends the sessions with these ids (see "session list"), all of one user with
--user, or everyone's with --all. Open streams are cut, too.`, cobra.ArbitraryArgs, sessionRevoke)
	revoke.Flags().String("user", "", "all sessions of this user")
	revoke.Flags().Bool("all", false, "everyone's sessions")
	revoke.Flags().Bool("yes", false, "do not ask, with --all")

	root.AddCommand(list, revoke)
	return root
}

func sessionList(c *call) error {
	return c.open(false, func(d *desk) error {
		q := store.SessionQuery{Now: time.Now(), Limit: pageSize}
		if name := c.flag("user"); name != "" {
			u, err := d.user(c, name)
			if err != nil {
				return err
			}
			q.UserID = u.ID
		}
		out := listing{w: c.out, json: c.has("json"), header: []string{"ID", "USER", "SIGNED IN", "LAST USED", "ADDRESS", "BY", "BROWSER"}}
		for {
			page, err := d.store.Sessions(c.ctx, q)
			if err != nil {
				return fmt.Errorf("listing sessions: %w", err)
			}
			var values []any
			var rows [][]string
			for _, s := range page.Items {
				if !q.Now.Before(s.LastSeenAt.Add(s.Idle)) {
					continue // idle for too long; the store judges the absolute expiry only
				}
				values = append(values, portal.NewSessionJSON(s, ""))
				rows = append(rows, []string{s.ID, s.Username, when(s.CreatedAt), when(s.LastSeenAt), s.IP, s.Method, s.UserAgent})
			}
			if err := out.page(values, rows); err != nil {
				return err
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return out.end()
			}
		}
	})
}

func sessionRevoke(c *call) error {
	ways := 0
	for _, given := range []bool{len(c.args) > 0, c.flag("user") != "", c.has("all")} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("say which sessions to end: their ids, or --user <user>, or --all")
	}
	return c.open(false, func(d *desk) error {
		switch {
		case c.has("all"):
			return revokeAll(c, d)
		case c.flag("user") != "":
			return revokeUser(c, d)
		}
		return revokeThese(c, d)
	})
}

// endedJSON is how many sessions were ended, and the ways in through providers that are left.
type endedJSON struct {
	Ended      int                   `json:"sessions_ended"`
	Identities []portal.IdentityJSON `json:"identities,omitempty"`
}

// revokeThese ends the sessions whose ids are given. When one of them can't be ended, those before it stay ended, and
// are told.
func revokeThese(c *call, d *desk) error {
	var failed error
	n := 0
	for _, id := range c.args {
		if failed = d.accounts.EndSession(c.ctx, operator, id); errors.Is(failed, store.ErrNotFound) {
			failed = fmt.Errorf("there is no session %q; see %q", id, "caddy gatehouse session list")
		}
		if failed != nil {
			break
		}
		n++
		if c.has("json") {
			continue
		}
		if err := c.printf("ended session %s", id); err != nil {
			return err
		}
	}
	if c.has("json") && n > 0 {
		return errors.Join(failed, c.printJSON(endedJSON{Ended: n}))
	}
	return failed
}

func revokeUser(c *call, d *desk) error {
	u, err := d.user(c, c.flag("user"))
	if err != nil {
		return err
	}
	n, err := d.accounts.EndSessions(c.ctx, operator, u.ID)
	if err != nil {
		return people(err)
	}
	left, err := c.tellLeft(d, u)
	if err != nil {
		return fmt.Errorf("they are ended, but looking up what is left failed: %w", err)
	}
	return c.result(endedJSON{n, left}, "ended %d session(s) of %s", n, plain(u.Username))
}

func revokeAll(c *call, d *desk) error {
	if err := c.confirm("Everyone is signed out.", "everyone"); err != nil {
		return err
	}
	n, err := d.accounts.EndEveryone(c.ctx, operator)
	if err != nil {
		return err
	}
	return c.result(endedJSON{Ended: n}, "ended %d session(s)", n)
}
