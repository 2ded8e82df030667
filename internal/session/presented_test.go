package session_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// setCookie returns the Set-Cookie lines of a sign-in whose request had a Cookie header.
func (f *fixture) setCookie(t testing.TB, c session.Cookie, host, sent, token string, s store.Session) []string {
	t.Helper()
	w := httptest.NewRecorder()
	f.m.SetCookie(t.Context(), w, c, host, session.ReadPresented(c, http.Header{"Cookie": {sent}}), token, s)
	return w.Header()["Set-Cookie"]
}

// cleared returns what a sign-out deletes, as "name host" for the host alone and "name .domain" for a domain.
func (f *fixture) cleared(t testing.TB, c session.Cookie, host, sent string) []string {
	t.Helper()
	w := httptest.NewRecorder()
	f.m.ClearCookies(t.Context(), w, c, host, session.ReadPresented(c, http.Header{"Cookie": {sent}}))
	return deletions(t, w.Header()["Set-Cookie"])
}

func deletions(t testing.TB, lines []string) []string {
	t.Helper()
	var list []string
	for _, line := range lines {
		ck, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		if ck.MaxAge >= 0 {
			continue
		}
		at := "host"
		if ck.Domain != "" {
			at = "." + ck.Domain
		}
		list = append(list, ck.Name+" "+at)
	}
	slices.Sort(list)
	return list
}

// value returns what this store's cookie of a session holds.
func (f *fixture) value(t testing.TB, user store.User) (value, token string) {
	t.Helper()
	token, s := f.start(t, user, false)
	lines := f.setCookie(t, session.Cookie{}, "h.test", "", token, s)
	pair, _, _ := strings.Cut(lines[0], ";")
	_, value, _ = strings.Cut(pair, "=")
	return value, token
}

