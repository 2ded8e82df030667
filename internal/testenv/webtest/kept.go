package webtest

import (
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	postForm  = regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*>.*?</form>`)
	actionOf  = regexp.MustCompile(`^<form[^>]*action="([^"]*)"`)
	controlOf = regexp.MustCompile(`<(?:input|select|textarea|button)\b[^>]*\bname="([^"]*)"[^>]*>`)
)

// secretFields are hidden fields whose value proves something, or is a list of what does.
var secretFields = map[string]bool{"codes": true, "state": true, "assertion": true, "attestation": true}

// CheckKept fails the test where a form on a page that is only for the signed-in would not come through a session that
// has ended in the meantime: sent by nobody, all of it is on the page that follows, and nothing of its passwords and codes. send
// returns that page. CheckKept returns the number of forms.
func CheckKept(t *testing.T, name, at, body string, send func(action string, form url.Values) string) (forms int) {
	t.Helper()
	for _, form := range postForm.FindAllString(body, -1) {
		action := at
		if m := actionOf.FindStringSubmatch(form); m != nil {
			action = html.UnescapeString(m[1])
		}
		path := strings.TrimPrefix(action, Prefix)
		if !strings.HasPrefix(path, "/account") && !strings.HasPrefix(path, "/admin") && !strings.HasPrefix(path, "/reauth") {
			continue
		}
		forms++
		sent, secret := url.Values{}, map[string]bool{}
		for i, c := range controlOf.FindAllStringSubmatch(form, -1) {
			field := html.UnescapeString(c[1])
			sent.Set(field, "canary-"+strconv.Itoa(i))
			secret[field] = secretFields[field] || strings.Contains(c[0], `type="password"`) ||
				strings.Contains(c[0], `autocomplete="one-time-code"`)
		}
		page := send(action, sent)
		for field := range sent {
			kept := strings.Contains(page, `name="`+field+`" value="`+sent.Get(field)+`"`)
			if kept == secret[field] || secret[field] && strings.Contains(page, sent.Get(field)+`"`) {
				t.Errorf("%s: the form for %s: field %q is kept: %v, a password: %v; see keptFields", name, path, field, kept, secret[field])
			}
		}
	}
	return forms
}
