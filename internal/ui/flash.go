package ui

import (
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// A flash message is said once, on the page after a redirect. The browser carries the id of one of our own texts and
// never a text: anyone who plants the cookie can choose among our sentences, and nothing else.
const (
	flashCookie = "flash"
	flashPrefix = "flash."
	flashLife   = 2 * time.Minute
)

// Flash makes the next page say the message "flash.<id>". An unknown id says nothing.
func (u *UI) Flash(w http.ResponseWriter, r *http.Request, id string) {
	http.SetCookie(w, session.HostCookie(reqctx.From(r)).Prefixed(flashCookie, id, flashLife))
}

// takeFlash returns the message to say on this page and makes the browser forget it.
func (u *UI) takeFlash(w http.ResponseWriter, r *http.Request) *Notice {
	if r.Method == http.MethodHead {
		return nil
	}
	c := session.HostCookie(reqctx.From(r))
	id := c.PrefixedValue(r, flashCookie)
	if id == "" {
		return nil
	}
	http.SetCookie(w, c.Prefixed(flashCookie, "", -1))
	if strings.Contains(id, ".") || !u.HasText(flashPrefix+id) {
		return nil
	}
	return &Notice{Kind: Good, Text: u.Text(flashPrefix + id)}
}

// Theme cookies say which color scheme a person chose; without one the system's choice counts.
const (
	themeCookie = "theme"
	themeLife   = 365 * 24 * time.Hour
)

// Theme returns the chosen color scheme: "light", "dark", or "" for the system's.
func Theme(r *http.Request) string {
	switch v := session.HostCookie(reqctx.From(r)).PrefixedValue(r, themeCookie); v {
	case "light", "dark":
		return v
	}
	return ""
}

// SetTheme keeps the chosen color scheme in the browser and reports whether it is one: "light", "dark" or "auto".
func SetTheme(w http.ResponseWriter, r *http.Request, theme string) bool {
	c := session.HostCookie(reqctx.From(r))
	switch theme {
	case "light", "dark":
		http.SetCookie(w, c.Prefixed(themeCookie, theme, themeLife))
	case "auto":
		http.SetCookie(w, c.Prefixed(themeCookie, "", -1))
	default:
		return false
	}
	return true
}
