package session

import (
	"context"
	"sync"
	"time"
)

// refreshEvery is how often the sessions of open streams are looked at: what is due at a provider is refreshed then, as
// with the next request. Otherwise a stream would outlive what its provider has revoked.
const refreshEvery = time.Second

// maxStreamRefreshes is how many of them are refreshed at once.
const maxStreamRefreshes = 16

// Refresher refreshes the session of a followed request at its provider, if that is due.
type Refresher interface{ RefreshSession(ctx context.Context) }

// refreshStreams refreshes the sessions of open streams until the manager is closed.
func (m *Manager) refreshStreams() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	slots := make(chan struct{}, maxStreamRefreshes)
	var busy sync.Map // ids of sessions that are being refreshed
	for {
		select {
		case <-m.done:
			return
		case <-tick.C:
		}
		for id, refresh := range m.streams.refreshers() {
			if _, started := busy.LoadOrStore(id, nil); started {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-m.done:
				return
			}
			m.wg.Go(func() {
				defer func() {
					busy.Delete(id)
					<-slots
				}()
				refresh.RefreshSession(ctx)
			})
		}
	}
}

// refreshers returns a follower's Refresher for each session with streams, by its id. One of a session is enough.
func (s *streams) refreshers() map[string]Refresher {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out map[string]Refresher
	for id, g := range s.byID {
		for f := g.first; f != nil; f = f.next {
			if f.Refresher == nil {
				continue
			}
			if out == nil {
				out = make(map[string]Refresher)
			}
			out[id] = f.Refresher
			break
		}
	}
	return out
}
