package cmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/api"
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
	return c.open(func(e *env) error {
		user, err := e.flaggedUser(c)
		if err != nil {
			return err
		}
		q := store.SessionQuery{UserID: user, Now: time.Now(), Limit: pageSize}
		out := listing{
			w: c.out, json: c.boolFlag("json"),
			header: []string{"ID", "USER", "SIGNED IN", "LAST USED", "ADDRESS", "BY", "BROWSER"},
		}
		return out.all(func() (values []any, rows [][]string, more bool, err error) {
			page, err := e.store.Sessions(c.ctx, q)
			if err != nil {
				return nil, nil, false, fmt.Errorf("listing sessions: %w", err)
			}
			for _, s := range page.Items {
				if !q.Now.Before(s.LastSeenAt.Add(s.Idle)) {
					continue // idle for too long; the store checks the absolute expiry only
				}
				values = append(values, api.NewSession(s, ""))
				rows = append(rows, []string{
					s.ID, s.Username, formatTime(s.CreatedAt), formatTime(s.LastSeenAt), s.IP, s.Method,
					s.UserAgent,
				})
			}
			q.Cursor = page.Next
			return values, rows, q.Cursor != "", nil
		})
	})
}

func sessionRevoke(c *call) error {
	ways := 0
	for _, given := range []bool{len(c.args) > 0, c.given("user"), c.boolFlag("all")} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("say which sessions to end: their ids, or --user <user>, or --all")
	}
	return c.open(func(e *env) error {
		switch {
		case c.boolFlag("all"):
			return revokeAll(c, e)
		case c.given("user"):
			return revokeUser(c, e)
		}
		return revokeByID(c, e)
	})
}

// endedJSON is the number of ended sessions, and who else still gets in to the account.
type endedJSON struct {
	Ended int `json:"sessions_ended"`
	accessLeftJSON
}

// revokeByID ends the sessions with the given ids. If one of them can't be ended, those before it are ended and
// reported.
func revokeByID(c *call, e *env) error {
	var failed error
	n := 0
	for _, id := range c.args {
		if failed = e.accounts.EndSession(c.ctx, operator, id); errors.Is(failed, store.ErrNotFound) {
			failed = fmt.Errorf("there is no session %q; see %q", id, "caddy gatehouse session list")
		}
		if failed != nil {
			break
		}
		n++
		if c.boolFlag("json") {
			continue
		}
		if err := c.printf("ended session %s", id); err != nil {
			return err
		}
	}
	if c.boolFlag("json") && n > 0 {
		return errors.Join(failed, c.printJSON(endedJSON{Ended: n}))
	}
	return failed
}

func revokeUser(c *call, e *env) error {
	u, err := e.user(c, c.flag("user"))
	if err != nil {
		return err
	}
	n, err := e.accounts.EndSessions(c.ctx, operator, u.ID)
	if err != nil {
		return userError(err)
	}
	left, err := c.noteAccessLeft(e, u)
	if err != nil {
		return fmt.Errorf("they are ended, but looking up what is left failed: %w", err)
	}
	return c.result(endedJSON{n, left}, "ended %d session(s) of %s", n, sanitize(u.Username))
}

func revokeAll(c *call, e *env) error {
	if err := c.confirm("Everyone is signed out.", "everyone"); err != nil {
		return err
	}
	n, err := e.accounts.EndAllSessions(c.ctx, operator)
	if err != nil {
		return err
	}
	if tokens, err := e.store.Tokens(c.ctx, store.TokenQuery{Limit: 1}); err == nil && len(tokens.Items) > 0 {
		c.notef("note: tokens of programs go on; see %q", "caddy gatehouse token list")
	}
	return c.result(endedJSON{Ended: n}, "ended %d session(s)", n)
}
