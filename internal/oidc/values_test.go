package oidc

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// decided returns the claims of two documents, whether the rules of a configuration allow the user and both are objects.
func decided(t testing.TB, id, info []byte) (*Claims, bool) {
	t.Helper()
	p := &provider{Config: Config{Name: "test", Issuer: fuzzIssuer, AdminGroups: []string{"admins"}, Allow: []Allow{
		{Field: "domain", Values: []string{"company.com"}},
		{Field: "email", Values: []string{"boss@other.example"}},
		{Field: "group", Values: []string{"staff"}},
	}}}
	v := &verifiedToken{subject: "user-1"}
	var top jsonObject
	if json.Unmarshal(id, &v.claims) != nil || json.Unmarshal(info, &top) != nil {
		return nil, false
	}
	c, err := p.buildClaims(v, top)
	return c, err == nil
}

// signedTexts returns every string that the claim has in either object, as encoding/json reads it.
func signedTexts(name string, docs ...[]byte) []string {
	var out []string
	for _, doc := range docs {
		var m map[string]any
		if json.Unmarshal(doc, &m) != nil {
			continue
		}
		list, ok := m[name].([]any)
		if !ok {
			list = []any{m[name]}
		}
		for _, v := range list {
			if s, ok := v.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// FuzzClaims checks that no decision depends on a value other than exactly what was signed, for arbitrary JSON.
func FuzzClaims(f *testing.F) {
	seeds := 0
	add := func(id, info string) {
		f.Add([]byte(id), []byte(info))
		seeds++
	}
	add(`{"email":"a@company.com","email_verified":true,"groups":["admins","staff"]}`, `{}`)
	add(`{"email":"`+strings.Repeat("a", 242)+`@company.com.evil.example","email_verified":true}`, `{}`)
	add(`{"email":"a@company.com\u0000","email_verified":true,"groups":[" admins","admins\n"," staff"]}`,
		`{"email":"a@company.com"}`)
	add(`{"email":["a"],"email_verified":true}`, `{"email":["a"]}`)
	add(`{"email":{"a":1}}`, `{"email":{"a":1},"groups":{"admins":true}}`)
	add(`{"email":"a@evil.example","email_verified":true}`, `{"email":"a@company.com"}`)
	add(`{"Email":"a@company.com","Email_Verified":true,"GROUPS":["admins"]}`, `{"email":null,"email_verified":null}`)
	add(`{"email":"a@company.com","email_verified":"true","groups":"admins"}`, `{"groups":[1,null,[],{}]}`)
	add(`{"email":"boss@other.example\ud800","email_verified":true,"groups":["staff\udc00"]}`, `{"email_verified":1}`)
	if seeds < 9 {
		f.Fatal("there are no seeds")
	}
	f.Fuzz(func(t *testing.T, id, info []byte) {
		p, ok := decided(t, id, info)
		if !ok {
			return
		}
		if p.Username == "" || identifier.CheckUsername(p.Username) != "" || identifier.CheckName(p.Name) != "" {
			t.Errorf("would be called %+q, %+q", p.Username, p.Name)
		}
		mails, groups := signedTexts("email", id, info), signedTexts("groups", id, info)
		if mail := p.Email.String(); mail != "" && !slices.Contains(mails, mail) {
			t.Errorf("the address %+q was never signed: %s, %s", mail, id, info)
		}
		for _, g := range p.Groups.Strings() {
			if !slices.Contains(groups, g) {
				t.Errorf("the group %+q was never signed: %s, %s", g, id, info)
			}
		}
		if cfg := (&Config{AdminGroups: []string{"admins"}}); cfg.IsAdmin(p) && !slices.Contains(groups, "admins") {
			t.Errorf("an administrator by %s, %s", id, info)
		}
		cfg := &Config{Allow: []Allow{{Field: "domain", Values: []string{"company.com"}}}}
		in := func(s string) bool {
			return strings.HasSuffix(identifier.FoldEmail(s), "@company.com") && strings.Count(s, "@") == 1
		}
		if cfg.CheckAllowed(p) == nil && (!p.EmailVerified || !slices.ContainsFunc(mails, in)) {
			t.Errorf("let in by the domain: %s, %s", id, info)
		}
	})
}

func TestEmailVerifiedCountsOnlyForTheAddressBesideIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, info string
		mail     string
		vouched  bool
	}{
		{`{"email":"a@b.c","email_verified":true}`, `{}`, "a@b.c", true},
		{`{"email":"a@b.c","email_verified":true}`, `{"email":"a@b.c"}`, "a@b.c", true},
		{`{"email":"a@b.c","email_verified":true}`, `{"email":["a@b.c"]}`, "a@b.c", true},
		{`{"email":"a@b.c","email_verified":true}`, `{"email":"x@b.c"}`, "x@b.c", false},
		{`{"email":"a@b.c","email_verified":true}`, `{"email":"A@b.c"}`, "A@b.c", false},
		{`{"email":"a@b.c","email_verified":true}`, `{"email":"a@b.c","email_verified":false}`, "a@b.c", false},
		{`{"email":"a@b.c"}`, `{"email_verified":true}`, "a@b.c", false},
		{`{"email":"a@b.c","email_verified":true}`, `{"email":7}`, "", false},
		{`{"email":["a@b.c","x@b.c"],"email_verified":true}`, `{}`, "", false},
		{`{"email":"a@b.c","email_verified":1}`, `{}`, "a@b.c", false},
		{`{"email":"a@b.c","EMAIL_VERIFIED":true}`, `{}`, "a@b.c", false},
		{`{"email":null,"email_verified":true}`, `{"email":null}`, "", false},
	} {
		p, ok := decided(t, []byte(c.id), []byte(c.info))
		if !ok || p.Email.String() != c.mail || p.EmailVerified != c.vouched {
			t.Errorf("%s, %s: %q, vouched for: %v", c.id, c.info, p.Email, p.EmailVerified)
		}
	}
}

func TestADuplicateMemberIsAnError(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		`{"a":1,"a":1}`, `{"a":{"b":1,"b":2}}`, `{"a":[{"b":1,"b":2}]}`,
		`{"\ud800":1,"\udc00":2}`, `{"a":1}{}`, `[]`, `null`, `1`, strings.Repeat(`{"a":`, 99) + "1" +
			strings.Repeat("}", 99),
	} {
		var c jsonObject
		if err := json.Unmarshal([]byte(doc), &c); err == nil {
			t.Errorf("%.60s was read as %v", doc, c)
		}
	}
}

