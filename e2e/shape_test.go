package e2e

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// On a phone the navigation leaves room for the page: its heading is in the upper part of the first screen, and rows of
// tables are cards with names beside their values.
func TestPhonesShowThePageAndNotTheNavigation(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "admin {\nname \"Wolfeschlegelsteinhausenbergerdorff the Third\"\n}"})
	for _, width := range []int{320, 390} {
		p := open(t, g, browser.View{Width: width, Height: 640, Phone: true})
		signIn(t, p, g)
		for _, path := range []string{"/_auth/account", "/_auth/account/activity", "/_auth/admin", "/_auth/admin/users", "/_auth/admin/settings"} {
			p.Go(g.URL + path)
			var at struct{ H1, Current, Right float64 }
			p.Eval(`(() => { const c = document.querySelector(".sections [aria-current]").getBoundingClientRect();
				return {h1: document.querySelector("h1").getBoundingClientRect().top, current: c.left, right: c.right} })()`, &at)
			if at.H1 > 640*2/5 {
				t.Errorf("%s at %d pixels: the heading is at %v", path, width, at.H1)
			}
			if at.Current < 0 || at.Right > float64(width) {
				t.Errorf("%s at %d pixels: the link to the page itself is out of sight, at %v", path, width, at.Current)
			}
		}
		p.Go(g.URL + "/_auth/admin/users")
		var label string
		p.Eval(`getComputedStyle(document.querySelector("td[data-l]"), "::before").content`, &label)
		if !strings.Contains(label, "E-mail") {
			t.Errorf("a field of a row is called %s", label)
		}
	}
}

// The form for a new account shows the fields of the way that is chosen, and no others, without a script, too.
func TestInvitationsShowOneWayAtATime(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v)
		signIn(t, p, g)
		p.Go(g.URL + "/_auth/admin/users/invite")
		shown := func(id string) bool {
			var yes bool
			p.Eval(`document.getElementById("`+id+`").checkVisibility()`, &yes)
			return yes
		}
		for _, c := range []struct {
			way                      string
			expires, password, force bool
		}{{"link", true, false, false}, {"generated", false, false, true}, {"typed", false, true, true}} {
			p.Eval(`document.getElementById("way-`+c.way+`").click()`, nil)
			if got := [3]bool{shown("expires"), shown("password"), shown("must_change")}; got != [3]bool{c.expires, c.password, c.force} {
				t.Errorf("%s (%s): %v", c.way, v, got)
			}
		}
	}
}

// Times are unambiguous in every English, exact where they are evidence, and near ones are said as people say them.
func TestTimesAreReadable(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	read := func(path, selector string) (text, title string) {
		p.Go(g.URL + path)
		var got [2]string
		p.Eval(`(() => { const e = document.querySelector("`+selector+`"); return [e.textContent, e.title] })()`, &got)
		return got[0], got[1]
	}
	months := "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
	hasMonth := func(s string) bool {
		for _, m := range strings.Fields(months) {
			if strings.Contains(s, m) {
				return true
			}
		}
		return false
	}
	if text, _ := read("/_auth/account/activity", "time[data-exact]"); !hasMonth(text) || strings.Count(text, ":") != 2 {
		t.Errorf("the log of one's own says %q", text)
	}
	if text, _ := read("/_auth/admin/audit", "time[data-exact]"); !hasMonth(text) || strings.Count(text, ":") != 2 {
		t.Errorf("the audit log says %q", text)
	}
	if text, title := read("/_auth/admin/sessions", "time[data-ago]"); !strings.Contains(text, "minute") || !hasMonth(title) {
		t.Errorf("the list of sessions says %q, %q", text, title)
	}
	if text, _ := read("/_auth/account", "time"); !hasMonth(text) || strings.Count(text, ":") != 1 {
		t.Errorf("the account page says %q", text)
	}
}
