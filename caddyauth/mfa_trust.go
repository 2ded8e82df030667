package caddyauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/duration"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The line of the option mfa about trusted browsers.

func (c *MFAConfig) parseTrustBrowser(d *caddyfile.Dispenser) error {
	s, err := oneArg(d)
	if err != nil {
		return err
	}
	if s == "off" {
		c.TrustBrowser = new(caddy.Duration(0))
		return nil
	}
	lasts, err := caddy.ParseDuration(s)
	if err != nil || lasts <= 0 {
		return d.Errf("trust_browser: %q is neither off nor a duration such as 30d", s)
	}
	c.TrustBrowser = new(caddy.Duration(lasts))
	return wrapErr(d, c.checkTrustBrowser())
}

func (c *MFAConfig) checkTrustBrowser() error {
	if c.TrustBrowser == nil || *c.TrustBrowser == 0 {
		return nil
	}
	switch lasts := time.Duration(*c.TrustBrowser); {
	case lasts < 0:
		return errors.New("mfa trust_browser: must not be negative")
	case lasts > login.MaxTrustBrowser:
		return fmt.Errorf("mfa trust_browser %s: it is the only second factor of a sign-in for that long; use at most %s",
			duration.Text(lasts), duration.Text(login.MaxTrustBrowser))
	}
	return nil
}

// limitTrust ends the trust in browsers that this configuration would not have given for so long. It is written down,
// so that an option that is switched on again, or made longer, revives none.
func (a *App) limitTrust(ctx context.Context, st store.Store) error {
	lasts := a.opt.second.TrustBrowser
	var n int
	err := st.Change(ctx, func(tx store.Tx) (err error) {
		n, err = tx.LimitTrust(ctx, lasts)
		return err
	})
	if err != nil {
		return fmt.Errorf("limiting the trust in browsers: %w", err)
	}
	if n > 0 {
		a.log.Info("mfa trust_browser: browsers are trusted no longer than it says now", zap.Int("browsers", n),
			zap.Duration("trust_browser", lasts))
	}
	return nil
}
