package password

import (
	"sync/atomic"
	"time"
)

// maxDelayed limits how many callers are delayed at once.
const maxDelayed = 512

// Tarpit is a tarpit: it delays callers before they are refused. Programs that are refused at once retry at once, and
// refusing them ten thousand times takes processor time from signed-in users. The number of delayed callers is limited,
// so that they do not accumulate. The zero value is ready to use; it is safe for concurrent use.
type Tarpit struct {
	delayed atomic.Int64
	last    atomic.Uint32
}

// Delay returns how long to delay a caller: about as long as given, from half of it to one and a half. Concurrent
// callers get different delays, or they would retry at the same time, too. It returns 0 beyond the limit. The caller
// calls end after the delay.
func (h *Tarpit) Delay(about time.Duration) (moment time.Duration, end func()) {
	end = func() { h.delayed.Add(-1) }
	if h.delayed.Add(1) > maxDelayed {
		return 0, end
	}
	// Steps of the golden ratio spread any number of callers evenly.
	step := float64(h.last.Add(0x9E3779B1)) / (1 << 32)
	return about/2 + time.Duration(step*float64(about)), end
}
