package admin

import (
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// requirePasswords returns that there is no such page for a person whose password would not be accepted.
func (h user) requirePasswords(r *http.Request, q *web.Request) error {
	u, err := h.find(r)
	if err == nil && !h.Login.Passwords.Of(u) {
		err = q.NotFound()
	}
	return err
}

func (h user) resetForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	if err := h.requirePasswords(r, q); err != nil {
		return ui.Page{}, err
	}
	block := field{
		Kind: "check", Way: passwordByLink, Field: ui.Field{ID: "block", Name: "block", Label: q.Text("reset.block")},
		Checked: in.sent && in.Ticked("block"),
	}
	keep := field{
		Kind: "check", Way: passwordByLink,
		Field:   ui.Field{ID: "keep_sessions", Name: "keep_sessions", Label: q.Text("reset.keep")},
		Checked: in.sent && in.Ticked("keep_sessions"),
	}
	fields := passwordFields(q, in, true)
	fields = append(fields[:2:2], append([]field{block, keep}, fields[2:]...)...)
	// Of an account with a password a reset mostly is a recovery. Of one without, providers are the only way in.
	p, _, _, err := h.recoveryPage(r, q, in, "reset", "reset-link", false,
		func(u store.User) ([]field, bool) { return fields, u.PasswordHash != "" })
	return p, err
}

func (h user) reset(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	way, err := readPasswordChoice(q, in, h.Accounts.Policy.Min())
	if err != nil {
		return result{}, err
	}
	id := r.PathValue("id")
	link, err := h.Accounts.ResetPassword(r.Context(), q.Actor(), id, account.Reset{
		Password: way.password, MustChange: way.mustChange && way.password != "", Expires: way.expires,
		BlockNow: in.Ticked("block") && way.password == "", KeepSessions: in.Ticked("keep_sessions") && way.password == "",
		Identities: in.Ticked("identities"),
	})
	if err != nil {
		return result{}, err
	}
	return redirectToHandover(w, q, id, way, link, "password_set"), nil
}

// Ways in which somebody else gets a password.
const (
	passwordByLink    = "link"      // a one-time link; nobody else learns the password
	passwordGenerated = "generated" // made here, shown once
	passwordTyped     = "typed"
)

// linkLifetimes are the lifetimes of links that a form offers.
var linkLifetimes = []struct {
	value string
	life  time.Duration
}{{"1h", time.Hour}, {"24h", 24 * time.Hour}, {"72h", 72 * time.Hour}, {"168h", 7 * 24 * time.Hour}}

// passwordFields ask how the person gets a password, or how long the link is good for where nobody gets one.
func passwordFields(q *web.Request, in input, accepted bool) []field {
	way := in.get("way", passwordByLink)
	ways := field{Kind: "ways", Field: ui.Field{
		ID: "way", Name: "way", Label: q.Text("way.label"),
		Hint: q.Text("way.hint"),
	}}
	for _, w := range []string{passwordByLink, passwordGenerated, passwordTyped} {
		ways.Options = append(ways.Options, option{w, q.Text("way." + w), w == way})
	}
	now := in.get("expires", "72h")
	expires := field{
		Kind: "select", Way: passwordByLink,
		Field: ui.Field{ID: "expires", Name: "expires", Label: q.Text("way.expires")},
	}
	for _, l := range linkLifetimes {
		expires.Options = append(expires.Options, option{l.value, q.Span(l.life), l.value == now})
	}
	if !accepted {
		expires.Way = ""
		return []field{expires}
	}
	pass := field{Way: passwordTyped, Field: ui.Field{
		ID: "password", Name: "password", Label: q.Text("way.password"), Type: "password",
		Autocomplete: "new-password", Optional: true, Plain: true, Reveal: true,
	}}
	must := field{
		Kind: "must", Field: ui.Field{ID: "must_change", Name: "must_change", Label: q.Text("way.must_change")},
		Checked: !in.sent || in.Ticked("must_change"),
	}
	return []field{ways, expires, pass, must}
}

// passwordChoice is what a form says about a password.
type passwordChoice struct {
	password   string // "" for a link
	generated  bool
	mustChange bool
	expires    time.Duration
}

// readPasswordChoice reads it. A form without "way" sends a link, or sets the password that was typed.
func readPasswordChoice(q *web.Request, in input, minLength int) (passwordChoice, error) {
	way, typed := in.Form.Get("way"), in.Form.Get("password")
	if way == "" {
		if way = passwordByLink; typed != "" {
			way = passwordTyped
		}
	}
	c := passwordChoice{mustChange: in.Ticked("must_change")}
	switch way {
	case passwordByLink:
		if typed != "" {
			return passwordChoice{}, fieldError("way", q.Text("way.not_typed"))
		}
		var err error
		c.expires, err = readLinkLifetime(q, in)
		return c, err
	case passwordGenerated:
		if typed != "" {
			return passwordChoice{}, fieldError("way", q.Text("way.not_typed"))
		}
		c.password, c.generated = generatePassword(minLength), true
		return c, nil
	case passwordTyped:
		if typed == "" {
			return passwordChoice{}, fieldError("password", q.Text("way.missing"))
		}
		c.password = typed
		return c, nil
	}
	return passwordChoice{}, fieldError("way", q.Text("way.which"))
}

func readLinkLifetime(q *web.Request, in input) (time.Duration, error) {
	s := in.Form.Get("expires")
	if s == "" {
		return 0, nil
	}
	for _, l := range linkLifetimes {
		if l.value == s {
			return l.life, nil
		}
	}
	return 0, fieldError("expires", q.Text("way.life"))
}

// generatePassword makes a password of at least 128 random bits, in groups that are easy to read out.
func generatePassword(minLength int) string {
	const group = 5
	var b strings.Builder
	for b.Len() == 0 || b.Len() < minLength {
		for _, r := range strings.ToLower(rand.Text()) {
			if b.Len()%(group+1) == group {
				b.WriteByte('-')
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (h user) cancelLinkForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, _, _, err := h.confirmPage(r, q, in, "cancel_link", "cancel-link", true)
	return p, err
}

func (h user) cancelLink(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	if err := h.Accounts.CancelLink(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return result{}, err
	}
	return result{redirect: "/admin/invites", flash: "link_canceled"}, nil
}
