package caddyauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// parseSendGroups reads `send_groups <name>…`.
func (g *Gate) parseSendGroups(d *caddyfile.Dispenser) (err error) {
	if g.SendGroups, err = someArgs(d); err != nil {
		return err
	}
	if err := g.checkSendGroups(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// parseSendGroupsPrefix reads `send_groups_prefix <prefix>`.
func (g *Gate) parseSendGroupsPrefix(d *caddyfile.Dispenser) (err error) {
	if g.SendGroupsPrefix, err = oneArg(d); err != nil {
		return err
	}
	if err := g.checkSendGroups(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// checkSendGroups refuses names that no group has.
func (g *Gate) checkSendGroups() error {
	for _, name := range g.SendGroups {
		if err := policy.FieldGroup.CheckValue(name); err != nil {
			return fmt.Errorf("send_groups: %w", err)
		}
	}
	if err := repeated("send_groups", g.SendGroups, same); err != nil {
		return err
	}
	if p := g.SendGroupsPrefix; p != "" && identifier.CheckGroup(p+"x") != "" {
		return fmt.Errorf("send_groups_prefix: %q is the beginning of no group", p)
	}
	return nil
}

// sendsAllGroups reports whether neither option is used.
func (g *Gate) sendsAllGroups() bool { return len(g.SendGroups) == 0 && g.SendGroupsPrefix == "" }

// sentGroups returns those of a person's groups that the app is told.
func (g *Gate) sentGroups(groups []string) []string {
	if g.sendsAllGroups() {
		return groups
	}
	var out []string
	for _, name := range groups {
		if slices.Contains(g.SendGroups, name) ||
			g.SendGroupsPrefix != "" && strings.HasPrefix(name, g.SendGroupsPrefix) {
			out = append(out, name)
		}
	}
	return out
}

// encodedGroups joins groups that are percent-encoded each: a comma in one of them separates nothing.
func encodedGroups(groups []string) string {
	out := make([]string, 0, len(groups))
	for _, name := range groups {
		if identifier.CheckGroup(name) == "" {
			out = append(out, percentEncoded(name))
		}
	}
	return strings.Join(out, ",")
}

// percentEncoded encodes every byte that is not unreserved (RFC 3986, section 2.3).
func percentEncoded(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}
