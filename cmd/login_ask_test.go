package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
)

// An element that is empty, or several in one, is refused: the token would open more than was meant.
func TestLoginAsksForNoMoreThanWasTyped(t *testing.T) {
	for _, args := range [][]string{
		{"--path", ""},
		{"--path", "/a /*"},
		{"--path", "/a\n/*"},
		{"--path", "/a", "--path", ""},
		{"--path", "\u00a0"},
		{"--host", ""},
		{"--host", "a.test,*"},
		{"--host", "a.test *"},
		{"--host", ","},
	} {
		if _, stderr, err := runLogin(t.Context(), t, "", append([]string{"https://192.0.2.1"}, args...)...); err == nil || stderr != "" || !strings.Contains(err.Error(), "again for each further one") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// A line for the site of the address is not printed with a token that counts elsewhere only.
func TestLoginPrintsNoLineForASiteWhereTheTokenDoesNotCount(t *testing.T) {
	s := newSite(t)
	s.says(nil, say(200, tokenOf(credential.New(false), "ada")))
	named := strings.Replace(s.URL, "127.0.0.1", "app.localhost", 1)
	for name, c := range map[string]struct {
		site string
		args []string
		ok   bool
	}{
		"another host":          {s.URL, []string{"--netrc", "--host", "b.test"}, false},
		"another host, for git": {s.URL, []string{"--git-credential", "--host", "b.test", "--host", "*.c.test"}, false},
		"another domain":        {named, []string{"--netrc", "--host", "*.example.com"}, false},
		"two labels":            {named, []string{"--netrc", "--host", "*.app.localhost"}, false},
		"this one, too":         {s.URL, []string{"--netrc", "--host", "b.test", "--host", "127.0.0.1"}, true},
		"all":                   {s.URL, []string{"--netrc", "--host", "*"}, true},
		"a token alone":         {s.URL, []string{"--host", "b.test"}, true},
		"for kubectl":           {s.URL, []string{"--host", "b.test", "--exec-credential"}, true},
		"what the site refuses": {s.URL, []string{"--netrc", "--host", "https://b.test"}, true},
	} {
		_, _, err := runLogin(t.Context(), t, "", append([]string{c.site}, c.args...)...)
		refused := err != nil && strings.Contains(err.Error(), "where the token would not count")
		if refused == c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The end of a code is in words.
func TestTheEndOfACodeIsInWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		10*time.Minute - time.Second: "10 minutes", 2 * time.Minute: "2 minutes", time.Minute: "a minute", time.Second: "a minute",
	} {
		if got := minutes(d); got != want {
			t.Errorf("%s is %q", d, got)
		}
	}
}
