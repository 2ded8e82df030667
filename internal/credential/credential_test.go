package credential_test

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"math/big"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
)

// A scanner that knows nothing but the format finds tokens, and tells them from what only looks like one.
func TestATokenIsRecognizedWithoutTheStore(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^gatehouse_(pat|svc)_[0-9A-Za-z]{49}$`)
	seen := make(map[string]bool)
	for i := range 2000 {
		text := credential.New(i%2 == 1)
		if !form.MatchString(text) || len(text) != credential.Length || seen[text] {
			t.Fatalf("%q is no token, or not a new one", text)
		}
		seen[text] = true
		sum, ok := new(big.Int).SetString(reversedCase(text[len(text)-6:]), 62) // math/big has the other order of cases
		if !ok || sum.Uint64() != uint64(crc32.ChecksumIEEE([]byte(text[:len(text)-6]))) {
			t.Fatalf("the checksum of %q is %v", text, sum)
		}
		if secret, ok := new(big.Int).SetString(reversedCase(text[14:57]), 62); !ok || secret.BitLen() > 256 {
			t.Fatalf("the secret of %q has %d bits", text, secret.BitLen())
		}
		if !credential.Valid(text) || credential.Hint(text) != text[len(text)-4:] {
			t.Fatalf("%q is not valid", text)
		}
		other := []byte(text)
		if at := i % len(other); other[at] == 'x' {
			other[at] = 'y'
		} else {
			other[at] = 'x'
		}
		if credential.Valid(string(other)) {
			t.Fatalf("%q is valid, and so is %q", text, other)
		}
	}
}

func reversedCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

func TestOnlyTheExactFormIsValid(t *testing.T) {
	t.Parallel()
	text := credential.New(false)
	for _, odd := range []string{
		"", " ", credential.PersonPrefix, text + "0", text[:len(text)-1], " " + text, text + " ", strings.ToUpper(text), strings.ToLower(text),
		"gatehouse_svc_" + text[14:], "github" + text, text + "\n", text[:20] + "-" + text[21:], strings.Repeat(text, 2),
	} {
		if odd != text && credential.Valid(odd) {
			t.Errorf("%q is valid", odd)
		}
	}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Each way to send a token, each way to send two, and what belongs to the app.
func TestACredentialIsReadInOneWay(t *testing.T) {
	t.Parallel()
	a, b := credential.New(false), credential.New(true)
	raw := strings.TrimRight(strings.TrimPrefix(basic("x", a), "Basic "), "=")
	type want = credential.Presented
	for name, c := range map[string]struct {
		headers http.Header
		want    want
		left    http.Header
	}{
		"nothing":     {http.Header{}, want{}, nil},
		"bearer":      {http.Header{"Authorization": {"Bearer " + a}}, want{Carrier: credential.Bearer, Text: a}, nil},
		"bearer fold": {http.Header{"Authorization": {"bEARER   " + a}}, want{Carrier: credential.Bearer, Text: a}, nil},
		"bare":        {http.Header{"Authorization": {a}}, want{Carrier: credential.Bare, Text: a}, nil},
		"own":         {http.Header{"Gatehouse-Token": {b}}, want{Carrier: credential.Own, Text: b}, nil},
		"own, none":   {http.Header{"Gatehouse-Token": {"x"}}, want{Carrier: credential.Own, Text: "x"}, nil},
		"own, empty":  {http.Header{"Gatehouse-Token": {""}}, want{Carrier: credential.Own}, nil},
		"proxy":       {http.Header{"Proxy-Authorization": {"Bearer " + a}}, want{Carrier: credential.Proxy, Text: a}, nil},
		"password":    {http.Header{"Authorization": {basic("git", a)}}, want{Carrier: credential.Basic, Text: a}, nil},
		"no user":     {http.Header{"Authorization": {basic("", a)}}, want{Carrier: credential.Basic, Text: a}, nil},
		"username":    {http.Header{"Authorization": {basic(a, "")}}, want{Carrier: credential.Basic, Text: a}, nil},
		"no padding":  {http.Header{"Authorization": {"basic " + raw}}, want{Carrier: credential.Basic, Text: a}, nil},
		"a password beside a token": {
			http.Header{"Authorization": {basic(a, "x-oauth-basic")}}, want{Carrier: credential.Basic, Several: true}, nil,
		},
		"two in one": {http.Header{"Authorization": {basic(a, b)}}, want{Carrier: credential.Basic, Several: true}, nil},
		"repeated": {
			http.Header{"Authorization": {"Bearer " + a, "Bearer " + a}},
			want{Carrier: credential.Bearer, Text: a, Several: true},
			nil,
		},
		"repeated beside the app's": {
			http.Header{"Authorization": {"Bearer app", "Bearer " + a}},
			want{Carrier: credential.Bearer, Text: "app", Several: true},
			nil,
		},
		"two headers": {
			http.Header{"Authorization": {"Bearer " + a}, "Gatehouse-Token": {a}},
			want{Carrier: credential.Own, Text: a, Several: true},
			nil,
		},
		"beside the app's": {
			http.Header{"Authorization": {"Bearer app", "Basic Og=="}, "Gatehouse-Token": {a}},
			want{Carrier: credential.Own, Text: a},
			http.Header{"Authorization": {"Bearer app", "Basic Og=="}},
		},
		"the app's": {
			http.Header{"Authorization": {"Bearer x"}, "Proxy-Authorization": {"Basic eDp5"}},
			want{},
			http.Header{"Authorization": {"Bearer x"}, "Proxy-Authorization": {"Basic eDp5"}},
		},
		"the app's Basic": {http.Header{"Authorization": {basic("u", "p")}}, want{}, http.Header{"Authorization": {basic("u", "p")}}},
		"without a colon": {
			http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(a))}},
			want{Carrier: credential.Elsewhere},
			nil,
		},
		"another scheme": {http.Header{"Authorization": {"token " + a}}, want{Carrier: credential.Elsewhere}, nil},
		"digest":         {http.Header{"Authorization": {`Digest username="` + a + `"`}}, want{Carrier: credential.Elsewhere}, nil},
		"proxy basic":    {http.Header{"Proxy-Authorization": {basic("x", a)}}, want{Carrier: credential.Elsewhere}, nil},
		"proxy bare":     {http.Header{"Proxy-Authorization": {a}}, want{Carrier: credential.Elsewhere}, nil},
		"broken":         {http.Header{"Authorization": {"Bearer gatehouse_pat_x"}}, want{Carrier: credential.Bearer, Text: "gatehouse_pat_x"}, nil},
		"a list":         {http.Header{"Authorization": {"Bearer " + a + ", " + a}}, want{Carrier: credential.Bearer, Text: a + ", " + a}, nil},
	} {
		got, removed := credential.Take(c.headers, nil)
		if got != c.want {
			t.Errorf("%s: read %+v, want %+v", name, got, c.want)
		}
		if c.left == nil {
			c.left = http.Header{}
		}
		if !reflect.DeepEqual(c.headers, c.left) {
			t.Errorf("%s: %v goes on to the app", name, c.headers)
		}
		if got.Ours() != (len(removed) > 0) {
			t.Errorf("%s: removed %v", name, removed)
		}
	}
}

// A JWT is ours as a bearer token only, and only if its issuer is.
func TestAJWTIsReadAsABearerTokenOnly(t *testing.T) {
	t.Parallel()
	jwt := func(token string) bool { return token == "j.w.t" }
	type want = credential.Presented
	for name, c := range map[string]struct {
		headers http.Header
		want    want
	}{
		"bearer":         {http.Header{"Authorization": {"Bearer j.w.t"}}, want{Carrier: credential.Bearer, Text: "j.w.t", JWT: true}},
		"in other case":  {http.Header{"Authorization": {"bearer   j.w.t"}}, want{Carrier: credential.Bearer, Text: "j.w.t", JWT: true}},
		"another JWT":    {http.Header{"Authorization": {"Bearer x.y.z"}}, want{}},
		"bare":           {http.Header{"Authorization": {"j.w.t"}}, want{}},
		"another scheme": {http.Header{"Authorization": {"JWT j.w.t"}}, want{}},
		"as a password":  {http.Header{"Authorization": {basic("x", "j.w.t")}}, want{}},
		"to a proxy":     {http.Header{"Proxy-Authorization": {"Bearer j.w.t"}}, want{}},
		"in our header":  {http.Header{"Gatehouse-Token": {"j.w.t"}}, want{Carrier: credential.Own, Text: "j.w.t"}},
		"twice": {
			http.Header{"Authorization": {"Bearer j.w.t", "Bearer j.w.t"}},
			want{Carrier: credential.Bearer, Text: "j.w.t", JWT: true, Several: true},
		},
		"behind the app's": {
			http.Header{"Authorization": {"Bearer app", "Bearer j.w.t"}},
			want{Carrier: credential.Bearer, Text: "app", JWT: true, Several: true},
		},
		"beside a token": {
			http.Header{"Authorization": {"Bearer j.w.t"}, "Gatehouse-Token": {"x"}},
			want{Carrier: credential.Own, Text: "x", Several: true},
		},
	} {
		got, removed := credential.Take(c.headers, jwt)
		if got != c.want || got.Ours() != (len(removed) > 0) || got.Ours() != (len(c.headers) == 0) {
			t.Errorf("%s: read %+v, removed %v, left %v", name, got, removed, c.headers)
		}
	}
}

// Whatever a client sends: nothing of ours is left in the headers, and what is not ours is not touched.
func FuzzTake(f *testing.F) {
	token := credential.New(false)
	for _, seed := range []string{"Bearer " + token, token, basic("u", token), basic(token, ""), "Basic !!", "x", "\x00", fmt.Sprintf("Negotiate %s", token)} {
		f.Add(seed, "", "")
		f.Add("Bearer app", seed, "")
		f.Add("", "Basic Og==", seed)
	}
	f.Fuzz(func(t *testing.T, authorization, proxy, own string) {
		h := make(http.Header)
		for name, value := range map[string]string{"Authorization": authorization, "Proxy-Authorization": proxy, "Gatehouse-Token": own} {
			if value != "" {
				h[name] = []string{value}
			}
		}
		before := h.Clone()
		p, removed := credential.Take(h, nil)
		for name, values := range before {
			_, left := h[name]
			_, gone := removed[name]
			if left == gone || left && !reflect.DeepEqual(h[name], values) || gone && !reflect.DeepEqual(removed[name], values) {
				t.Fatalf("%s: %v became %v", name, values, h[name])
			}
			if left && strings.Contains(values[0], "gatehouse_pat_") {
				t.Fatalf("%s: %q goes on to the app", name, values[0])
			}
			if gone && name != "Gatehouse-Token" && !p.Ours() {
				t.Fatalf("%s was taken for nothing", name)
			}
		}
		if p.Carrier == credential.Nowhere && p != (credential.Presented{}) {
			t.Fatalf("nothing is %+v", p)
		}
		if credential.Valid(p.Text) && len(p.Text) != credential.Length {
			t.Fatalf("%q is valid", p.Text)
		}
	})
}
