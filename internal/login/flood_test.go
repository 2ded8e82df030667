package login_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Denial of service: requests rejected because the queue is full make no query, are not counted as attempts, and do not
// fill the log.
func TestAFloodIsRejectedBeforeTheStoreIsQueried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slots := password.NewSlots(1, 0)
	w.Hasher = password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, slots)
	_, leave, err := slots.Admit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	logs, lines := observer.New(zap.WarnLevel)
	w.Log = zap.New(logs)
	w.Limits.Client = 2
	st, throttle := w.Store, w.Throttle
	w.Store = struct{ store.Store }{} // any call panics
	w.Throttle = login.NewThrottle(w.Store, w.clock.Now)
	var flood sync.WaitGroup
	for range 50 {
		flood.Go(func() {
			_, err := w.CheckPassword(t.Context(), from("192.0.2.1"), "ada", right)
			if busy := new(password.BusyError); !errors.As(err, &busy) {
				t.Errorf("got %v", err)
			}
		})
		flood.Go(func() {
			if _, err := w.Reverify(t.Context(), from("192.0.2.1"), w.user, right); !errors.Is(err, password.ErrBusy) {
				t.Errorf("got %v", err)
			}
		})
	}
	flood.Wait()
	w.clock.Advance(11 * time.Second)
	_, _ = w.CheckPassword(t.Context(), from("192.0.2.1"), "ada", right)
	rejected := int64(0)
	for _, line := range lines.All() {
		n, _ := line.ContextMap()["rejected"].(int64)
		rejected += n
	}
	if lines.Len() != 2 || rejected != 51 {
		t.Errorf("logged %v", lines.All())
	}
	leave()
	w.Store, w.Throttle = st, throttle
	if got := w.try(from("192.0.2.1"), "ada", right); got != "ok" {
		t.Errorf("after the flood: %s", got)
	}
}
