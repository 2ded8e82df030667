package ui

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Brand is what an operator may change about the look. Make it with [NewBrand]; the zero value is the plain look.
type Brand struct {
	title   string
	logo    []byte
	logoExt string
	accent  accent
	support string
	notes   []string
}

const (
	// DefaultTitle names the site where the operator gave no title and its host is not known.
	DefaultTitle = "Gatehouse"

	maxTitle = 100
	maxLogo  = 64 << 10
)

// NewBrand checks the operator's values, each of which may be empty: title is plain text of at most 100 characters,
// logo the content of a PNG, JPEG, WebP or SVG file of at most 64 KiB, color "#rrggbb", support an https: or mailto:
// address. Errors name the option and say what it takes.
func NewBrand(title string, logo []byte, color, support string) (Brand, error) {
	b := Brand{title: strings.TrimSpace(title)}
	if err := checkTitle(b.title); err != nil {
		return Brand{}, fmt.Errorf("brand title: %w", err)
	}
	if len(logo) > 0 {
		ext, err := sniffLogo(logo)
		if err != nil {
			return Brand{}, fmt.Errorf("brand logo: %w", err)
		}
		b.logo, b.logoExt = bytes.Clone(logo), ext
	}
	if color != "" {
		a, note, err := newAccent(color)
		if err != nil {
			return Brand{}, fmt.Errorf("brand accent: %w", err)
		}
		b.accent = a
		if note != "" {
			b.notes = append(b.notes, "brand accent: "+note)
		}
	}
	if support != "" {
		s, err := checkSupport(support)
		if err != nil {
			return Brand{}, fmt.Errorf("brand support: %w", err)
		}
		b.support = s
	}
	return b, nil
}

// TitleFor returns the name of the site at a host, which may have a port: its title, or the host.
func (b Brand) TitleFor(host string) string {
	if b.title != "" || host == "" {
		return b.Title()
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// Title returns the name of the site as far as it is known without a request.
func (b Brand) Title() string {
	if b.title == "" {
		return DefaultTitle
	}
	return b.title
}

// Support returns the address for help, "" for none.
func (b Brand) Support() string { return b.support }

// SupportText returns the address as people read it.
func (b Brand) SupportText() string {
	if rest, ok := strings.CutPrefix(b.support, "mailto:"); ok {
		rest, _, _ = strings.Cut(rest, "?")
		return rest
	}
	return strings.TrimSuffix(strings.TrimPrefix(b.support, "https://"), "/")
}

// Notes returns what was adjusted, for the log.
func (b Brand) Notes() []string { return b.notes }

func checkTitle(s string) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxTitle {
		return fmt.Errorf("use at most %d characters of plain text", maxTitle)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return errors.New("leave out line breaks and other control characters")
		}
	}
	return nil
}

func checkSupport(s string) (string, error) {
	const want = "use an https: address or mailto: with an e-mail address"
	u, err := url.Parse(s)
	if err != nil {
		return "", errors.New(want) // not err: it repeats the value, which may be anything
	}
	switch u.Scheme {
	case "https":
		if u.Host == "" || u.User != nil {
			return "", errors.New(want)
		}
	case "mailto":
		local, domain, ok := strings.Cut(u.Opaque, "@")
		if !ok || local == "" || domain == "" {
			return "", errors.New(want)
		}
	default:
		return "", errors.New(want)
	}
	return u.String(), nil
}

// ImageType returns the media type of an image that a page may show, by its content.
func ImageType(b []byte) (string, error) {
	ext, err := sniffLogo(b)
	if err != nil {
		return "", err
	}
	return mimes[ext], nil
}

// sniffLogo returns the file extension for an image by its content, never by its name.
func sniffLogo(b []byte) (ext string, err error) {
	if len(b) > maxLogo {
		return "", fmt.Errorf("the file has %d bytes; use an image of at most 64 KiB", len(b))
	}
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "png", nil
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "jpg", nil
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "webp", nil
	case isSVG(b):
		return "svg", nil
	}
	return "", errors.New("the file is not a PNG, JPEG, WebP or SVG image")
}

// isSVG reports whether b is well-formed XML whose root is an svg element of the SVG namespace. Entities of its own
// are refused by the decoder: a file that expands is not served.
func isSVG(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	root := false
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			return false
		}
		if el, ok := tok.(xml.StartElement); ok && !root {
			if el.Name.Local != "svg" || el.Name.Space != "http://www.w3.org/2000/svg" {
				return false
			}
			root = true
		}
	}
}
