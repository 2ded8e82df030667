package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// hub notifies watchers. While a watcher runs only its own lock is held, for which only its removal waits.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcherEntry]struct{}
}

type watcherEntry struct {
	store.Watcher
	mu      sync.RWMutex // held for reading while the watcher runs
	stopped bool
}

func (h *hub) add(w store.Watcher) *watcherEntry {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[*watcherEntry]struct{})
	}
	entry := &watcherEntry{Watcher: w}
	h.watchers[entry] = struct{}{}
	return entry
}

func (h *hub) remove(w *watcherEntry) {
	h.mu.Lock()
	delete(h.watchers, w)
	h.mu.Unlock()
	w.mu.Lock() // waits for calls in progress
	w.stopped = true
	w.mu.Unlock()
}

func (h *hub) each(call func(store.Watcher)) {
	h.mu.Lock()
	list := make([]*watcherEntry, 0, len(h.watchers))
	for w := range h.watchers {
		list = append(list, w)
	}
	h.mu.Unlock()
	for _, w := range list {
		w.notify(call)
	}
}

func (w *watcherEntry) notify(call func(store.Watcher)) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if !w.stopped {
		call(w.Watcher)
	}
}

func (h *hub) notifyChanged(changes []store.Change) {
	if len(changes) > 0 {
		h.each(func(w store.Watcher) { w.Changed(changes) })
	}
}

func (h *hub) notifySynced(at time.Time) { h.each(func(w store.Watcher) { w.Synced(at) }) }

// Watch implements [store.Store]. Polling for the changes of other processes starts with the first watcher.
func (d *DB) Watch(w store.Watcher) (stop func()) {
	entry := d.hub.add(w)
	d.poller.start()
	return sync.OnceFunc(func() { d.hub.remove(entry) })
}

// poller detects the changes of other processes.
type poller struct {
	d      *DB
	cancel context.CancelFunc
	ctx    context.Context
	wakeup chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	started bool
	current string // identifies this process in the rows of its changes

	last int64 // sequence number of the last delivered change; -1: none yet
	conn *sql.Conn
}

// pollTimeout bounds one poll: a poll that hangs must not block the next one, which may get another connection.
const pollTimeout = 2 * time.Second

// longestBackoff bounds the pause after failed polls.
const longestBackoff = time.Second

func (p *poller) init(d *DB) {
	p.d = d
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wakeup = make(chan struct{}, 1)
	p.current = rand.Text()
	p.last = -1
}

// origin identifies this process in the rows of its changes, which are not delivered to it again.
func (p *poller) origin() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// resetOrigin abandons an origin: its changes, which may be committed at any time, are delivered like those of
// others.
func (p *poller) resetOrigin(origin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == origin {
		p.current = rand.Text()
	}
}

func (p *poller) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.ctx.Err() != nil {
		return
	}
	p.started = true
	p.done.Go(p.loop)
	p.done.Go(func() { p.d.engine.listen(p.ctx, p.wake) })
}

func (p *poller) stop() {
	p.mu.Lock()
	p.cancel()
	p.mu.Unlock()
	p.done.Wait()
}

func (p *poller) wake() {
	select {
	case p.wakeup <- struct{}{}:
	default: // a wake-up is pending already
	}
}

func (p *poller) loop() {
	defer p.release()
	interval := p.d.opts.PollInterval
	failing := false
	for wait := time.Duration(0); ; {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wakeup:
		case <-time.After(wait):
		}
		err := p.poll()
		switch {
		case p.ctx.Err() != nil:
			return
		case err == nil:
			if failing {
				p.d.opts.Log.Info("store polling works again", zap.String("store", p.d.info.Location))
			}
			failing, wait = false, interval
		default:
			if !failing {
				p.d.opts.Log.Warn("store polling failed: cached sessions are not used until it works again",
					zap.String("store", p.d.info.Location), zap.Error(err))
			}
			failing, wait = true, min(max(2*wait, interval), longestBackoff)
			p.release()
		}
	}
}

// poll delivers what was committed since the last poll, and then Synced.
func (p *poller) poll() error {
	// Taken before the query: what is committed while it runs may be missing in the result. This is the machine's time
	// and not that of the injected clock, since watchers measure the age of their data with it.
	at := time.Now()
	ctx, cancel := context.WithTimeout(p.ctx, pollTimeout)
	defer cancel()
	if err := p.d.engine.healthy(); err != nil {
		return err
	}
	if p.conn == nil {
		conn, err := p.d.pool.Conn(ctx)
		if err != nil {
			return err
		}
		p.conn = conn
	}
	committed, reset, err := p.d.engine.pollCommits(ctx, p.conn)
	if err != nil {
		return err
	}
	if reset {
		p.last = -1
	}
	for more := committed; more; {
		if more, err = p.deliverChanges(ctx); err != nil {
			return err
		}
	}
	p.d.hub.notifySynced(at)
	return nil
}

// changeRow is a row of changes, with the sequence number of the last one.
type changeRow struct {
	head, seq             int64
	kind, subject, origin string
}

func scanChange(s scanner) (c changeRow, err error) {
	err = s.Scan(&c.head, &c.seq, &c.kind, &c.subject, &c.origin)
	return c, err
}

// pollBatch bounds the rows of one query.
const pollBatch = 1000

// deliverChanges delivers changes after the last one and reports whether there are more.
func (p *poller) deliverChanges(ctx context.Context) (more bool, err error) {
	// One statement, so that the counter and the rows belong together.
	rows, err := collect(ctx, p.conn, scanChange, `SELECT n.seq, coalesce(c.seq, 0), coalesce(c.kind, ''),
		coalesce(c.subject, ''), coalesce(c.origin, '')
		FROM change_counter n LEFT JOIN changes c ON c.seq > $1 WHERE n.id = 1 ORDER BY c.seq LIMIT $2`,
		p.last, int64(pollBatch))
	if err != nil {
		return false, err
	}
	if len(rows) == 0 {
		return false, sql.ErrNoRows // the counter is gone
	}
	head := rows[0].head
	switch {
	case head == p.last:
		return false, nil
	case p.last < 0, head < p.last, rows[0].seq != p.last+1:
		// The first poll, another server, a store restored to an earlier state, or rows that are already deleted.
		p.last = head
		p.d.hub.notifyChanged([]store.Change{{Kind: store.ChangeAll}})
		return false, nil
	}
	p.d.hub.notifyChanged(p.fromOthers(rows))
	p.last = rows[len(rows)-1].seq
	return p.last < head, nil
}

// fromOthers returns the changes of other processes.
func (p *poller) fromOthers(rows []changeRow) []store.Change {
	origin := p.origin()
	var changes []store.Change
	for _, r := range rows {
		if r.origin != origin {
			changes = append(changes, store.Change{Kind: store.ChangeKind(r.kind), Subject: r.subject})
		}
	}
	return changes
}

// release returns the connection, so that the next poll takes another one.
func (p *poller) release() {
	if p.conn != nil {
		_ = p.conn.Close() // back to the pool, which drops broken ones
		p.conn = nil
	}
}
