package web

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// TOTPSetup is the data of the "totp-setup" page, on which somebody sets an authenticator app up: below the account, or
// in the middle of a sign-in.
type TOTPSetup struct {
	QR     ui.QR
	Secret string    // in groups of four, to be typed
	Link   ui.Opener // opens an app on this device
	Fields []ui.Field
	Faults []ui.Field
	Action string

	Return    []ui.Hidden // where a step-up leads afterwards
	EndOthers bool        // offers to end the other sessions
	End       bool        // which is ticked
	Tokens    string      // that these go on; "" where there are none
	Clock     time.Time
	Until     time.Time // when the page is over
	Cancel    string    // where to give up; "" in a sign-in, which is started again
}

// NameField, CodeField and RecoveryField are the fields of second factors.
const (
	NameField     = "name"
	CodeField     = "code"
	RecoveryField = "recovery_code"
)

// CodeInput returns the field for a code of an authenticator app. It is one field, so that it can be pasted and filled
// in by a password manager.
func (q *Request) CodeInput(hint string) ui.Field {
	return ui.Field{
		ID: CodeField, Name: CodeField, Label: q.Text("code.label"), Hint: hint, Autocomplete: "one-time-code",
		Mode: "numeric", Plain: true, Key: "go",
	}
}

// TOTPPage returns the page on which the app t with its secret is set up. What was typed as its name is in name. No
// field gets the focus, which would scroll the picture out of sight.
func (q *Request) TOTPPage(u store.User, t store.TOTP, secret []byte, name string) (ui.Page, TOTPSetup) {
	uri := totp.URI(cmp.Or(q.deps.Login.Second.Issuer, q.SiteTitle()), u.Username, secret)
	code, err := ui.NewQR(uri, q.Text("totp.qr"))
	if err != nil { // too long for a code; the secret can be typed
		q.deps.Log.Warn("no QR code for an authenticator app", zap.String("request_id", q.ID), zap.Error(err))
	}
	d := TOTPSetup{
		QR: code, Secret: groupsOfFour(totp.Encode(secret)), Until: t.CreatedAt.Add(store.TOTPSetupTTL),
		Link: ui.AppLink(uri),
		Fields: []ui.Field{
			q.CodeInput(q.Text("totp.code_hint")),
			{
				ID: NameField, Name: NameField, Label: q.Text("totp.name"), Hint: q.Text("totp.name_hint"), Value: name,
				Autocomplete: "off", Optional: true, Key: "go",
			},
		},
	}
	return ui.Page{Template: "totp-setup", Title: q.Text("totp.title"), Secret: true}, d
}

// RefuseTOTP puts what is wrong with a set-up beside its field. ok is false for an error that is about no field.
func (q *Request) RefuseTOTP(page *ui.Page, d *TOTPSetup, err error) (ok bool) {
	var wrong *login.WrongCodeError
	if !errors.As(err, &wrong) && !errors.Is(err, login.ErrWrongCode) {
		return false
	}
	text := q.Text("totp.wrong")
	if wrong != nil && wrong.ClockOff != 0 {
		span := q.Span(wrong.ClockOff.Abs())
		if text = q.Text("totp.clock_ahead", "span", span); wrong.ClockOff < 0 {
			text = q.Text("totp.clock_behind", "span", span)
		}
	}
	MarkErrors(page, d.Fields, []ui.FieldError{{Field: CodeField, Detail: text}})
	d.Faults, d.Clock = ui.Faults(d.Fields), q.deps.Clock()
	return true
}

// FactorName returns the name that a form gives a factor: without one, a name for what it is.
func (q *Request) FactorName(form ui.Form) (string, error) {
	name, err := account.FactorName(form.Get(NameField))
	return cmp.Or(name, q.Text("totp.default_name")), err
}

// CodesMade is the data of the "codes-made" page, which shows recovery codes, once.
type CodesMade struct {
	Text   string
	For    string // the account and the site, for who finds the sheet again
	Codes  []string
	All    string // one in a line
	About  string // id of the user
	Made   time.Time
	Return []ui.Hidden
	Next   string // where to go on
}

// CodesPage returns the page that shows recovery codes which u has just got. back leads on, and is carried by the form
// that says that they are saved.
func (q *Request) CodesPage(u store.User, codes []string, text, next string, back []ui.Hidden) ui.Page {
	return ui.Page{
		Template: "codes-made", Title: q.Text("codes.title"), Secret: true, Status: http.StatusOK,
		Data: CodesMade{
			Text: text, For: q.Text("codes.for", "name", u.Username, "site", q.SiteTitle()), Codes: codes,
			All: strings.Join(codes, "\n"), About: u.ID, Made: q.deps.Clock(), Return: back, Next: next,
		},
	}
}

// groupsOfFour writes a secret so that people can type it.
func groupsOfFour(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
