package admin

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Ways in which somebody else gets a password.
const (
	wayLink      = "link"      // a one-time link; nobody else learns the password
	wayGenerated = "generated" // made here, shown once
	wayTyped     = "typed"
)

// lives are the lifetimes of links that a form offers.
var lives = []struct {
	value string
	life  time.Duration
}{{"1h", time.Hour}, {"24h", 24 * time.Hour}, {"72h", 72 * time.Hour}, {"168h", 7 * 24 * time.Hour}}

// passwordFields ask how the person gets a password.
func (a *admin) passwordFields(q *web.Request, in input) []field {
	way := in.get("way", wayLink)
	ways := field{Kind: "select", Field: ui.Field{ID: "way", Name: "way", Label: q.Text("way.label"), Hint: q.Text("way.hint")}}
	for _, w := range []string{wayLink, wayGenerated, wayTyped} {
		ways.Options = append(ways.Options, option{w, q.Text("way." + w), w == way})
	}
	now := in.get("expires", "72h")
	expires := field{Kind: "select", Field: ui.Field{ID: "expires", Name: "expires", Label: q.Text("way.expires")}}
	for _, l := range lives {
		expires.Options = append(expires.Options, option{l.value, q.Span(l.life), l.value == now})
	}
	pass := field{Field: ui.Field{ID: "password", Name: "password", Label: q.Text("way.password"), Type: "password", Autocomplete: "new-password",
		Hint: q.Text("way.password_hint"), Optional: true, Plain: true, Reveal: true}}
	must := field{Kind: "check", Field: ui.Field{ID: "must_change", Name: "must_change", Label: q.Text("way.must_change")},
		Checked: !in.sent || in.Ticked("must_change")}
	return []field{ways, expires, pass, must}
}

// chosen is what a form says about a password.
type chosen struct {
	password   string // "" for a link
	generated  bool
	mustChange bool
	expires    time.Duration
}

// chosenWay reads it. A form that does not say which way means the one that its password field tells.
func (a *admin) chosenWay(q *web.Request, in input) (chosen, error) {
	way, typed := in.Form.Get("way"), in.Form.Get("password")
	if way == "" {
		if way = wayLink; typed != "" {
			way = wayTyped
		}
	}
	c := chosen{mustChange: in.Ticked("must_change")}
	switch way {
	case wayLink:
		if typed != "" {
			return chosen{}, fieldError("way", q.Text("way.not_typed"))
		}
		var err error
		c.expires, err = a.chosenLife(q, in)
		return c, err
	case wayGenerated:
		if typed != "" {
			return chosen{}, fieldError("way", q.Text("way.not_typed"))
		}
		c.password, c.generated = newPassword(a.Accounts.Policy.Min()), true
		return c, nil
	case wayTyped:
		if typed == "" {
			return chosen{}, fieldError("password", q.Text("way.missing"))
		}
		c.password = typed
		return c, nil
	}
	return chosen{}, fieldError("way", q.Text("way.which"))
}

func (a *admin) chosenLife(q *web.Request, in input) (time.Duration, error) {
	s := in.Form.Get("expires")
	if s == "" {
		return 0, nil
	}
	for _, l := range lives {
		if l.value == s {
			return l.life, nil
		}
	}
	return 0, fieldError("expires", q.Text("way.life"))
}

