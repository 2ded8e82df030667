package ui

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/text/language"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// speaking has one page in three languages.
func speaking(t testing.TB, first string) *Set {
	t.Helper()
	s, err := NewSet(Config{Language: first, Sources: []Source{polyglot(`{{t "hi" "name" "Ada"}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func polyglot(page string) fstest.MapFS {
	return fstest.MapFS{
		"templates/one.html": {Data: []byte(`{{define "content"}}` + page + `{{end}}`)},
		"lang/en.json":       {Data: []byte(`{"hi":"Hello {name}"}`)},
		"lang/de.json":       {Data: []byte(`{"hi":"Hallo {name}"}`)},
		"lang/es.json":       {Data: []byte(`{"hi":"Hola {name}"}`)},
	}
}

func asking(cookies []string, accept ...string) *http.Request {
	r := httptest.NewRequest("GET", "https://app.example.test/", nil)
	for _, c := range cookies {
		r.Header.Add("Cookie", "__Host-gatehouse-language="+c)
	}
	for _, a := range accept {
		r.Header.Add("Accept-Language", a)
	}
	return reqctx.With(r, &reqctx.Request{ID: "ref", Secure: true, Host: "app.example.test", Prefix: "/_auth"})
}

// What a person chose counts before what the browser asks for, and that before the default.
func TestLanguageOfARequest(t *testing.T) {
	t.Parallel()
	english, german := speaking(t, ""), speaking(t, "de")
	for name, c := range map[string]struct {
		cookies    []string
		accept     []string
		want, deTo string // with English, with German as the default
	}{
		"nothing":                  {nil, nil, "en", "de"},
		"empty":                    {nil, []string{""}, "en", "de"},
		"asked for":                {nil, []string{"es"}, "es", "es"},
		"asked for English":        {nil, []string{"en"}, "en", "en"},
		"of a region":              {nil, []string{"de-AT,en;q=0.7"}, "de", "de"},
		"of a continent":           {nil, []string{"es-419"}, "es", "es"},
		"a dialect":                {nil, []string{"gsw"}, "de", "de"},
		"best first":               {nil, []string{"en;q=0.2, de;q=0.9, es;q=0.5"}, "de", "de"},
		"in this order":            {nil, []string{"es,de"}, "es", "es"},
		"first is not there":       {nil, []string{"zh-CN,es;q=0.3"}, "es", "es"},
		"none is there":            {nil, []string{"zh-CN,ja;q=0.8"}, "en", "de"},
		"anything":                 {nil, []string{"*"}, "en", "de"},
		"anything but":             {nil, []string{"es;q=0, *"}, "en", "de"},
		"capitals and white space": {nil, []string{"  ES-mx ;  Q=0.8 "}, "es", "es"},
		"weighed but first":        {nil, []string{"de;q=0.5,es"}, "es", "es"},
		"no more than a prefix":    {nil, []string{"esx, de;q=0.1"}, "de", "de"},
		"a long first":             {nil, []string{"es-" + strings.Repeat("a", 40) + ",de"}, "de", "de"},
		"two lines":                {nil, []string{"ja", "es"}, "es", "es"},
		"one is odd":               {nil, []string{"x\x01y, de_, 1234567890, es"}, "es", "es"},
		"quality is none":          {nil, []string{"de;q=high, es;q=0.1"}, "es", "es"},
		"quality is too much":      {nil, []string{"de;q=2, es;q=0.1"}, "es", "es"},
		"other parameter":          {nil, []string{"de;level=1, es"}, "es", "es"},
		"private use":              {nil, []string{"x-klingon, i-klingon, es;q=0.1"}, "es", "es"},
		"chosen":                   {[]string{"de"}, []string{"es"}, "de", "de"},
		"chosen English":           {[]string{"en"}, []string{"es"}, "en", "en"},
		"chosen, unknown":          {[]string{"fr"}, []string{"es"}, "es", "es"},
		"chosen, a region":         {[]string{"de-AT"}, []string{"es"}, "es", "es"},
		"chosen, made up":          {[]string{"en-XA"}, []string{"es"}, "es", "es"},
		"chosen, markup":           {[]string{`"><script>`}, nil, "en", "de"},
		"chosen, a path":           {[]string{"../../etc/passwd"}, nil, "en", "de"},
		"chosen twice":             {[]string{"de", "es"}, []string{"en"}, "en", "en"},
		"chosen twice the same":    {[]string{"de", "de"}, []string{"en"}, "en", "en"},
	} {
		r := asking(c.cookies, c.accept...)
		for s, want := range map[*Set]string{english: c.want, german: c.deTo} {
			if got := s.at(s.choose(r)).Language(); got != want {
				t.Errorf("%s, default %s: %s, want %s", name, s.Default().Language(), got, want)
			}
		}
	}
	// A cookie of the other scheme is not ours.
	r := asking(nil)
	r.AddCookie(&http.Cookie{Name: "gatehouse-language", Value: "de"})
	if got := english.choose(r); got != 0 {
		t.Errorf("a cookie for plain HTTP chose %d over HTTPS", got)
	}
}

// What anybody may send costs little, whatever its length and shape (CVE-2020-28852 and CVE-2022-32149 were
// of the parser that reads the tags).
func TestHostileLanguagesCostLittle(t *testing.T) {
	s := speaking(t, "")
	for name, accept := range map[string][]string{
		"one long tag":       {strings.Repeat("a", 1<<20)},
		"many parts":         {"en" + strings.Repeat("-x", 1<<19)},
		"many dashes":        {strings.Repeat("-", 1<<20)},
		"extensions":         {"en-u" + strings.Repeat("-ca-x", 1<<17)},
		"many tags":          {strings.Repeat("de-Latn-AT-u-co-phonebk,", 1<<15)},
		"many commas":        {strings.Repeat(",", 1<<20)},
		"many qualities":     {strings.Repeat("de;q=0.5,", 1<<16)},
		"many lines":         slices.Repeat([]string{"gsw-u-co-phonebk"}, 1<<12),
		"long quality":       {"de;q=0." + strings.Repeat("9", 1<<20)},
		"not even text":      {strings.Repeat("\xff\xfe,", 1<<18)},
		"semicolons":         {strings.Repeat(";", 1<<20)},
		"tags without comma": {strings.Repeat("en ", 1<<18)},
	} {
		r := asking(nil, accept...)
		tags := wanted(accept)
		if len(tags) > maxRanges {
			t.Errorf("%s: %d tags are looked at", name, len(tags))
		}
		if n := testing.AllocsPerRun(3, func() { s.choose(r) }); n > 600 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// What is cut off is cut between two tags.
	if got := wanted([]string{strings.Repeat("es,", 4) + strings.Repeat(" ", maxAccept) + "de"}); !slices.Equal(got, slices.Repeat([]language.Tag{language.Spanish}, 4)) {
		t.Errorf("%v", got)
	}
}

func FuzzAcceptLanguage(f *testing.F) {
	for _, seed := range []string{"", "de-AT,en;q=0.7", "*", "x-y;q=0.5,,;", "en-u-ca-x", "zh-Hant-TW, i-klingon;q=1.000"} {
		f.Add(seed, "de")
	}
	s := speaking(f, "")
	f.Fuzz(func(t *testing.T, accept, cookie string) {
		r := asking(nil)
		r.Header["Accept-Language"] = []string{accept, accept}
		r.Header["Cookie"] = []string{"__Host-gatehouse-language=" + cookie}
		if i := s.choose(r); i < 0 || i >= len(s.langs) {
			t.Errorf("%q, %q: %d", accept, cookie, i)
		}
	})
}

// One language in use is one language made; asked for by many at once, another is made once.
func TestLanguagesAreMadeWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := speaking(t, "")
	made := func() (n int) {
		for i := range s.uis {
			if s.uis[i].v != nil {
				n++
			}
		}
		return n
	}
	if got := s.For(asking(nil, "en-GB")); got != s.Default() || made() != 1 {
		t.Errorf("%s; %d languages are made at the start", got.Language(), made())
	}
	var all sync.WaitGroup
	seen := make([]*UI, 16)
	for i := range seen {
		all.Go(func() { seen[i] = s.For(asking([]string{"es"})) })
	}
	all.Wait()
	if made() != 2 || len(slices.Compact(seen)) != 1 || seen[0].Language() != "es" || s.For(asking([]string{"es"})) != seen[0] {
		t.Errorf("%d languages are made, %d times", made(), len(slices.Compact(seen)))
	}
	if seen[0].assets != s.Default().assets {
		t.Error("each language has files of its own")
	}
}

// A language whose texts are wrong is logged, and the page comes in the default one.
func TestBrokenLanguageFallsBack(t *testing.T) {
	t.Parallel()
	src := polyglot(`{{t "hi" "name" "Ada"}}`)
	src["lang/es.json"] = &fstest.MapFile{Data: []byte(`{"hi":"Hola"}`)} // no room for the name
	core, logs := observer.New(zap.ErrorLevel)
	s, err := NewSet(Config{Log: zap.New(core), Sources: []Source{src}})
	if err != nil {
		t.Fatal(err)
	}
	r := asking([]string{"es"})
	for range 2 {
		if got := s.at(s.choose(r)).Language(); got != "en" {
			t.Error(got)
		}
	}
	if logs.Len() != 1 {
		t.Errorf("%d lines in the log", logs.Len())
	}
	src["lang/es.json"] = &fstest.MapFile{Data: []byte(`{"hi"`)}
	if _, err := NewSet(Config{Language: "es", Sources: []Source{src}}); err == nil {
		t.Error("a default language that cannot be read")
	}
	if _, err := NewSet(Config{Language: "xx yy", Sources: []Source{src}}); err == nil {
		t.Error("a default language that is none")
	}
	// A language that a source lacks is not offered.
	delete(src, "lang/es.json")
	if s, err = NewSet(Config{Sources: []Source{src}}); err != nil || len(s.Default().Offer()) != 2 || s.choose(r) != 0 {
		t.Errorf("%v: %v", s.Default().Offer(), err)
	}
}

func TestLanguageOfAPage(t *testing.T) {
	t.Parallel()
	s := speaking(t, "")
	rec := httptest.NewRecorder()
	r := asking([]string{"de"})
	s.at(s.choose(r)).Write(rec, r, Page{Template: "one", Card: true, Switch: &Switch{Action: "/_auth/language", Hidden: []Hidden{{"page", "x"}}}})
	body := rec.Body.String()
	for _, part := range []string{
		`<html lang="de" dir="ltr"`, "Hallo Ada", "Zum Inhalt springen", `name="page" value="x"`,
		`<button class="link" name="language" value="de" lang="de" aria-current="true">Deutsch</button>`,
		`<button class="link" name="language" value="es" lang="es">Español</button>`, `value="en" lang="en">English</button>`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("the page has no %s:\n%s", part, body)
		}
	}
	if got := rec.Header().Get("Content-Language"); got != "de" {
		t.Errorf("Content-Language %q", got)
	}
	if vary := strings.Join(rec.Header()["Vary"], ", "); !strings.Contains(vary, "Accept-Language") || !strings.Contains(vary, "Cookie") {
		t.Errorf("Vary %q", vary)
	}
	for tag, want := range map[string]string{"de": "ltr", "ar": "rtl", "he": "rtl", "fa": "rtl", "ur": "rtl", "zh": "ltr", "az-Arab": "rtl"} {
		if got := direction(language.MustParse(tag)); got != want {
			t.Errorf("%s runs %s", tag, got)
		}
	}
}

// The cookie of the language is kept as that of the theme is.
func TestLanguageCookie(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		r := reqctx.With(httptest.NewRequest("POST", "/", nil), &reqctx.Request{Secure: secure, Host: "app.example.test", Prefix: "/_auth"})
		rec := httptest.NewRecorder()
		if !SetLanguage(rec, r, "es") || !SetTheme(rec, r, "dark") {
			t.Fatal("refused")
		}
		ck := rec.Result().Cookies()
		if len(ck) != 2 {
			t.Fatal(ck)
		}
		name := session.Cookie{Secure: secure}.PrefixedName("language")
		if ck[0].Name != name || ck[0].Value != "es" || ck[0].Path != ck[1].Path || ck[0].MaxAge != ck[1].MaxAge || ck[0].Secure != secure ||
			ck[1].Secure != secure || ck[0].SameSite != ck[1].SameSite || !ck[0].HttpOnly || ck[0].Domain != "" {
			t.Errorf("%+v", ck)
		}
		rec = httptest.NewRecorder()
		if !SetLanguage(rec, r, "auto") || rec.Result().Cookies()[0].MaxAge >= 0 {
			t.Error("auto does not forget the choice")
		}
		for _, bad := range []string{"", "fr", "DE", "de-AT", "en-XA", "es\r\nSet-Cookie: x=y", "../de"} {
			rec = httptest.NewRecorder()
			if SetLanguage(rec, r, bad) || len(rec.Result().Cookies()) != 0 {
				t.Errorf("%q is kept", bad)
			}
		}
	}
}
