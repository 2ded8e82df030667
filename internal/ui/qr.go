package ui

import (
	"fmt"
	"html/template"
	"strings"

	"rsc.io/qr"
)

// quietZone is the blank space around a QR code that readers need, in modules (ISO/IEC 18004, section 6.3.8).
const quietZone = 4

// QR is a QR code for the "qr" template: one path of an inline picture, so that no image has to be loaded.
type QR struct {
	Size int    // width and height with the quiet zone, in modules; 0 for none
	Path string // of the black modules
	Name string // what a screen reader says
}

// Opener is the address that opens an authenticator app, for a link. html/template lets no other scheme through than
// those of the web and of mail.
type Opener = template.URL //nolint:forbidigo // AppLink alone makes one

// AppLink returns the link that opens an authenticator app with an address of totp.URI, which is percent-encoded; ""
// for any other address.
func AppLink(uri string) Opener {
	if !strings.HasPrefix(uri, "otpauth://totp/") || strings.ContainsAny(uri, "\"'<> ") {
		return ""
	}
	return Opener(uri)
}

// NewQR makes a QR code of a text. It fails where the text is longer than a code can hold.
func NewQR(text, name string) (QR, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return QR{}, fmt.Errorf("making a QR code: %w", err)
	}
	var b strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if n := x - from; n > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quietZone, y+quietZone, n, n)
			}
		}
	}
	return QR{Size: code.Size + 2*quietZone, Path: b.String(), Name: name}, nil
}