// newPassword makes a password of at least 128 random bits, in groups that are easy to read out.
func newPassword(least int) string {
	const group = 5
	var b strings.Builder
	for b.Len() == 0 || b.Len() < least {
		for _, r := range strings.ToLower(rand.Text()) {
			if b.Len()%(group+1) == group {
				b.WriteByte('-')
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (a *admin) buildInvite(_ *http.Request, q *web.Request, in input) (ui.Page, error) {
	s := &screen{Lead: q.Text("invite.lead")}
	p := a.page(q, "users", q.Text("users.invite"), s)
	fields := append(a.personFields(q, store.User{Role: store.RoleUser, Active: true}, in), a.passwordFields(q, in)...)
	if !in.sent {
		fields[0].Focus = true
	}
	a.finish(&p, s, &formView{
		Action: q.At("/admin/users/invite"), Submit: q.Text("invite.submit"), Fields: fields,
		Cancel: ui.Link{Href: q.At("/admin/users"), Text: q.Text("go.cancel")},
	}, in)
	return p, nil
}

func (a *admin) invite(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (next, error) {
	way, err := a.chosenWay(q, in)
	if err != nil {
		return next{}, err
	}
	active, err := a.activeField(q, in)
	if err != nil {
		return next{}, err
	}
	u, link, err := a.Accounts.Create(r.Context(), q.Actor(), account.NewUser{
		Username: in.Form.Get("username"), Email: in.Form.Get("email"), Name: in.Form.Get("name"),
		Role: store.Role(in.Form.Get("role")), Groups: splitList(in.All("groups")),
		Password: way.password, MustChange: way.mustChange && way.password != "",
		Active: active == nil || *active, Expires: way.expires,
	})
	if err != nil {
		return next{}, err
	}
	return a.handOver(w, q, u.ID, way, link, "user_made"), nil
}

// handOver leads to the page that shows a new link or password once. Until then the browser keeps it in a cookie that
// no script can read and the app behind the gate never sees: a page to be reloaded would make another one each time.
func (a *admin) handOver(w http.ResponseWriter, q *web.Request, userID string, way chosen, link *account.IssuedLink, flash string) next {
	value := ""
	switch {
	case link != nil:
		value = userID + ".l." + link.Token
	case way.generated:
		value = userID + ".p." + way.password
	default:
		return next{to: userAt(userID), flash: flash}
	}
	http.SetCookie(w, session.Cookie{Secure: q.Secure}.Own(handoverCookie, value, handoverLife))
	return next{to: userAt(userID) + "/handover"}
}

const (
	handoverCookie = "handover"
	handoverLife   = 5 * time.Minute
)

// showHandover shows what was just made, once.
func (a *admin) showHandover(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	ck := session.Cookie{Secure: q.Secure}
	about, rest, _ := strings.Cut(ck.OwnValue(r, handoverCookie), ".")
	kind, secret, _ := strings.Cut(rest, ".")
	s := &screen{}
	p := a.page(q, "users", q.Text("handover.title", "name", u.Username), s)
	p.Secret = true
	back := []action{{Href: q.At(userAt(u.ID)), Text: q.Text("handover.done"), Main: true}}
	sec, ok := section{}, false
	if about == u.ID {
		switch kind {
		case "l":
			sec, ok, err = a.linkSection(r, q, u, secret)
		case "p":
			sec, ok = a.generatedSection(q, secret), secret != ""
		}
	}
	if err != nil {
		return err
	}
	if !ok {
		p.Status = http.StatusGone
		s.Lead = q.Text("handover.gone")
		s.Actions = append(back, action{Href: q.At(userAt(u.ID) + "/reset-link"), Text: q.Text("user.reset")})
		q.UI.Write(w, r, p)
		return nil
	}
	if s.Warnings, err = a.stillLinked(q, r, u, "linked.left"); err != nil {
		return err
	}
	if r.Method != http.MethodHead {
		http.SetCookie(w, ck.Own(handoverCookie, "", -1))
	}
	sec.Actions = back
	s.Sections = []section{sec}
	q.UI.Write(w, r, p)
	return nil
}

// linkSection shows a link of the user that still works. The address is made of the host that the front vouches for.
func (a *admin) linkSection(r *http.Request, q *web.Request, u store.User, token string) (section, bool, error) {
	info, err := a.Accounts.LinkStatus(r.Context(), token)
	if err != nil || info.State != account.LinkValid || info.UserID != u.ID {
		return section{}, false, err
	}
	link := account.IssuedLink{Token: token}
	return section{
		ID: "link", Title: q.Text("handover.link"), Text: q.Text("handover.link_text", "name", u.Username),
		Secret: &secretView{ID: "secret", Label: q.Text("handover.link_label"), Value: q.Origin() + link.Path(q.Prefix),
			Copy: q.Text("handover.copy"), Copied: q.Text("handover.copied")},
		Facts: []fact{{Name: q.Text("invites.until"), Time: info.ExpiresAt}},
	}, true, nil
}

func (a *admin) generatedSection(q *web.Request, pass string) section {
	return section{
		ID: "password", Title: q.Text("handover.password"), Text: q.Text("handover.password_text"),
		Secret: &secretView{ID: "secret", Label: q.Text("way.password"), Value: pass, Copy: q.Text("handover.copy"), Copied: q.Text("handover.copied")},
	}
}

// listInvites shows the links that are still to be used.
func (a *admin) listInvites(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	list, err := a.Store.Links(r.Context(), store.LinkQuery{Purpose: store.LinkPassword, Now: a.Clock(), Cursor: q.Query.Get("cursor"), Limit: defaultSize})
	if err != nil {
		return err
	}
	t := &table{ID: "invites", Caption: q.Text("invites.caption"), Empty: q.Text("invites.none")}
	for _, id := range []string{"users.user", "invites.by", "invites.made", "invites.until", "table.acts"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, l := range list.Items {
		u, err := a.Store.User(r.Context(), l.UserID)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted a moment ago, and its links with it
		}
		if err != nil {
			return err
		}
		at := q.At(userAt(u.ID))
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: u.Username, Href: at, Small: u.Name}, {Text: q.ActorName("", l.CreatedBy)}, {Time: l.CreatedAt}, {Time: l.ExpiresAt},
			{Links: []action{
				{Href: at + "/reset-link", Text: q.Text("invites.again"), More: q.Text("invites.for", "name", u.Username)},
				{Href: at + "/cancel-link", Text: q.Text("invites.cancel"), More: q.Text("invites.for", "name", u.Username)},
			}},
		}})
	}
	t.Pages = a.onward(q, "/admin/invites", list.Next)
	s := &screen{Lead: q.Text("invites.lead"), Sections: []section{{Table: t}},
		Actions: []action{{Href: q.At("/admin/users/invite"), Text: q.Text("users.invite"), Main: true}}}
	q.UI.Write(w, r, a.page(q, "invites", q.Text("admin.invites"), s))
	return nil
}
