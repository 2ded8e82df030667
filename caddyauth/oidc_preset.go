package caddyauth

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// icons are the pictures of the presets.
//
//go:embed icons
var icons embed.FS

// preset stands for the issuer, the label and the icon of a well-known provider.
type preset struct {
	label string
	// issuer returns the issuer for the value that goes with the preset, "" for none.
	issuer func(value string) string
	takes  string // what the value is
	needs  bool   // without a value it stands for nothing
}

// presets are the known ones, by name.
var presets = map[string]preset{
	"google": {label: "Google", issuer: func(string) string { return "https://accounts.google.com" }},
	"microsoft": {
		label: "Microsoft", takes: "the directory (tenant) ID", needs: true,
		issuer: func(tenant string) string { return "https://login.microsoftonline.com/" + tenant + "/v2.0" },
	},
	"gitlab": {
		label: "GitLab", takes: "the address of an instance of your own",
		issuer: func(address string) string {
			if address == "" {
				return "https://gitlab.com"
			}
			return strings.TrimSuffix(address, "/")
		},
	},
}

// parsePreset reads `preset google|microsoft <tenant>|gitlab [<url>]`.
func (p *ProviderConfig) parsePreset(d *caddyfile.Dispenser) error {
	args, err := someArgs(d)
	if err != nil {
		return err
	}
	if len(args) > 2 {
		return d.Err("preset takes google, microsoft <tenant> or gitlab [<url>]")
	}
	p.Preset = args[0]
	if len(args) == 2 {
		p.PresetValue = args[1]
		return p.checkLinePlaceholders(d, "preset", p.PresetValue)
	}
	return nil
}

// checkPreset refuses what is no preset, or one that stands for no single provider.
func (p *ProviderConfig) checkPreset() error {
	if p.Preset == "" && p.PresetValue == "" {
		return nil
	}
	known, ok := presets[p.Preset]
	switch {
	case !ok:
		return fmt.Errorf("preset %q: use google, microsoft <tenant> or gitlab [<url>]", p.Preset)
	case p.Issuer != "":
		return fmt.Errorf("preset %s and issuer contradict each other; give one", p.Preset)
	case known.takes == "" && p.PresetValue != "":
		return fmt.Errorf("preset %s takes no value", p.Preset)
	case known.needs && p.PresetValue == "":
		return fmt.Errorf("preset %s: %s is missing after it", p.Preset, known.takes)
	case p.Preset == "microsoft" && slices.Contains([]string{"common", "organizations", "consumers"},
		strings.ToLower(p.PresetValue)):
		return fmt.Errorf("preset microsoft %s: that is no issuer, for every tenant signs with its own; write %s",
			p.PresetValue, known.takes)
	case p.Preset == "microsoft" && !strings.Contains(p.PresetValue, "{") && strings.ContainsAny(p.PresetValue, "/:?#@ "):
		return fmt.Errorf("preset microsoft: write %s alone, such as 6b1f7c7e-0000-0000-0000-000000000000", known.takes)
	}
	return nil
}

// issuer returns the issuer, with placeholders.
func (p *ProviderConfig) issuer() string {
	if known, ok := presets[p.Preset]; ok && p.Issuer == "" {
		return known.issuer(p.PresetValue)
	}
	return p.Issuer
}

// label returns the text on the button, "" for the name.
func (p *ProviderConfig) label() string {
	if p.Label == "" {
		return presets[p.Preset].label
	}
	return p.Label
}

// presetIcon returns the picture of the preset, nil for none.
func (p *ProviderConfig) presetIcon() []byte {
	if _, ok := presets[p.Preset]; !ok {
		return nil
	}
	b, _ := icons.ReadFile("icons/" + p.Preset + ".svg") // a test looks at each
	return b
}
