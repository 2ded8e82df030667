package device_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/device"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

var form = regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{8}$`)

// User codes are of their letters only, each about as likely as any other, and come back as they were.
func TestUserCodesAreReadAsTheyWereMade(t *testing.T) {
	t.Parallel()
	seen := map[rune]int{}
	for range 5000 {
		code := device.NewCode()
		if got, ok := device.ParseCode(device.FormatCode(code)); !form.MatchString(code) || !ok || got != code {
			t.Fatalf("%q became %q", code, got)
		}
		for _, r := range code {
			seen[r]++
		}
	}
	for r, n := range seen {
		if n < 1700 || n > 2300 { // 2000 each, give or take more than six times the deviation
			t.Errorf("%d of 40000 letters are %c", n, r)
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d letters are used", len(seen))
	}
}

func TestUserCodesAreReadInAnyCaseWithOrWithoutTheDash(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{
		"WDJB-MJHT", "WDJBMJHT", "wdjb-mjht", "wDjBmJhT", " wdjb mjht ", "WD-JB-MJ-HT", "wdjb–mjht", "wdjb\u2011mjht\r\n",
		"W D J B M J H T", "WDJB\u00a0MJHT",
	} {
		if code, ok := device.ParseCode(typed); !ok || code != "WDJBMJHT" {
			t.Errorf("%q is read as %q", typed, code)
		}
	}
	for _, typed := range []string{
		"", "-", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH1", "WDJB_MJHT", "ＷDJB-MJHT", "WDJB-MJHſ", "WDJB-MJHT\x00",
		"K\u212aDJBMJH", "WDJB.MJHT", "W\u0301DJBMJHT", strings.Repeat("-", 100) + "WDJBMJHT",
	} {
		if code, ok := device.ParseCode(typed); ok {
			t.Errorf("%q is read as %q", typed, code)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	for _, seed := range []string{"WDJB-MJHT", "wdjbmjht", "", "ſ\u212a\x00\xff", "ＷDJB-MJHT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := device.ParseCode(typed)
		if ok != form.MatchString(code) {
			t.Fatalf("%q is read as %q", typed, code)
		}
		if !ok {
			return
		}
		if again, ok := device.ParseCode(device.FormatCode(code)); !ok || again != code {
			t.Fatalf("%q is read as %q, and then as %q", typed, code, again)
		}
	})
}

// A program that polls sooner than it was told has to wait longer each time, up to a minute.
func TestPollsThatComeTooSoonSlowDown(t *testing.T) {
	t.Parallel()
	clock := testenv.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	l := device.NewLimits(clock.Now)
	one, two := store.HashToken("one"), store.HashToken("two")
	for i, c := range []struct {
		after time.Duration
		slow  bool
	}{
		{0, false},
		{5 * time.Second, false},
		{4900 * time.Millisecond, false}, // arrives a little early
		{time.Second, true},              // from now on 10 s
		{5 * time.Second, true},          // 15 s
		{15 * time.Second, false},
		{0, true},
		{20 * time.Second, false},
	} {
		clock.Advance(c.after)
		if got := l.TooSoon(one); got != c.slow {
			t.Errorf("poll %d: slow down: %v", i, got)
		}
	}
	if l.TooSoon(two) {
		t.Error("another program has to slow down")
	}
	for range 30 {
		l.TooSoon(two)
	}
	clock.Advance(time.Minute)
	if l.TooSoon(two) {
		t.Error("after a minute a program still has to wait")
	}
}
