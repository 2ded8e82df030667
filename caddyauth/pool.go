package caddyauth

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/runtime"
)

// runtimes has one runtime for each store in use. Caddy starts the new configuration before it stops the old one: with
// the same store both use the same runtime.
var runtimes = caddy.NewUsagePool()

// pooledRuntime is a runtime that Caddy closes when no configuration uses it any more.
type pooledRuntime struct{ *runtime.Runtime }

// Destruct implements caddy.Destructor.
func (p pooledRuntime) Destruct() error { return p.Close() }

// acquireRuntime returns the runtime of a store; releaseRuntime gives it back, once.
func acquireRuntime(o storeOptions) (*runtime.Runtime, error) {
	v, _, err := runtimes.LoadOrNew(o.key(), func() (caddy.Destructor, error) { return pooledRuntime{runtime.New()}, nil })
	if err != nil {
		return nil, err
	}
	return v.(pooledRuntime).Runtime, nil //nolint:errcheck // nothing else is added to the pool
}

func releaseRuntime(o storeOptions) error {
	_, err := runtimes.Delete(o.key())
	return err
}
