package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// exportPage is how many rows are read at a time: an export of any length holds that many in memory.
const exportPage = 500

// download streams a file. produce is called until it answers false; between its calls the actor is looked at again,
// and what was written goes out. The export is audited before its first byte.
func (a *admin) download(w http.ResponseWriter, r *http.Request, q *web.Request, action, name, mime string, produce func() (bool, error)) error {
	if r.Method == http.MethodHead {
		a.fileHeaders(w, r, name, mime)
		return nil
	}
	details := api.ExportDetails(name[strings.LastIndexByte(name, '.')+1:], q.Query)
	if err := a.Accounts.NoteExport(r.Context(), q.Actor(), action, details); err != nil {
		return err
	}
	a.fileHeaders(w, r, name, mime)
	rc := http.NewResponseController(w)
	for {
		more, err := produce()
		if err == nil && more {
			_ = rc.Flush() // a front that cannot flush sends it later
			err = a.Accounts.MayLook(r.Context(), q.Actor())
		}
		if err != nil {
			if r.Context().Err() == nil {
				a.Log.Warn("an export was cut short", zap.String("action", action), zap.String("request_id", q.ID), zap.Error(err))
			}
			// The status is out: a connection that breaks is the only way to say that this is not the whole file.
			panic(http.ErrAbortHandler)
		}
		if !more {
			return nil
		}
	}
}

func (a *admin) fileHeaders(w http.ResponseWriter, r *http.Request, name, mime string) {
	ui.Harden(w, r)
	w.Header().Set("Content-Type", mime)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// csvFile is a CSV file in the making (RFC 4180). Every cell is in quotes, so that a spreadsheet whose separator is a
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
		_, _ = f.w.WriteString(`"` + strings.ReplaceAll(inert(c), `"`, `""`) + `"`)
	}
	_, _ = f.w.WriteString("\r\n") // errors are told by flush
}

// inert keeps spreadsheets from taking a cell, or a part of it, for a formula: names and User-Agents come from anybody
// (OWASP ASVS 5.0, 1.2.10). An apostrophe goes in front of what begins as a formula does, at the start and behind whatever
// some spreadsheet takes for a separator, because one that reads quotes in another way would begin a cell there. Blanks,
// quotes and what has no width in front of it change nothing, as some programs drop them; full-width forms count, as some
// fold them.
func inert(cell string) string {
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

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *admin) exportUsers(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.UserQuery(q.Query)
	if err != nil {
		return err
	}
	query.Cursor, query.Limit = "", exportPage
	var f csvFile
	return a.download(w, r, q, "user.export", "users.csv", "text/csv; charset=utf-8", func() (bool, error) {
		if f.w == nil {
			f = newCSV(w, "id", "username", "email", "name", "role", "groups", "active", "pending", "managed", "origin", "created_at", "updated_at", "last_login_at")
		}
		list, err := a.Store.Users(r.Context(), query)
		if err != nil {
			return false, err
		}
		for _, u := range list.Items {
			f.line(u.ID, u.Username, u.Email, u.Name, string(u.Role), identifier.JoinGroups(u.Groups, ","), strconv.FormatBool(u.Active), strconv.FormatBool(u.Pending),
				strconv.FormatBool(u.Managed), string(u.Origin), stamp(u.CreatedAt), stamp(u.UpdatedAt), stamp(u.LastLoginAt))
		}
		query.Cursor = list.Next
		return query.Cursor != "", f.flush()
	})
}

// events reads the audit log page by page.
func (a *admin) events(ctx context.Context, q *store.EventQuery, each func(store.Event) error) (bool, error) {
	list, err := a.Store.Events(ctx, *q)
	if err != nil {
		return false, err
	}
	for _, e := range list.Items {
		if err := each(e); err != nil {
			return false, err
		}
	}
	q.Cursor = list.Next
	return q.Cursor != "", nil
}

func (a *admin) exportAuditCSV(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.EventQuery(q.Query, a.Clock())
	if err != nil {
		return err
	}
	query.Cursor, query.Limit = "", exportPage
	var f csvFile
	return a.download(w, r, q, "audit.export", "audit.csv", "text/csv; charset=utf-8", func() (bool, error) {
		if f.w == nil {
			f = newCSV(w, "id", "time", "actor_kind", "actor_id", "actor", "action", "target_id", "target", "outcome", "ip", "user_agent", "request_id", "details")
		}
		more, err := a.events(r.Context(), &query, func(e store.Event) error {
			f.line(e.ID, e.Time.UTC().Format(time.RFC3339Nano), string(e.ActorKind()), e.ActorID, e.Actor, e.Action, e.TargetID, e.Target, string(e.Outcome), e.IP, e.UserAgent, e.RequestID, detailsLine(e.Details))
			return nil
		})
		if err != nil {
			return false, err
		}
		return more, f.flush()
	})
}

func detailsLine(details map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(details)) {
		parts = append(parts, k+"="+details[k])
	}
	return strings.Join(parts, "; ")
}

func (a *admin) exportAuditLines(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := api.EventQuery(q.Query, a.Clock())
	if err != nil {
		return err
	}
	query.Cursor, query.Limit = "", exportPage
	enc := json.NewEncoder(w)
	return a.download(w, r, q, "audit.export", "audit.jsonl", "application/jsonl", func() (bool, error) {
		return a.events(r.Context(), &query, func(e store.Event) error { return enc.Encode(api.NewEvent(e)) })
	})
}
