package password

import (
	"sync/atomic"
	"time"
)

// maxDelayed is how many callers are held at once at the most.
const maxDelayed = 512

// Holds are callers that are held for a moment before they are refused. Programs that are refused at once come back at
// once, and to refuse them ten thousand times takes the time of those who are signed in. The number of those who are
// held is bounded, so that nothing piles up. The zero value holds nobody yet; it is safe for concurrent use.
type Holds struct {
	delayed atomic.Int64
	last    atomic.Uint32
}

// Begin returns how long to hold a caller: about a time, from half of it to one and a half. Those who come at once
// are spread over it, or they would come back at once, too. It returns 0 when nobody else may be held. The caller calls
// end when the moment is over.
func (h *Holds) Begin(about time.Duration) (moment time.Duration, end func()) {
	end = func() { h.delayed.Add(-1) }
	if h.delayed.Add(1) > maxDelayed {
		return 0, end
	}
	// Steps of the golden ratio spread any number of callers evenly.
	step := float64(h.last.Add(0x9E3779B1)) / (1 << 32)
	return about/2 + time.Duration(step*float64(about)), end
}
