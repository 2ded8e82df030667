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
	"github.com/gatehouse-auth/gatehouse/store"
)

// linkFlags adds the flags of a verb that can create a one-time link.
func linkFlags(cmd *cobra.Command) {
	cmd.Flags().Bool("link", false,
		"print a one-time link with which the person sets a password, or signs in once where passwords are off")
	cmd.Flags().String("expires", "", "how long the link can be used, such as 24h or 7d (default 72h)")
	cmd.Flags().String("site", "",
		"address of the gated site for the link, such as https://app.example.com (default: the configuration's first)")
}

// linkOptions parses these flags, before anything is changed.
func (c *call) linkOptions() (lifetime time.Duration, site string, err error) {
	link := c.boolFlag("link")
	if !link && (c.flag("expires") != "" || c.flag("site") != "") {
		return 0, "", errors.New("--expires and --site go with --link")
	}
	if link && c.readsStdin() {
		return 0, "", errors.New("give --link or --password-stdin, not both")
	}
	if v := c.flag("expires"); v != "" {
		if lifetime, err = caddy.ParseDuration(v); err != nil || lifetime <= 0 {
			return 0, "", fmt.Errorf("--expires %q: give a duration such as 24h or 7d", v)
		}
	}
	site = strings.TrimSuffix(c.flag("site"), "/")
	if site != "" && !isOrigin(site) {
		return 0, "", fmt.Errorf("--site %q: give the address of a site, such as https://app.example.com", site)
	}
	return lifetime, site, nil
}

// isOrigin reports whether site is a URL of nothing but a scheme and a host.
func isOrigin(site string) bool {
	u, err := url.Parse(site)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Path == "" &&
		u.RawQuery == "" && u.Fragment == ""
}

// linkAt returns the site of a link: the one that was asked for, else the first of the configuration, "" without any.
func (c *call) linkAt(site string) string {
	if site == "" && len(c.sites) > 0 {
		return c.sites[0]
	}
	return site
}

// printLink prints an account's link as the result, and notes to standard error. left is who else gets
// in to the account.
func (c *call) printLink(e *env, u store.User, l account.IssuedLink, site string, left accessLeftJSON) error {
	site = c.linkAt(site)
	switch {
	case site == "":
		c.notef("open this path on one of the gated sites; it works once, until %s:", formatTime(l.ExpiresAt))
	case len(c.sites) > 1 && !c.given("site"):
		c.notef("the link works once, until %s, and on the other sites, too (--site):", formatTime(l.ExpiresAt))
	default:
		c.notef("the link works once, until %s:", formatTime(l.ExpiresAt))
	}
	out, until := newAccountJSON(u), l.ExpiresAt.UTC().Truncate(time.Millisecond)
	out.accessLeftJSON = left
	out.Link, out.ExpiresAt = site+l.Path(e.app.MountPrefix()), &until
	return c.result(out, "%s", out.Link)
}
