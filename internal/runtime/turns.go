package runtime

import (
	"errors"
	"slices"
	"sync"
)

// turns has the configurations that want to start, or have. One that waited for its store must not apply its values
// after those of a later one.
type turns struct {
	mu      sync.Mutex
	waiting []any
}

// Enter notes that a configuration is starting, until Release.
func (rt *Runtime) Enter(config any) {
	rt.turns.mu.Lock()
	defer rt.turns.mu.Unlock()
	rt.turns.waiting = append(rt.turns.waiting, config)
}

// ErrNotItsTurn means that a later configuration is starting, or has started.
var ErrNotItsTurn = errors.New("a later configuration has taken over")

// WithTurn runs fn, unless it is another configuration's turn. Only one runs at a time.
func (rt *Runtime) WithTurn(config any, fn func() error) error {
	rt.turns.mu.Lock()
	defer rt.turns.mu.Unlock()
	if n := len(rt.turns.waiting); n > 0 && rt.turns.waiting[n-1] == config {
		return fn()
	}
	return ErrNotItsTurn
}

func (t *turns) leave(config any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = slices.DeleteFunc(t.waiting, func(c any) bool { return c == config })
}
