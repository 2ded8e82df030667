package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/text/language"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// English and Pseudo are languages of [Config]; see package i18n.
const (
	English = i18n.English
	Pseudo  = i18n.Pseudo
)

// Language is one that pages may be in: its code as in BCP 47, and its own name for itself, which people look for.
type Language struct{ Code, Name string }

var languages = [...]Language{{"de", "Deutsch"}, {English, "English"}, {"es", "Español"}}

// Languages returns all languages that there are texts in, by their names.
func Languages() []Language { return slices.Clone(languages[:]) }

// KnownLanguage reports whether code is that of one of [Languages].
func KnownLanguage(code string) bool {
	return slices.ContainsFunc(languages[:], func(l Language) bool { return l.Code == code })
}

// Set is the pages in every language. Those of the default are made at once, the others when somebody first asks for
// one: a site that uses one language pays for one.
type Set struct {
	config  Config
	assets  *assets
	langs   []Language // the default comes first
	matcher language.Matcher
	uis     []lazyUI
}

// lazyUI is made when it is first asked for.
type lazyUI struct {
	once sync.Once
	v    *UI
}

func (l *lazyUI) get(create func() *UI) *UI {
	l.once.Do(func() { l.v = create() })
	return l.v
}

// NewSet makes the pages in the default language, and knows the others for which every source has texts.
func NewSet(c Config) (*Set, error) {
	if c.Language == "" {
		c.Language = English
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	s := &Set{config: c, langs: offered(c)}
	var err error
	if s.assets, err = newAssets(c.Brand); err != nil {
		return nil, err
	}
	s.uis = make([]lazyUI, len(s.langs))
	tags := make([]language.Tag, len(s.langs))
	for i, l := range s.langs {
		if tags[i], err = language.Parse(l.Code); err != nil {
			return nil, fmt.Errorf("language %q: %w", l.Code, err)
		}
	}
	s.matcher = language.NewMatcher(tags)
	first, err := s.make(0)
	if err != nil {
		return nil, err
	}
	s.uis[0].get(func() *UI { return first })
	return s, nil
}

// offered returns the languages of a configuration, the default first. The made-up language stands alone.
func offered(c Config) []Language {
	first := Language{Code: c.Language, Name: c.Language}
	if c.Language == Pseudo {
		return []Language{first}
	}
	var rest []Language
	for _, l := range languages {
		silent := slices.ContainsFunc(texts(c.Sources), func(src Source) bool { return !i18n.HasLanguage(src, l.Code) })
		switch {
		case l.Code == c.Language:
			first = l
		case !silent:
			rest = append(rest, l)
		}
	}
	return append([]Language{first}, rest...)
}

func (s *Set) make(i int) (*UI, error) {
	u, err := makeUI(s.config, s.langs[i].Code, s.assets)
	if err != nil {
		return nil, err
	}
	for _, l := range languages { // in the same order whatever the default
		if slices.Contains(s.langs, l) {
			u.offer = append(u.offer, l)
		}
	}
	return u, nil
}

// at returns the pages in a language. What is wrong with one that is not the default is logged, and the
// default's are sent: a page in another language is better than none.
func (s *Set) at(i int) *UI {
	return s.uis[i].get(func() *UI {
		u, err := s.make(i)
		if err != nil {
			s.config.Log.Error("could not make the pages in a language", zap.String("language", s.langs[i].Code), zap.Error(err))
			return s.at(0)
		}
		return u
	})
}

// Default returns the pages in the default language.
func (s *Set) Default() *UI { return s.at(0) }

// choose returns the language of the response to a request: what the person chose, else what the browser asks for, else
// the default.
func (s *Set) choose(r *http.Request) int {
	if len(s.langs) == 1 {
		return 0
	}
	if code := ChosenLanguage(r); code != "" {
		if i := slices.IndexFunc(s.langs, func(l Language) bool { return l.Code == code }); i >= 0 {
			return i
		}
	}
	lines := r.Header["Accept-Language"]
	if i := s.plainly(lines); i >= 0 {
		return i
	}
	if want := wanted(lines); len(want) > 0 {
		if _, i, sure := s.matcher.Match(want...); sure > language.No {
			return i
		}
	}
	return 0
}

// plainly returns the language that a browser asks for before all others, -1 when that takes a closer look. Nearly
// every browser asks for its own language first and without a weight, and the responses to programs come by here, too.
func (s *Set) plainly(lines []string) int {
	if len(lines) == 0 {
		return -1
	}
	first, _, _ := strings.Cut(lines[0], ",")
	if len(first) > maxTag || strings.ContainsAny(first, "; \t") {
		return -1
	}
	base, _, _ := strings.Cut(first, "-")
	return slices.IndexFunc(s.langs, func(l Language) bool { return strings.EqualFold(l.Code, base) })
}

// For returns the pages in the language of a request.
func (s *Set) For(r *http.Request) *UI { return s.at(s.choose(r)) }

// Bounds of what is read of Accept-Language, which anybody may send at any length: browsers send a handful of tags, and
// a tag has at most 35 characters (RFC 5646, section 4.4.1).
const (
	maxAccept = 512
	maxRanges = 16
	maxTag    = 35
)

// wanted reads Accept-Language (RFC 9110, section 12.5.4), the best first. What is no tag is left out:
// language.ParseAcceptLanguage takes all or nothing, so that one odd entry would hide the others (ADR 15). Its parser
// of tags sees short strings only (CVE-2020-28852, CVE-2022-32149).
func wanted(lines []string) []language.Tag {
	type entry struct {
		tag     language.Tag
		quality float64
	}
	var list []entry
	left, count := maxAccept, 0
	for _, line := range lines {
		if len(line) > left {
			line = line[:max(0, strings.LastIndexByte(line[:left], ','))]
		}
		left -= len(line)
		for part := range strings.SplitSeq(line, ",") {
			if count++; count > maxRanges {
				break
			}
			name, params, _ := strings.Cut(part, ";")
			name = strings.TrimSpace(name)
			q := quality(params)
			if q <= 0 || name == "" || len(name) > maxTag || name == "*" {
				continue
			}
			if tag, err := language.Parse(name); err == nil {
				list = append(list, entry{tag, q})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return cmp.Compare(b.quality, a.quality) })
	tags := make([]language.Tag, len(list))
	for i, e := range list {
		tags[i] = e.tag
	}
	return tags
}

// quality reads ";q=0.8"; what is no quality counts as none.
func quality(params string) float64 {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1
	}
	value, ok := strings.CutPrefix(strings.ToLower(params), "q=")
	if !ok || len(value) > 5 || strings.Trim(value, "0123456789.") != "" {
		return 0
	}
	q, err := strconv.ParseFloat(value, 64)
	if err != nil || q > 1 {
		return 0
	}
	return q
}

// The language cookie says which language a person chose; without one the browser's wish counts.
const (
	languageCookie = "language"
	languageLife   = 365 * 24 * time.Hour
)

// ChosenLanguage returns the language that a person chose in this browser, "" for none.
func ChosenLanguage(r *http.Request) string {
	code := session.HostCookie(reqctx.From(r)).PrefixedValue(r, languageCookie)
	if !KnownLanguage(code) {
		return ""
	}
	return code
}

// SetLanguage keeps the chosen language in the browser and reports whether it is one: of [Languages], or "auto".
func SetLanguage(w http.ResponseWriter, r *http.Request, code string) bool {
	c := session.HostCookie(reqctx.From(r))
	switch {
	case code == "auto":
		http.SetCookie(w, c.Prefixed(languageCookie, "", -1))
	case KnownLanguage(code):
		http.SetCookie(w, c.Prefixed(languageCookie, code, languageLife))
	default:
		return false
	}
	return true
}

// direction returns which way the script of a language runs.
func direction(tag language.Tag) string {
	switch script, _ := tag.Script(); script.String() {
	case "Arab", "Hebr", "Syrc", "Thaa", "Nkoo", "Adlm":
		return "rtl"
	}
	return "ltr"
}
