package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/store"
)

func auditCommand() *cobra.Command {
	root := &cobra.Command{Use: "audit <verb>", Short: "Lists the audit log"}
	group(root)
	list := verb("list", "Lists the audit log",
		`Lists the audit log, the newest entry first: what was done, by whom, to whom, from where.`,
		cobra.NoArgs, auditList)
	f := list.Flags()
	f.String("user", "", "what this user did, and what was done to them")
	f.String("action", "", `an action such as session.sign_in, or a group of them such as "session."`)
	f.String("outcome", "", "success, failure or denied")
	f.String("search", "", "part of an actor, target, action or address, or a request's reference")
	f.String("since", "", "how far back, such as 24h or 7d")
	f.Int("limit", 100, "how many entries at most; 0 for all")
	root.AddCommand(list)
	return root
}

// auditQuery returns what the flags select.
func (c *call) auditQuery() (store.EventQuery, error) {
	q := store.EventQuery{
		Text: c.flag("search"), Action: c.flag("action"), Outcome: store.Outcome(c.flag("outcome")), Limit: pageSize,
	}
	if q.Outcome != "" && !slices.Contains(api.Outcomes, string(q.Outcome)) {
		return q, fmt.Errorf("--outcome %q: use %s", q.Outcome, strings.Join(api.Outcomes, ", "))
	}
	if v := c.flag("since"); v != "" {
		back, err := caddy.ParseDuration(v)
		if err != nil || back <= 0 {
			return q, fmt.Errorf("--since %q: give a duration such as 24h or 7d", v)
		}
		q.From = time.Now().Add(-back)
	}
	return q, nil
}

func auditList(c *call) error {
	q, err := c.auditQuery()
	if err != nil {
		return err
	}
	limit, _ := c.cmd.Flags().GetInt("limit")
	if limit < 0 {
		return fmt.Errorf("--limit %d: give a number of entries, or 0 for all", limit)
	}
	return c.open(func(e *env) error {
		if q.UserID, err = e.flaggedUser(c); err != nil {
			return err
		}
		out := listing{
			w: c.out, json: c.boolFlag("json"),
			header: []string{"TIME", "ACTION", "RESULT", "BY", "ON", "ADDRESS", "REFERENCE", "DETAILS"},
		}
		return out.all(func() ([]any, [][]string, bool, error) {
			page, err := e.store.Events(c.ctx, q)
			if err != nil {
				return nil, nil, false, fmt.Errorf("listing the audit log: %w", err)
			}
			items := page.Items
			if limit > 0 && out.n+len(items) > limit {
				items, page.Next = items[:limit-out.n], ""
			}
			values, rows := make([]any, len(items)), make([][]string, len(items))
			for i, ev := range items {
				values[i], rows[i] = api.NewEvent(ev), eventRow(ev)
			}
			q.Cursor = page.Next
			return values, rows, q.Cursor != "" && (limit == 0 || out.n+len(items) < limit), nil
		})
	})
}

func eventRow(e store.Event) []string {
	var details []string
	for k, v := range e.Details {
		details = append(details, k+"="+strconv.Quote(v))
	}
	slices.Sort(details)
	return []string{
		e.Time.UTC().Format(time.RFC3339), e.Action, string(e.Outcome), e.Actor, e.Target, e.IP, e.RequestID,
		strings.Join(details, " "),
	}
}
