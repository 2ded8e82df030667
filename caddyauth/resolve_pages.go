package caddyauth

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

var prefixForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func (a *App) resolvePages(o *options) error {
	o.prefix = "/_auth"
	if a.Prefix != "" {
		o.prefix = a.Prefix
	}
	if !prefixForm.MatchString(o.prefix) || strings.Contains(o.prefix+"/", "/./") || strings.Contains(o.prefix+"/", "/../") {
		return fmt.Errorf("prefix: %q; use a path such as /_auth, without a trailing slash", o.prefix)
	}
	o.forwarded = a.ForwardedHost
	if err := a.resolveHosts(o); err != nil {
		return err
	}
	if o.language = a.Language; o.language == "" {
		o.language = ui.English
	}
	if !ui.KnownLanguage(o.language) {
		return fmt.Errorf("language: %q; there are texts in %s", a.Language, languageList())
	}
	return a.resolveBrand(o)
}

// languageList returns the languages that there are, such as "de (Deutsch), en (English)".
func languageList() string {
	var list []string
	for _, l := range ui.Languages() {
		list = append(list, l.Code+" ("+l.Name+")")
	}
	return strings.Join(list, ", ")
}

func (a *App) resolveBrand(o *options) error {
	c := a.Brand
	if c == nil {
		c = &BrandConfig{}
	}
	o.title = c.Title
	if o.title == "" {
		o.title = "Gatehouse"
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
	brand, err := ui.NewBrand(o.title, logo, c.Accent, c.Support)
	if err != nil {
		return fmt.Errorf("brand: %w", err)
	}
	o.brand = brand
	return nil
}

// maxLogo is the largest logo, in bytes; it is part of the first page a visitor loads.
const maxLogo = 64 << 10

func readLogo(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxLogo {
		return nil, fmt.Errorf("%s: give a file of at most 64 KiB", path)
	}
	return os.ReadFile(path)
}
