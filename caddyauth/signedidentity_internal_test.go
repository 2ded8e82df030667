package caddyauth

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assertion"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

func signingGate(lifetime time.Duration) *Gate {
	return &Gate{signed: &signedHeader{name: defaultAssertionHeader, lifetime: lifetime}}
}

func requestOf(host string, s *session.Live) *request {
	return &request{live: &live{}, host: host, session: s}
}

func ringAt(t *testing.T, st store.Store, now time.Time) *assertion.Ring {
	t.Helper()
	keys := assertion.NewKeys(st, func() time.Time { return now })
	t.Cleanup(keys.Close)
	r, err := keys.Get(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A text serves for half of its life, not before it begins, where the clock was turned back, and not after another key
// signs.
func TestASignedTextServesForHalfItsLife(t *testing.T) {
	now := time.Date(2027, 3, 1, 12, 0, 0, 400e6, time.UTC)
	st := testenv.Store(t)
	ring := ringAt(t, st, now)
	l := func(end, idle time.Duration) *session.Live {
		s := &session.Live{Session: store.Session{ID: "s", Idle: idle}, User: store.User{ID: "u", Username: "ada"}}
		if end != 0 {
			s.Session.ExpiresAt = now.Add(end)
		}
		return s
	}
	for name, c := range map[string]struct {
		session        *session.Live
		lifetime, half time.Duration
	}{
		"as configured":                   {l(time.Hour, time.Hour), 5 * time.Minute, 150 * time.Second},
		"until the session ends":          {l(time.Minute, time.Hour), 5 * time.Minute, 30 * time.Second},
		"until it ends unused":            {l(time.Hour, 20*time.Second), 5 * time.Minute, 10 * time.Second},
		"of a token that has no end":      {l(0, 0), time.Hour, 30 * time.Minute},
		"in the last second of a session": {l(100*time.Millisecond, time.Hour), time.Hour, 50 * time.Millisecond},
	} {
		g := signingGate(c.lifetime)
		req := requestOf("app.test", c.session)
		text, err := g.sign(req, ring, now)
		if err != nil {
			t.Fatal(err)
		}
		var texts signedTexts
		texts.add(text, now.UnixMilli())
		for _, at := range []struct {
			after time.Duration
			found bool
		}{{-time.Millisecond, false}, {0, true}, {c.half - time.Millisecond, true}, {c.half, false}, {c.lifetime, false}} {
			if got := texts.find(g, req, now.Add(at.after).UnixMilli()); (got != nil) != at.found {
				t.Errorf("%s, after %v: found %v", name, at.after, got != nil)
			}
		}
		for what, other := range map[string]*signedText{
			"another gate":   texts.find(signingGate(c.lifetime), req, now.UnixMilli()),
			"another host":   texts.find(g, requestOf("other.test", c.session), now.UnixMilli()),
			"another scheme": texts.find(g, func() *request { r := requestOf("app.test", c.session); r.cookie.Secure = true; return r }(), now.UnixMilli()),
		} {
			if other != nil {
				t.Errorf("%s: %s gets it", name, what)
			}
		}
	}
	if _, err := assertion.Rotate(t.Context(), st, now); err != nil {
		t.Fatal(err)
	}
	g, before := signingGate(time.Hour), now.Add(assertion.Overlap-time.Minute)
	text, err := g.sign(requestOf("app.test", l(100*time.Hour, 100*time.Hour)), ringAt(t, st, now), before)
	if err != nil {
		t.Fatal(err)
	}
	if got := time.UnixMilli(text.until).Sub(before); got != time.Minute {
		t.Errorf("a minute before the next key signs, a text serves for %v", got)
	}
}

// However many hosts somebody uses, or makes up, a session has a few texts.
func TestASessionHasFewSignedTexts(t *testing.T) {
	now := time.Now()
	ring := ringAt(t, testenv.Store(t), now)
	g := signingGate(time.Minute)
	l := &session.Live{Session: store.Session{ID: "s"}, User: store.User{ID: "u", Username: "ada"}}
	var texts signedTexts
	for i := range 3 * maxTexts {
		text, err := g.sign(requestOf(fmt.Sprintf("h%d.test", i), l), ring, now)
		if err != nil {
			t.Fatal(err)
		}
		texts.add(text, now.UnixMilli())
		texts.add(text, now.UnixMilli()) // by two requests at once
	}
	var hosts []string
	for t := texts.latest.Load(); t != nil; t = t.next {
		hosts = append(hosts, t.host)
	}
	if len(hosts) != maxTexts || hosts[0] != fmt.Sprintf("h%d.test", 3*maxTexts-1) || strings.Count(strings.Join(hosts, " "), hosts[0]) != 1 {
		t.Errorf("it has %v", hosts)
	}
	text, _ := g.sign(requestOf("last.test", l), ring, now.Add(time.Minute))
	texts.add(text, now.Add(time.Minute).UnixMilli())
	if first := texts.latest.Load(); first.host != "last.test" || first.next != nil {
		t.Error("what is over is kept")
	}
}

// What a JSON configuration leaves out and what it leaves empty is the same.
func TestAnEmptyAudienceIsNone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{`{}`: true, `{"audience":""}`: true, `{"audience":null}`: true, `{"audience":"x"}`: false} {
		var signed map[string]any
		if err := json.Unmarshal([]byte(text), &signed); err != nil {
			t.Fatal(err)
		}
		h := planHandler{name: "gatehouse"}
		if h.describe(map[string]any{"assertion": signed}); h.anyAudience != want {
			t.Errorf("%s: for any audience: %v", text, h.anyAudience)
		}
	}
}
