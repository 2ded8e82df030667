package totp_test

import (
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/totp"
)

// The vectors of RFC 6238, appendix B, for SHA-1: the last six of their eight digits.
func TestCodesAreThoseOfTheRFC(t *testing.T) {
	t.Parallel()
	secret := []byte("12345678901234567890")
	for unix, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037",
		20000000000: "353130",
	} {
		if got := totp.Code(secret, totp.Step(time.Unix(unix, 0))); got != want {
			t.Errorf("at %d: %s, want %s", unix, got, want)
		}
	}
}

func TestACodeHoldsOneStepBeforeAndAfterItsOwn(t *testing.T) {
	t.Parallel()
	secret, now := totp.NewSecret(), time.Unix(1_800_000_000, 0) // the first second of a step
	for _, tc := range []struct {
		shift time.Duration
		want  bool
	}{
		{-60 * time.Second, false},
		{-30 * time.Second, true},
		{-time.Second, true},
		{0, true},
		{29 * time.Second, true},
		{30 * time.Second, true},
		{60 * time.Second, false},
	} {
		step := totp.Step(now.Add(tc.shift))
		got, ok := totp.Match(secret, totp.Code(secret, step), now)
		if ok != tc.want || ok && got != step {
			t.Errorf("a code of %v: step %d %v, want %d %v", tc.shift, got, ok, step, tc.want)
		}
	}
}

func TestWhatIsTypedIsReadAsPeopleTypeIt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"123456": "123456", "123 456": "123456", " 123-456\n": "123456",
		"\uff11\uff12\uff13\uff14\uff15\uff16": "123456", "12\u2013 34\u00a056": "123456",
		"12345": "", "1234567": "", "12345a": "", "": "", "١٢٣٤٥٦": "", "-12345": "", "1e5000": "", "+12345": "",
		strings.Repeat(" ", 200) + "123456": "", "123456\x00": "",
	} {
		got, ok := totp.Normalize(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestTheClockOfAnAppIsMeasuredInBothDirections(t *testing.T) {
	t.Parallel()
	secret, now := totp.NewSecret(), time.Unix(1_800_000_000, 0)
	for _, d := range []int64{-11, -10, -3, 0, 4, 10, 11} {
		got, ok := totp.ClockOffset(secret, totp.Code(secret, totp.Step(now)+d), now)
		if want := d >= -10 && d <= 10; ok != want || ok && int64(got) != d {
			t.Errorf("%d steps: %d %v", d, got, ok)
		}
	}
}

func TestTheAddressHoldsAnyNameUnchanged(t *testing.T) {
	t.Parallel()
	secret := totp.NewSecret()
	for _, name := range []string{"A & B", "a/b?c#d", "100 % ü", "x+y@example.com", "a=b&secret=c", strings.Repeat("ö", 200)} {
		u, err := url.Parse(totp.URI(name, name, secret))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/"+name+":"+name || q.Get("issuer") != name ||
			q.Get("secret") != totp.Encode(secret) || len(q) != 2 || strings.Contains(u.String(), "+") {
			t.Errorf("%q: %s", name, u)
		}
	}
	if got := totp.URI("a:b", "c:d", secret); !strings.HasPrefix(got, "otpauth://totp/ab:cd?") {
		t.Errorf("colons: %s", got)
	}
}

// Oathtool is an independent implementation. scripts/prepare installs it.
func TestOathtoolComputesTheSameCodes(t *testing.T) {
	t.Parallel()
	for _, unix := range []int64{0, 59, 1_700_000_001, 4_000_000_000} {
		secret := totp.NewSecret()
		out, err := exec.CommandContext(t.Context(), "oathtool", "--totp", "-b", "-N", "@"+strconv.FormatInt(unix, 10),
			totp.Encode(secret)).Output()
		if err != nil {
			t.Fatalf("oathtool: %v: run scripts/prepare, which installs it", err)
		}
		if got, want := totp.Code(secret, totp.Step(time.Unix(unix, 0))), strings.TrimSpace(string(out)); got != want {
			t.Errorf("at %d: %s, oathtool %s", unix, got, want)
		}
	}
}
