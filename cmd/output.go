package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/store"
)

// result prints the result of a verb: v with --json, else the text.
func (c *call) result(v any, format string, args ...any) error {
	if c.boolFlag("json") {
		return c.printJSON(v)
	}
	return c.printf(format, args...)
}

// accountJSON is an account in the output, as in the JSON API, with a one-time link if one was created.
type accountJSON struct {
	api.User
	Link      string     `json:"link,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // of the link
	accessLeftJSON
}

func newAccountJSON(u store.User) accountJSON { return accountJSON{User: api.NewUser(u)} }

// printJSON writes a value as indented JSON.
func (c *call) printJSON(v any) error {
	data, err := indented(v, "")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, data)
	return err
}

// indented returns a value as indented JSON that is safe for a terminal: encoding/json escapes only some of the
// characters that sanitize replaces.
func indented(v any, prefix string) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent(prefix, "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if r != '\n' && isUnsafe(r) {
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&out, `\u%04x`, unit)
			}
			continue
		}
		out.WriteRune(r)
	}
	return out.String(), nil
}

// isUnsafe reports whether a character can affect a terminal.
func isUnsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// table writes rows under a header, in columns.
func table(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = sanitize(cell)
		}
		if _, err := fmt.Fprintln(tw, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// listing writes a list page by page, so that a million rows are never in memory at once.
type listing struct {
	w      io.Writer
	json   bool
	header []string
	n      int // rows so far
}

// page writes some rows: values as JSON, or cells as columns.
func (l *listing) page(values []any, cells [][]string) error {
	defer func() { l.n += len(values) }()
	if !l.json {
		if l.n > 0 && len(cells) == 0 {
			return nil
		}
		return table(l.w, l.header, cells)
	}
	for i, v := range values {
		lead := ",\n  "
		if l.n+i == 0 {
			lead = "[\n  "
		}
		data, err := indented(v, "  ")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(l.w, lead, data); err != nil {
			return err
		}
	}
	return nil
}

// all writes the rows of all pages, each of which next returns with whether there is another.
func (l *listing) all(next func() (values []any, cells [][]string, more bool, err error)) error {
	for {
		values, cells, more, err := next()
		if err == nil {
			err = l.page(values, cells)
		}
		switch {
		case err != nil:
			return err
		case !more:
			return l.end()
		}
	}
}

// end completes the list.
func (l *listing) end() error {
	if !l.json {
		return nil
	}
	tail := "\n]\n"
	if l.n == 0 {
		tail = "[]\n"
	}
	_, err := fmt.Fprint(l.w, tail)
	return err
}

// sanitize makes text safe for a terminal: a name or User-Agent must not move the cursor, change colors or reverse
// the writing direction.
func sanitize(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(safe, s)
}

// sanitizeLines is sanitize for what may be several lines, such as an error that joins others.
func sanitizeLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return safe(r)
	}, s)
}

// safe returns a character as a terminal may show it. What is no UTF-8 is replaced as well: a terminal with another
// encoding reads bytes of it as control characters.
func safe(r rune) rune {
	if isUnsafe(r) {
		return unicode.ReplacementChar
	}
	return r
}

// formatTime formats a time for text output; the zero time is "never".
func formatTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04 MST")
}
