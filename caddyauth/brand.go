package caddyauth

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// BrandConfig makes the pages look like the operator's.
type BrandConfig struct {
	// Title of the site on our pages; default the host that the browser asked for.
	Title string `json:"title,omitempty"`
	// Logo file: PNG, JPEG, WebP or SVG, at most 64 KiB.
	Logo string `json:"logo,omitempty"`
	// Accent color, #rrggbb.
	Accent string `json:"accent,omitempty"`
	// Support is an https: or mailto: address that pages offer for help.
	Support string `json:"support,omitempty"`
}

// brandOptions are how the pages look.
type brandOptions struct {
	brand ui.Brand
	title string
}

func parseBrand(a *App, d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.Brand = &BrandConfig{}
	b := a.Brand
	lines := map[string]*string{"title": &b.Title, "logo": &b.Logo, "accent": &b.Accent, "support": &b.Support}
	return block(d, func(option string) (err error) {
		to := lines[option]
		if to == nil {
			return d.Errf("unrecognized option %q; brand knows title, logo, accent and support", option)
		}
		if *to, err = oneArg(d); err != nil {
			return err
		}
		if err := checkPlaceholders(a.Brand.Logo); err != nil {
			return d.Errf("brand logo: %w", err)
		}
		b := *a.Brand
		b.Logo = "" // read in the server
		plain := &App{Brand: &b}
		if err := resolveBrand(plain, &options{}); err != nil {
			return d.WrapErr(err)
		}
		return nil
	})
}

func resolveBrand(a *App, o *options) error {
	c := a.Brand
	if c == nil {
		c = &BrandConfig{}
	}
	if c.Title != "" && strings.TrimSpace(c.Title) == "" || strings.ContainsFunc(c.Title, unicode.IsControl) {
		return errors.New("brand title: it is blank, or has a line break in it; write the name of the site in one line")
	}
	o.title = c.Title // no password may be the title
	if o.title == "" {
		o.title = ui.DefaultTitle
	}
	var logo []byte
	if c.Logo != "" {
		path, err := placeholder("brand logo", c.Logo)
		if err != nil {
			return err
		}
		if logo, err = readLogo(path); err != nil {
			return fmt.Errorf("brand logo: %w", err)
		}
	}
	brand, err := ui.NewBrand(c.Title, logo, c.Accent, c.Support)
	if err != nil {
		return fmt.Errorf("brand: %w", err)
	}
	o.brand = brand
	return nil
}

// maxImage is the largest logo, in bytes; it is part of the first page a visitor loads.
const maxImage = 64 << 10

func readLogo(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxImage {
		return nil, fmt.Errorf("%s: give a file of at most 64 KiB", path)
	}
	return os.ReadFile(path)
}

func brandSettings(a *App, s *settings) {
	c := a.Brand
	if c == nil {
		c = &BrandConfig{}
	}
	s.add("brand", "title", c.Title, c.Title == "")
	s.add("brand", "logo", c.Logo, c.Logo == "")
	s.add("brand", "accent", c.Accent, c.Accent == "")
	s.add("brand", "support", c.Support, c.Support == "")
}
