package cmd

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func providerCommand() *cobra.Command {
	root := &cobra.Command{Use: "provider <verb>", Short: "Checks the providers of the configuration"}
	group(root)
	root.AddCommand(verb("check [<name>...]", "Asks providers for their metadata and keys",
		`Asks the providers of the configuration, or those that are named, for their metadata and
keys, as the server would, from this machine. It needs no store and changes nothing. The
exit code is 1 when one of them could not be used.`, cobra.ArbitraryArgs, providerCheck))
	return root
}

// checkJSON is the result of checking a provider; names as in the JSON API.
type checkJSON struct {
	Name        string     `json:"name"`
	Label       string     `json:"label"`
	Issuer      string     `json:"issuer"`
	RedirectURI string     `json:"redirect_uri"`
	OK          bool       `json:"ok"`
	Problem     string     `json:"problem,omitempty"`
	Keys        int        `json:"keys"`
	SkewSeconds float64    `json:"skew_seconds"`
	CheckedAt   *time.Time `json:"discovered_at"`
}

func providerCheck(c *call) error {
	if c.given("store") {
		return errors.New("providers are in the configuration; give --config in place of --store")
	}
	app, err := c.loadApp()
	if err != nil {
		return err
	}
	results, err := app.CheckProviders(c.ctx, c.args)
	if err != nil {
		return err
	}
	if len(results) == 0 {
		c.notef("this configuration has no providers; the option oidc adds one")
	}
	site := ""
	if len(c.sites) > 0 {
		site = c.sites[0]
	}
	out := listing{
		w: c.out, json: c.boolFlag("json"),
		header: []string{"PROVIDER", "RESULT", "KEYS", "ISSUER", "REDIRECT URI"},
	}
	values, rows, failed := make([]any, len(results)), make([][]string, len(results)), 0
	for i, r := range results {
		v := checkJSON{
			Name: r.Name, Label: r.Label, Issuer: r.Issuer, RedirectURI: site + r.RedirectURI, OK: r.Problem == "",
			Problem: r.Problem, Keys: r.Keys, SkewSeconds: r.Skew.Seconds(),
		}
		if !r.DiscoveredAt.IsZero() {
			at := r.DiscoveredAt.UTC()
			v.CheckedAt = &at
		}
		result := "ok"
		if r.Problem != "" {
			failed++
			result = r.Problem
		}
		values[i], rows[i] = v, []string{r.Name, result, strconv.Itoa(r.Keys), r.Issuer, v.RedirectURI}
	}
	if err := errors.Join(out.page(values, rows), out.end()); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d providers can't be used", failed, len(results))
	}
	return nil
}
