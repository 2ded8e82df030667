package session

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// refreshEvery is how often the sessions of open streams are looked at: what is due at a provider is refreshed then, as
// with the next request, and what the rules deny by now ends. Otherwise a stream would outlive what its provider has
// revoked.
const refreshEvery = time.Second

// maxStreamRefreshes is how many of them are refreshed at once at one provider. Those of a provider that hangs keep
// their places for a while; the streams of other providers do not wait for them.
const maxStreamRefreshes = 16

// Refresher refreshes the session of a followed request at its provider, if that is due. It ends the session's streams
// where the next request would be denied.
type Refresher interface{ RefreshSession(ctx context.Context) }

// refreshStreams refreshes the sessions of open streams until the manager is closed.
func (m *Manager) refreshStreams() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	places := make(map[string]chan struct{}) // by provider
	var busy sync.Map                        // ids of sessions that are being refreshed
	for {
		select {
		case <-m.done:
			return
		case <-tick.C:
		}
		for id, stream := range m.streams.refreshers() {
			place := places[stream.provider]
			if place == nil {
				place = make(chan struct{}, maxStreamRefreshes)
				places[stream.provider] = place
			}
			if _, started := busy.LoadOrStore(id, nil); started {
				continue
			}
			select {
			case place <- struct{}{}:
			default: // at the next tick
				busy.Delete(id)
				continue
			}
			m.wg.Go(func() {
				defer func() {
					if p := recover(); p != nil { // in a request, net/http would have caught it
						m.log.Error("refreshing the session of a stream panicked", zap.Any("panic", p), zap.Stack("stack"))
						m.EndStreams(id)
					}
					busy.Delete(id)
					<-place
				}()
				stream.RefreshSession(ctx)
			})
		}
	}
}

// EndStreams ends the open requests of a session, for whoever knows that it is over before the store does.
func (m *Manager) EndStreams(id string) { m.streams.cancel(id, ErrEnded) }

// refreshable is a stream whose session may have to be refreshed.
type refreshable struct {
	Refresher
	provider string
}

// refreshers returns a follower's Refresher for each session with streams, by its id. One of a session is enough.
func (s *streams) refreshers() map[string]refreshable {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out map[string]refreshable
	for id, g := range s.byID {
		for f := g.first; f != nil; f = f.next {
			if f.Refresher == nil {
				continue
			}
			if out == nil {
				out = make(map[string]refreshable)
			}
			out[id] = refreshable{f.Refresher, f.live.Session.Provider}
			break
		}
	}
	return out
}
