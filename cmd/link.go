package cmd

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/store"
)

// linkFlags adds what a verb that can make a one-time link needs.
func linkFlags(cmd *cobra.Command) {
	cmd.Flags().Bool("link", false, "print a one-time link with which the person sets a password")
	cmd.Flags().String("expires", "", "how long the link can be used, such as 24h or 7d (default 72h)")
	cmd.Flags().String("site", "", "address of a gated site, such as https://app.example.com, to print the whole link")
}

// linkOptions reads these flags, before anything is changed.
func (c *call) linkOptions() (life time.Duration, site string, err error) {
	link := c.has("link")
	if !link && (c.flag("expires") != "" || c.flag("site") != "") {
		return 0, "", errors.New("--expires and --site go with --link")
	}
	if link && c.readsStdin() {
		return 0, "", errors.New("give --link or --password-stdin, not both")
	}
	if v := c.flag("expires"); v != "" {
		if life, err = caddy.ParseDuration(v); err != nil || life <= 0 {
			return 0, "", fmt.Errorf("--expires %q: give a duration such as 24h or 7d", v)
		}
	}
	site = strings.TrimSuffix(c.flag("site"), "/")
	if site == "" {
		return life, "", nil
	}
	u, err := url.Parse(site)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return 0, "", fmt.Errorf("--site %q: give the address of a site, such as https://app.example.com", site)
	}
	return life, site, nil
}

// printLink prints an account's link as the result; all that is said about it goes elsewhere. left are the identities with
// which the account can still be signed in to.
func (c *call) printLink(d *desk, u store.User, l account.IssuedLink, site string, left ...portal.IdentityJSON) error {
	if site == "" {
		c.notef("open this path on one of the gated sites; it works once, until %s:", when(l.ExpiresAt))
	} else {
		c.notef("the link works once, until %s:", when(l.ExpiresAt))
	}
	out, until := newAccountJSON(u), l.ExpiresAt.UTC().Truncate(time.Millisecond)
	out.Identities = left
	out.Link, out.ExpiresAt = site+l.Path(d.app.MountPrefix()), &until
	return c.result(out, "%s", out.Link)
}
