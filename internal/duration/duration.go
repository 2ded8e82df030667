// Package duration reads and writes lengths of time as a Caddyfile has them, for what knows nothing of Caddy.
package duration

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// maxText bounds the text of a duration.
const maxText = 64

// ErrInvalid means that a text is no positive duration.
var ErrInvalid = errors.New("give a duration such as 90d, 12h or 30m")

// Parse reads a positive duration as Caddy does: that of [time.ParseDuration], with d for 24 hours, such as "90d",
// "1d12h" or "0.5d".
func Parse(s string) (time.Duration, error) {
	if len(s) > maxText {
		return 0, ErrInvalid
	}
	for {
		end := strings.IndexByte(s, 'd')
		if end < 0 {
			break
		}
		start := strings.LastIndexFunc(s[:end], func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) + 1
		days, err := strconv.ParseFloat(s[start:end], 64)
		if err != nil {
			return 0, ErrInvalid
		}
		s = s[:start] + strconv.FormatFloat(days*day.Hours(), 'f', -1, 64) + "h" + s[end+1:]
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, ErrInvalid
	}
	return d, nil
}

// Text returns a duration as a Caddyfile has it: in days where it is some, such as "90d".
func Text(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
