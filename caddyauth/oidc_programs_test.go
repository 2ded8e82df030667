package caddyauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A token that was made in a session of a provider has the rights that the provider gave at the last sign-in, and no
// more; where the provider is gone or denies, it is refused, and is there again afterwards.
func TestATokenOfAProvidersSessionHasItsRightsOfNow(t *testing.T) {
	idp := provider.New(t)
	idp.SetClaim("groups", []string{"staff"})
	s := startOIDC(t, idp, "", "gatehouse {\n\toptional /open\n\trequire group staff\n}",
		func(s *caddyServer) { s.global += "\ntokens" })
	b := s.browser()
	if a := b.viaProvider(""); a.StatusCode != 200 {
		t.Fatalf("signing in: %d %s", a.StatusCode, a.body)
	}
	made := b.api(http.MethodPost, "me/tokens", map[string]any{"name": "laptop"})
	if made.StatusCode != 201 {
		t.Fatalf("making a token: %d %s", made.StatusCode, made.body)
	}
	var token struct{ ID, Token, User string }
	if err := json.Unmarshal([]byte(made.body), &token); err != nil {
		t.Fatal(err)
	}
	ask := func(path string) response {
		p := s.browser()
		return p.do(p.plain("GET", path, "Authorization", "Bearer "+token.Token))
	}
	want := func(when string, status int) {
		t.Helper()
		if a := ask("/x"); a.StatusCode != status {
			t.Errorf("%s: %d %s", when, a.StatusCode, a.body)
		}
	}
	want("the provider's group", 200)
	if got := s.up.last().Header; got.Get("Remote-User") != token.User || got.Get("Remote-Groups") != "staff" {
		t.Errorf("the app sees %q of %q", got.Get("Remote-User"), got.Get("Remote-Groups"))
	}

	// What the provider says at the next sign-in counts for the token as well.
	idp.SetClaim("groups", []string{"other"})
	s.browser().viaProvider("")
	want("the group is gone", 403)
	idp.SetClaim("groups", []string{"staff"})
	s.browser().viaProvider("")
	want("the group is back", 200)

	// Another configuration: the token is refused as long as it is there, and is not ended.
	known := s.global
	for name, global := range map[string]string{
		"denied": strings.Replace(known, "insecure_http", "insecure_http\n\t\t\tallow group nobody", 1), "removed": "tokens",
		"renamed": strings.Replace(known, "oidc test", "oidc other", 1),
	} {
		s.global = global
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		want(name, 401)
		want(name+", again", 401)
		s.global = known
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		want(name+" no more", 200)
	}

	// Unlinked, nothing of the provider's is left; whoever links the person again does not give it back.
	st := s.openStore()
	stored, _, err := st.Token(t.Context(), token.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = st.Change(t.Context(), func(tx store.Tx) error { return tx.DeleteIdentity(t.Context(), stored.Issuer, stored.Subject) })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rights to end", func() bool { return ask("/x").StatusCode == 403 })
	if a := ask("/open"); a.StatusCode != 200 || s.up.last().Header.Get("Remote-Groups") != "" {
		t.Errorf("what is for anybody: %d, groups %q", a.StatusCode, s.up.last().Header.Get("Remote-Groups"))
	}
}

// A program's stream has no tokens at a provider that could be due: it goes on, and ends with the program's token, or
// when its provider says what the rules deny.
func TestAStreamOfATokenFromAProvidersSessionGoesOn(t *testing.T) {
	idp := provider.New(t)
	idp.SetClaim("groups", []string{"staff"})
	s := startOIDC(t, idp, "", "gatehouse", func(s *caddyServer) {
		s.global = strings.Replace(s.global, "insecure_http", "insecure_http\n\t\t\tallow group staff", 1) + "\ntokens"
	})
	stream := make(chan struct{})
	s.up.Config.Handler = streaming(s.up.Config.Handler, stream)
	defer close(stream)
	b := s.browser()
	b.viaProvider("")
	revoked, deleteIt := s.tokenStream(t, b)
	denied, _ := s.tokenStream(t, b)
	select {
	case <-revoked:
		t.Fatal("the stream was cut")
	case <-denied:
		t.Fatal("the stream was cut")
	case <-time.After(2500 * time.Millisecond): // waits: what is due at a provider is looked for once a second
	}
	deleteIt()
	wantCut(t, "its token", revoked)
	select {
	case <-denied:
		t.Fatal("another token's stream was cut")
	default:
	}
	idp.SetClaim("groups", []string{"other"})
	if a := s.browser().viaProvider(""); a.StatusCode == 200 {
		t.Fatalf("signing in: %d", a.StatusCode)
	}
	wantCut(t, "what its provider vouched for", denied)
}

// tokenStream makes a token and opens a stream with it. The stream's end closes cut.
func (s *caddyServer) tokenStream(t *testing.T, b *browser) (cut chan struct{}, revoke func()) {
	t.Helper()
	made := b.api(http.MethodPost, "me/tokens", map[string]any{"name": "laptop"})
	var token struct{ ID, Token string }
	if err := json.Unmarshal([]byte(made.body), &token); err != nil || token.Token == "" {
		t.Fatalf("making a token: %d %s", made.StatusCode, made.body)
	}
	p := s.browser()
	res, err := p.http.Do(p.plain("GET", "/stream", "Authorization", "Bearer "+token.Token))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 {
		t.Fatalf("the stream: %d", res.StatusCode)
	}
	cut = make(chan struct{})
	go func() {
		defer close(cut)
		_, _ = io.Copy(io.Discard, res.Body)
	}()
	return cut, func() {
		if a := b.api(http.MethodDelete, "me/tokens/"+token.ID, nil); a.StatusCode != 204 {
			t.Fatalf("revoking: %d %s", a.StatusCode, a.body)
		}
	}
}

func wantCut(t *testing.T, what string, cut chan struct{}) {
	t.Helper()
	select {
	case <-cut:
	case <-time.After(10 * time.Second): // it takes a second; a loaded test machine gets more
		t.Errorf("the stream outlives %s", what)
	}
}