func TestOfSeveralCookiesTheLiveSessionCounts(t *testing.T) {
	f, other := setUp(t), setUp(t)
	live, liveToken := f.value(t, f.user)
	dead, deadToken := f.value(t, f.user)
	f.change(t, func(tx store.Tx) error {
		s, _, err := tx.SessionByToken(t.Context(), store.HashToken(deadToken))
		if err != nil {
			return err
		}
		_, err = tx.EndSessions(t.Context(), store.SessionSelector{ID: s.ID})
		return err
	})
	again, _ := f.value(t, f.user)
	bob, _ := f.value(t, f.addUser(t, "bob"))
	foreign, _ := other.value(t, other.user)
	var more []string
	for range 3 {
		value, _ := f.value(t, f.user)
		more = append(more, value)
	}
	for name, c := range map[string]struct {
		values []string
		want   string
	}{
		"a dead one first":                 {[]string{dead, live}, liveToken},
		"a dead one last":                  {[]string{live, dead}, liveToken},
		"another store's":                  {[]string{foreign, live}, liveToken},
		"one without a mark":               {[]string{store.NewToken(), liveToken}, liveToken},
		"all kinds":                        {[]string{foreign, dead, store.NewToken(), live}, liveToken},
		"two of one person":                {[]string{live, again}, liveToken},
		"two people":                       {[]string{live, bob}, ""},
		"two people, and a dead one":       {[]string{dead, bob, live}, ""},
		"a live one whose mark is forged":  {[]string{live[:43] + "AAAAAAAA", dead}, deadToken},
		"many planted before it":           {append(tokens(60), live), liveToken},
		"many planted after it":            {append([]string{live}, tokens(60)...), liveToken},
		"many, each with a forged mark":    {append(suffixed(tokens(60), "AAAAAAAA"), live), liveToken},
		"many, and sessions of two":        {append(tokens(60), live, bob), ""},
		"many without a mark":              {append(tokens(6), liveToken), ""},
		"many of ours":                     {[]string{live, again, dead, more[0], more[1], more[2]}, ""},
		"more than are read":               {append(tokens(70), live), ""},
		"the live one beyond what is read": {append(append([]string{bob}, tokens(70)...), live), ""},
	} {
		var ck session.Cookie
		p := session.ReadPresented(ck, http.Header{"Cookie": {"gatehouse=" + strings.Join(c.values, "; gatehouse=")}})
		if got, err := f.m.Choose(t.Context(), p, ck, "h.test"); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// tokens returns values without a mark that no store knows.
func tokens(n int) (list []string) {
	for range n {
		list = append(list, store.NewToken())
	}
	return list
}

func suffixed(list []string, suffix string) []string {
	for i := range list {
		list[i] += suffix
	}
	return list
}

// Who operates a site where names collide learns it, without a line for each request.
func TestSeveralCookiesAreLoggedOnceInAWhile(t *testing.T) {
	f := setUp(t)
	core, logs := observer.New(zap.WarnLevel)
	m := session.NewManager(f.Store, session.Options{Clock: f.clock.Now, Log: zap.New(core)})
	t.Cleanup(m.Close)
	mine, _ := f.value(t, f.user)
	bobs, _ := f.value(t, f.addUser(t, "bob"))
	c := session.Cookie{Base: "way"}
	p := session.ReadPresented(c, http.Header{"Cookie": {"way=" + mine + "; way=" + bobs}})
	for range 3 {
		if got, err := m.Choose(t.Context(), p, c, "app.test"); err != nil || got != "" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	lines := logs.All()
	if len(lines) != 1 || !strings.Contains(lines[0].Message, "different people") || !strings.Contains(lines[0].Message, "cookie_name") ||
		lines[0].ContextMap()["host"] != "app.test" || lines[0].ContextMap()["cookie"] != "way" {
		t.Errorf("logged: %+v", lines)
	}
}

// A domain above this host is shared with others: nothing of theirs is deleted there.
func TestOnlyCookiesOfThisStoreAreDeletedOnParentDomains(t *testing.T) {
	f, other := setUp(t), setUp(t)
	mine, token := f.value(t, f.user)
	foreign, _ := other.value(t, other.user)
	unmarked := store.NewToken()
	plain, shared, strict := session.Cookie{}, session.Cookie{Domain: "b.example.com"}, session.Cookie{Secure: true}
	for _, c := range []struct {
		name       string
		cookie     session.Cookie
		host, sent string
		want       []string
	}{
		{"none came", plain, "a.b.example.com", "", []string{"gatehouse host"}},
		{
			"ours, whose scope is not known", plain, "a.b.example.com:8080", "gatehouse=" + mine,
			[]string{"gatehouse .a.b.example.com", "gatehouse .b.example.com", "gatehouse .example.com", "gatehouse host"},
		},
		{"another gate's alone", plain, "a.b.example.com", "gatehouse=" + foreign, nil},
		{"ours beside another's", plain, "a.b.example.com", "gatehouse=" + mine + "; gatehouse=" + foreign, []string{"gatehouse host"}},
		{"from before there were marks", plain, "a.b.example.com", "gatehouse=" + unmarked, []string{"gatehouse host"}},
		{"ours beside such a one", plain, "a.b.example.com", "gatehouse=" + mine + "; gatehouse=" + unmarked, []string{"gatehouse host"}},
		{
			"with a domain, another's beside it", shared, "a.b.example.com", "gatehouse=" + mine + "; gatehouse=" + foreign,
			[]string{"gatehouse .b.example.com", "gatehouse host"},
		},
		{"over HTTPS, the host's own", strict, "a.example.com", "__Host-gatehouse=" + mine, []string{"__Host-gatehouse host"}},
		{
			"over HTTPS, from when there was a domain", strict, "a.example.com", "__Secure-gatehouse=" + mine,
			[]string{"__Host-gatehouse host", "__Secure-gatehouse .a.example.com", "__Secure-gatehouse .example.com"},
		},
		{"an address", plain, "192.0.2.1:8080", "gatehouse=" + mine, []string{"gatehouse host"}},
		{"a public suffix", plain, "app.co.uk", "gatehouse=" + mine, []string{"gatehouse .app.co.uk", "gatehouse host"}},
		{"one label", plain, "localhost:8080", "gatehouse=" + mine, []string{"gatehouse host"}},
	} {
		if got := f.cleared(t, c.cookie, c.host, c.sent); !slices.Equal(got, c.want) {
			t.Errorf("%s: a sign-out deletes %q, want %q", c.name, got, c.want)
		}
		fresh, s := f.start(t, f.user, false)
		lines := f.setCookie(t, c.cookie, c.host, c.sent, fresh, s)
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, c.cookie.Name()+"="+fresh) {
			t.Errorf("%s: a sign-in sets %q last", c.name, last)
		}
		for _, d := range deletions(t, lines) {
			if !slices.Contains(c.want, d) {
				t.Errorf("%s: a sign-in deletes %q, which a sign-out leaves", c.name, d)
			}
		}
	}
	if !f.alive(t, token) {
		t.Error("to delete a cookie ends no session")
	}
}
