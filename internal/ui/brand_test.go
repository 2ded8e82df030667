package ui

import (
	"regexp"
	"strings"
	"testing"
)

const svg = `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0"/></svg>`

func TestBrandTakesWhatIsDocumented(t *testing.T) {
	t.Parallel()
	for name, logo := range map[string]string{
		"": "", "png": "\x89PNG\r\n\x1a\nrest", "jpg": "\xff\xd8\xff\xe0rest", "webp": "RIFF1234WEBPrest", "svg": svg,
	} {
		b, err := NewBrand("Acme", []byte(logo), "#1f5fbf", "https://help.example.test/x")
		if err != nil || b.logoExt != name {
			t.Errorf("%s: %q, %v", name, b.logoExt, err)
		}
	}
	b, err := NewBrand("", nil, "", "mailto:help@example.test?subject=x")
	if err != nil || b.Title() != DefaultTitle || b.SupportText() != "help@example.test" {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestBrandRefusesTheRest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ title, logo, accent, support, option string }{
		"long title":     {title: strings.Repeat("x", 101), option: "title"},
		"line break":     {title: "a\nb", option: "title"},
		"separator":      {title: "a\u2028b", option: "title"},
		"not UTF-8":      {title: "\xff", option: "title"},
		"html logo":      {logo: "<html><svg xmlns='http://www.w3.org/2000/svg'/></html>", option: "logo"},
		"gif":            {logo: "GIF89a", option: "logo"},
		"entities":       {logo: `<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>`, option: "logo"},
		"no namespace":   {logo: `<svg/>`, option: "logo"},
		"half an SVG":    {logo: svg[:60], option: "logo"},
		"large":          {logo: "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 64<<10), option: "logo"},
		"color name":     {accent: "red", option: "accent"},
		"short color":    {accent: "#fff", option: "accent"},
		"css":            {accent: "#ffffff;}", option: "accent"},
		"not hex":        {accent: "#gggggg", option: "accent"},
		"signed":         {accent: "#+12345", option: "accent"},
		"scripting":      {support: "javascript:alert(1)", option: "support"},
		"plain http":     {support: "http://help.example.test", option: "support"},
		"data":           {support: "data:text/html,x", option: "support"},
		"no host":        {support: "https:///x", option: "support"},
		"userinfo":       {support: "https://a:canary@help.example.test", option: "support"},
		"mail to nobody": {support: "mailto:", option: "support"},
		"bad escape":     {support: "https://help.example.test/%zz-canary", option: "support"},
	} {
		_, err := NewBrand(c.title, []byte(c.logo), c.accent, c.support)
		if err == nil || !strings.HasPrefix(err.Error(), "brand "+c.option+": ") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Any accent can be read: as text on the surfaces, and text on it.
func TestEveryAccentIsLegible(t *testing.T) {
	t.Parallel()
	for i := range 16 * 16 * 16 {
		c := rgb{uint8(i >> 8 * 17), uint8(i >> 4 & 15 * 17), uint8(i & 15 * 17)}
		a, note, err := newAccent(c.String())
		if err != nil {
			t.Fatal(err)
		}
		for name, ratio := range map[string]float64{
			"light": contrast(a.light, lightSurface), "dark": contrast(a.dark, darkSurface),
			"on light": contrast(a.light, a.light.on()), "on dark": contrast(a.dark, a.dark.on()),
		} {
			if ratio < minContrast {
				t.Errorf("%s: %s has %.2f:1", c, name, ratio)
			}
		}
		if (note == "") != (a.light == c) {
			t.Errorf("%s becomes %s with note %q", c, a.light, note)
		}
	}
	if a, note, err := newAccent("#1f5fbf"); err != nil || a.light.String() != "#1f5fbf" || note != "" {
		t.Errorf("a color that can be read is changed: %v %q %v", a, note, err)
	}
	if got := contrast(white, rgb{}); got < 20.99 || got > 21.01 {
		t.Errorf("black on white is %v:1", got)
	}
}

// The pairs of colors in the style sheet: text at least 4.5:1, borders of fields 3:1, in both schemes.
func TestStyleSheetColorsAreLegible(t *testing.T) {
	t.Parallel()
	css, err := static.ReadFile("static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	colors := map[string][2]rgb{}
	for _, m := range regexp.MustCompile(`--([a-z-]+):light-dark\((#[0-9a-f]+),(#[0-9a-f]+)\)`).FindAllStringSubmatch(string(css), -1) {
		var pair [2]rgb
		for i, hex := range m[2:] {
			if len(hex) == 4 {
				hex = "#" + strings.Repeat(hex[1:2], 2) + strings.Repeat(hex[2:3], 2) + strings.Repeat(hex[3:4], 2)
			}
			if pair[i], err = parseRGB(hex); err != nil {
				t.Fatal(err)
			}
		}
		colors[m[1]] = pair
	}
	for _, c := range []struct {
		text, on string
		least    float64
	}{
		{"text", "bg", 4.5},
		{"text", "surface", 4.5},
		{"text", "raise", 4.5},
		{"muted", "bg", 4.5},
		{"muted", "surface", 4.5},
		{"muted", "raise", 4.5},
		{"accent", "bg", 4.5},
		{"accent", "surface", 4.5},
		{"accent", "raise", 4.5},
		{"on-accent", "accent", 4.5},
		{"danger", "surface", 4.5},
		{"danger", "danger-bg", 4.5},
		{"on-danger", "danger", 4.5},
		{"ok", "surface", 4.5},
		{"warn", "surface", 4.5},
		{"text", "danger-bg", 4.5},
		{"text", "ok-bg", 4.5},
		{"text", "warn-bg", 4.5},
		{"accent", "danger-bg", 4.5},
		{"accent", "warn-bg", 4.5},
		{"accent", "ok-bg", 4.5},
		{"field", "surface", 3},
		{"field", "bg", 3},
	} {
		for i, scheme := range []string{"light", "dark"} {
			if got := contrast(colors[c.text][i], colors[c.on][i]); got < c.least {
				t.Errorf("%s on %s, %s: %.2f:1", c.text, c.on, scheme, got)
			}
		}
	}
	if colors["raise"] != [2]rgb{lightSurface, darkSurface} {
		t.Error("an operator's accent is measured against other surfaces than the style sheet's")
	}
}
