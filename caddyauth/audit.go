package caddyauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/store"
)

// AuditConfig says how long the audit log is kept.
type AuditConfig struct {
	// Keep entries for this long; never under 24h. Default: for ever.
	Keep caddy.Duration `json:"keep,omitempty"`
}

// auditOptions say how long the audit log is kept.
type auditOptions struct {
	keepEvents time.Duration // 0: for ever
}

// leastKept is the shortest time for which the audit log may be kept: less would let an attack outlive its traces.
const leastKept = 24 * time.Hour

// forever is how the configuration says that nothing is deleted.
const forever = "forever"

func (a *App) parseAudit(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	a.Audit = &AuditConfig{}
	return block(d, func(option string) error {
		if option != "keep" {
			return d.Errf("unrecognized option %q; audit knows keep", option)
		}
		s, err := one(d)
		if err != nil {
			return err
		}
		if s == forever {
			return nil
		}
		v, err := caddy.ParseDuration(s)
		if err != nil || v <= 0 {
			return d.Errf("keep: %q is not a positive duration; write for example 30d or 365d, or forever", s)
		}
		a.Audit.Keep = caddy.Duration(v)
		return a.check(d, (*App).resolveAudit)
	})
}

func (a *App) resolveAudit(o *options) error {
	if a.Audit == nil {
		return nil
	}
	keep := time.Duration(a.Audit.Keep)
	if keep != 0 && keep < leastKept {
		return fmt.Errorf("audit keep: %s is too short; keep the audit log for 24h or longer, or forever", keep)
	}
	o.keepEvents = keep
	return nil
}

func (a *App) auditSettings(s *settings) {
	s.add("audit", "keep", keepText(a.opt.keepEvents), a.Audit == nil || a.Audit.Keep == 0)
}

// keepText writes how long the audit log is kept, as in a Caddyfile.
func keepText(keep time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case keep == 0:
		return forever
	case keep%day == 0:
		return fmt.Sprintf("%dd", keep/day)
	}
	return keep.String()
}

// keepSetting is where the store keeps the retention that was last in force.
const keepSetting = "audit.keep"

// noteRetention audits that the audit log is kept for another time than before: whoever shortens it deletes traces.
// Where nothing changed, nothing is written.
func (rt *runtime) noteRetention(keep time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	now := keepText(keep)
	if before, err := retention(ctx, rt.store); err != nil || before == now {
		return err
	}
	return rt.store.Change(ctx, func(tx store.Tx) error {
		before, err := retention(ctx, tx)
		if err != nil || before == now { // another Caddy was first
			return err
		}
		if err := tx.SetSetting(ctx, keepSetting, now); err != nil {
			return err
		}
		return tx.AddEvent(ctx, store.Event{
			Action: "audit.keep", Actor: store.NameStartUp, Outcome: store.Success,
			Details: map[string]string{"before.keep": before, "after.keep": now},
		})
	})
}

func retention(ctx context.Context, r store.Reader) (string, error) {
	before, err := r.Setting(ctx, keepSetting)
	if errors.Is(err, store.ErrNotFound) {
		return forever, nil
	}
	return before, err
}
