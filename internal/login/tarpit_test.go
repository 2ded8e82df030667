package login

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Denial of service: a client that has to wait and retries anyway gets its refusal after a delay, or a flood of
// refusals would slow down everybody else. The number of delayed requests is limited, and other clients are not
// delayed.
func TestBlockedClientsAreDelayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		eve, ada := netip.MustParseAddr("2001:db8:1:2::3"), netip.MustParseAddr("192.0.2.1")
		began := time.Now()
		th := NewThrottle(nil, time.Now) // the store is not queried
		th.blocked.Set(ClientKey(eve), began.Add(time.Minute))
		var held, others sync.WaitGroup
		var wrong atomic.Int64
		const many = 512 // as many as may be delayed
		for range many {
			held.Go(func() {
				err := th.checkBlocked(t.Context(), Client{IP: netip.MustParseAddr("2001:db8:1:2::4")}, DefaultLimits) // the same subscriber
				if late := new(ThrottledError); !errors.As(err, &late) || late.Wait != time.Minute-time.Since(began) ||
					time.Since(began) < tarpitDelay/2 || time.Since(began) >= 3*tarpitDelay/2 {
					wrong.Add(1)
				}
			})
		}
		synctest.Wait()
		others.Go(func() {
			if err := th.checkBlocked(t.Context(), Client{IP: eve}, DefaultLimits); !errors.As(err, new(*ThrottledError)) ||
				time.Since(began) > 0 {
				t.Errorf("one more than may be held: %v after %v", err, time.Since(began))
			}
			if err := th.checkBlocked(t.Context(), Client{IP: ada}, DefaultLimits); err != nil || time.Since(began) > 0 {
				t.Errorf("somebody else: %v after %v", err, time.Since(began))
			}
			if err := th.checkBlocked(t.Context(), Client{IP: eve}, Limits{}); err != nil || time.Since(began) > 0 {
				t.Errorf("with no limit: %v after %v", err, time.Since(began))
			}
		})
		others.Wait()
		held.Wait()
		if wrong.Load() > 0 {
			t.Errorf("%d of %d were answered otherwise or at another time", wrong.Load(), many)
		}

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(tarpitDelay/4, cancel)
		if err := th.checkBlocked(ctx, Client{IP: eve}, DefaultLimits); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that left: %v", err)
		}
		time.Sleep(time.Minute - time.Since(began) - tarpitDelay/4)
		if err := th.checkBlocked(t.Context(), Client{IP: eve}, DefaultLimits); err != nil {
			t.Errorf("the wait was over by then: %v", err)
		}
	})
}
