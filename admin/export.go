package admin

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// exportPage is how many rows are read at a time: an export of any length holds that many in memory.
const exportPage = 500

// download streams a file. produce is called until it returns false; between the calls it is checked that the actor is
// still an administrator, and what was written is flushed. The export is audited before its first byte.
func download(
	d *web.Deps, w http.ResponseWriter, r *http.Request, q *web.Request, action, name, mime string,
	produce func() (more bool, err error),
) error {
	if r.Method == http.MethodHead {
		fileHeaders(w, r, name, mime)
		return nil
	}
	details := api.ExportDetails(name[strings.LastIndexByte(name, '.')+1:], q.Query)
	if err := d.Accounts.AuditExport(r.Context(), q.Actor(), action, details); err != nil {
		return err
	}
	fileHeaders(w, r, name, mime)
	rc := http.NewResponseController(w)
	for {
		more, err := produce()
		if err == nil && more {
			_ = rc.Flush() // a front that cannot flush sends it later
			err = d.Accounts.AuthorizeRead(r.Context(), q.Actor())
		}
		if err != nil {
			if r.Context().Err() == nil {
				d.Log.Warn("export aborted", zap.String("action", action), zap.String("request_id", q.ID), zap.Error(err))
			}
			// The status is out: a connection that breaks is the only way to say that this is not the whole file.
			panic(http.ErrAbortHandler)
		}
		if !more {
			return nil
		}
	}
}

func fileHeaders(w http.ResponseWriter, r *http.Request, name, mime string) {
	ui.Harden(w, r)
	w.Header().Set("Content-Type", mime)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// csvFile writes a CSV file (RFC 4180). Every cell is in quotes, so that a spreadsheet whose separator is a
// semicolon or a tab sees the same cells, or one.
type csvFile struct{ w *bufio.Writer }

func newCSV(w io.Writer, columns ...string) csvFile {
	f := csvFile{bufio.NewWriter(w)}
	f.line(columns...)
	return f
}

func (f csvFile) line(cells ...string) {
	for i, c := range cells {
		if i > 0 {
			_ = f.w.WriteByte(',')
		}
		_, _ = f.w.WriteString(`"` + strings.ReplaceAll(neutralizeFormulas(c), `"`, `""`) + `"`)
	}
	_, _ = f.w.WriteString("\r\n") // flush returns the errors
}

// neutralizeFormulas keeps spreadsheets from taking a cell, or a part of it, for a formula: names and User-Agents come
// from anybody (OWASP ASVS 5.0, 1.2.10). An apostrophe goes in front of what begins as a formula does, at the start and
// behind whatever some spreadsheet takes for a separator, because one that reads quotes in another way would begin a
// cell there. Blanks, quotes and what has no width in front of it change nothing, as some programs drop them;
// full-width forms count, as some fold them.
func neutralizeFormulas(cell string) string {
	var b strings.Builder
	at, last := true, 0 // at the start of what may be a cell; last is how much of cell is in b
	for i, r := range cell {
		switch {
		case strings.ContainsRune(";,|\t\r\n", r):
			if i == 0 {
				b.WriteByte('\'') // also a formula's start to some
			}
			b.WriteString(cell[last : i+1])
			at, last = true, i+1
		case !at, strings.ContainsRune("\"'`", r), unicode.IsSpace(r), !unicode.IsPrint(r):
		default:
			if strings.ContainsRune("=+-@\u2212＝＋－＠﹢﹣﹦﹫", r) {
				b.WriteByte('\'')
			}
			at = false
		}
	}
	b.WriteString(cell[last:])
	return b.String()
}

func (f csvFile) flush() error {
	if err := f.w.Flush(); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
