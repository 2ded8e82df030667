package caddyauth

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/runtime"
)

// AuditConfig says how long the audit log is kept.
type AuditConfig struct {
	// Keep entries for this long; never under 24h. Default: for ever.
	Keep caddy.Duration `json:"keep,omitempty"`
}

// auditOptions say how long the audit log is kept.
type auditOptions struct {
	retention time.Duration // 0: for ever
}

// minRetention is the shortest time for which the audit log may be kept: less would let an attack outlive its traces.
const minRetention = 24 * time.Hour

func parseAudit(a *App, d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.Audit = &AuditConfig{}
	return block(d, func(option string) error {
		if option != "keep" {
			return d.Errf("unrecognized option %q; audit knows keep", option)
		}
		s, err := oneArg(d)
		if err != nil {
			return err
		}
		if s == runtime.Forever {
			return nil
		}
		v, err := caddy.ParseDuration(s)
		if err != nil || v <= 0 {
			return d.Errf("keep: %q is not a positive duration; write for example 30d or 365d, or forever", s)
		}
		a.Audit.Keep = caddy.Duration(v)
		return a.check(d, resolveAudit)
	})
}

func resolveAudit(a *App, o *options) error {
	if a.Audit == nil {
		return nil
	}
	keep := time.Duration(a.Audit.Keep)
	if keep != 0 && keep < minRetention {
		return fmt.Errorf("audit keep: %s is too short; keep the audit log for 24h or longer, or forever", keep)
	}
	o.retention = keep
	return nil
}

func auditSettings(a *App, s *settings) {
	s.add("audit", "keep", runtime.RetentionText(a.opt.retention), a.Audit == nil || a.Audit.Keep == 0)
}