// Keys and tokens are fixtures: to generate a key of this size takes minutes.
func TestRSAKeysOfUpTo8192BitsAreAccepted(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/large-keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]struct {
		Key   json.RawMessage
		Token string
	}
	if err := json.Unmarshal(b, &keys); err != nil || len(keys) != 3 {
		t.Fatal(len(keys), err)
	}
	for name, good := range map[string]bool{"odd": true, "large": true, "too large": false} {
		k := keys[name]
		r := fuzzRemote(fuzzDiscovery, []byte(`{"keys":[`+string(k.Key)+`]}`))
		m, err := r.metadata(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.verifyID(t.Context(), &fuzzConfig, m, k.Token,
			expectedToken{nonce: "n-0123456789"}); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADiscoveryDocumentInAnotherCaseIsRefused(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{
		`"Token_Endpoint":"https://evil.example/t",`, `"JWKS_URI":"https://evil.example/",`,
		`"issuer":"https://id.example.com",`,
	} {
		doc := strings.Replace(string(fuzzDiscovery), "{", "{"+odd, 1)
		if m, err := fuzzRemote([]byte(doc), nil).metadata(t.Context(), time.Hour); err == nil {
			t.Errorf("%s: uses %+v", odd, m)
		}
	}
}

func TestIgnoredValuesAreReportedEscaped(t *testing.T) {
	t.Parallel()
	p, _ := decided(t, []byte(`{"email":"a@b.c\u001b[2J","groups":["x\u202e","y\u202e"," z",{"a":1}]}`), []byte(`{}`))
	if len(p.Ignored) != 4 || p.Ignored[1].Count != 2 || p.Ignored[1].Fault != identifier.Invisible ||
		p.Ignored[2].Fault != identifier.Space {
		t.Errorf("%+v", p.Ignored)
	}
	for _, i := range p.Ignored {
		if strings.ContainsFunc(i.Example, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("the example harms: %q", i.Example)
		}
	}
}
