package duration_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/duration"
)

func TestDurationsAreReadAsInACaddyfile(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"1h": time.Hour, "90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour, "1.5h": 90 * time.Minute,
		"12h1d": 36 * time.Hour, "1d1d": 48 * time.Hour, "1ms": time.Millisecond, "+1h": time.Hour, "+1d": 24 * time.Hour,
	} {
		if got, err := duration.Parse(s); got != want || err != nil {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", " ", "0", "0s", "0d", "-1h", "-1d", "1", "d", "1dd", "1 h", " 1h", "1h ", "1y", "now", "never", "1.2.3d", "1e3d", "Infd", "NaNd",
		"0x1pd", "99999999999999999999d", "106752d", "9999999h", "1\x00h", "1d2", "1D", string(make([]byte, 100)),
	} {
		if got, err := duration.Parse(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestDurationsAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "1d", 366 * 24 * time.Hour: "366d", time.Hour: "1h", 90 * time.Minute: "1h30m", time.Minute: "1m", 1500 * time.Millisecond: "1.5s",
		25 * time.Hour: "25h", 10 * time.Hour: "10h", 20 * time.Minute: "20m",
	} {
		if got := duration.Text(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
		if back, err := duration.Parse(duration.Text(d)); back != d || err != nil {
			t.Errorf("%v comes back as %v: %v", d, back, err)
		}
	}
}
