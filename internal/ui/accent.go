package ui

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
)

// accent is the operator's color as it is used: one shade for the light and one for the dark scheme.
type accent struct{ light, dark rgb }

type rgb [3]uint8

// The surfaces of static/app.css that the accent is read on as a link or a focus ring; the least favorable of each
// scheme decides.
var (
	lightSurface = rgb{0xf0, 0xf2, 0xf5} // --raise
	darkSurface  = rgb{0x1f, 0x25, 0x2d}
	white        = rgb{0xff, 0xff, 0xff}
	ink          = rgb{0x0b, 0x10, 0x18}
)

// minContrast is what WCAG 2.2 asks of text (success criterion 1.4.3).
const minContrast = 4.5

// newAccent parses "#rrggbb". A color that would be hard to read is darkened for the light scheme and lightened for
// the dark one until its contrast is 4.5:1, because a brand's color is given and the reader matters more; note says
// so when the light shade is not the one that was asked for.
func newAccent(s string) (a accent, note string, err error) {
	c, err := parseRGB(s)
	if err != nil {
		return accent{}, "", err
	}
	a.light = shade(c, rgb{}, lightSurface)
	a.dark = shade(c, white, darkSurface)
	if a.light != c {
		note = fmt.Sprintf("%s is hard to read on a light background (%.1f:1), so %s is used there", c,
			contrast(c, lightSurface), a.light)
	}
	return a, note, nil
}

func parseRGB(s string) (rgb, error) {
	if len(s) == 7 && s[0] == '#' {
		if b, err := hex.DecodeString(s[1:]); err == nil {
			return rgb{b[0], b[1], b[2]}, nil
		}
	}
	return rgb{}, errors.New(`use a color such as "#1f5fbf", in quotes`)
}

// shade moves c toward to in small steps until it can be read on surface.
func shade(c, to, surface rgb) rgb {
	for i := range 51 {
		if m := mix(c, to, float64(i)/50); contrast(m, surface) >= minContrast {
			return m
		}
	}
	return to
}

func mix(a, b rgb, t float64) (m rgb) {
	for i := range a {
		m[i] = uint8(math.Round(float64(a[i])*(1-t) + float64(b[i])*t))
	}
	return m
}

// on returns the color of text on c.
func (c rgb) on() rgb {
	if contrast(white, c) >= contrast(ink, c) {
		return white
	}
	return ink
}

func (c rgb) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// contrast returns the ratio of two colors, 1 to 21 (WCAG 2.2, "contrast ratio").
func contrast(a, b rgb) float64 {
	la, lb := luminance(a), luminance(b)
	if la < lb {
		la, lb = lb, la
	}
	return (la + 0.05) / (lb + 0.05)
}

func luminance(c rgb) float64 {
	lin := func(v uint8) float64 {
		f := float64(v) / 255
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(c[0]) + 0.7152*lin(c[1]) + 0.0722*lin(c[2])
}

// css returns the rules that put the accent in place of the built-in one. It is made of numbers only.
func (a accent) css() string {
	if a == (accent{}) {
		return ""
	}
	return fmt.Sprintf(":root{--accent:light-dark(%s,%s);--on-accent:light-dark(%s,%s)}\n", a.light, a.dark, a.light.on(),
		a.dark.on())
}
