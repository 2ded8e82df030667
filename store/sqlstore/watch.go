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

// hub tells watchers. No lock of its own is held while a watcher runs, but for the watcher's own, which only stopping
// it takes.
type hub struct {
	mu       sync.Mutex
	watchers map[*watching]struct{}
}

type watching struct {
	store.Watcher
	mu      sync.RWMutex // held for reading while the watcher runs
	stopped bool
}

func (h *hub) add(w store.Watcher) *watching {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[*watching]struct{})
	}
	entry := &watching{Watcher: w}
	h.watchers[entry] = struct{}{}
	return entry
}

func (h *hub) remove(w *watching) {
	h.mu.Lock()
	delete(h.watchers, w)
	h.mu.Unlock()
	w.mu.Lock() // waits for calls under way
	w.stopped = true
	w.mu.Unlock()
}

func (h *hub) each(call func(store.Watcher)) {
	h.mu.Lock()
	list := make([]*watching, 0, len(h.watchers))
	for w := range h.watchers {
		list = append(list, w)
	}
	h.mu.Unlock()
	for _, w := range list {
		w.tell(call)
	}
}

func (w *watching) tell(call func(store.Watcher)) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if !w.stopped {
		call(w.Watcher)
	}
}

func (h *hub) changed(changes []store.Change) {
	if len(changes) > 0 {
		h.each(func(w store.Watcher) { w.Changed(changes) })
	}
}

func (h *hub) synced(at time.Time) { h.each(func(w store.Watcher) { w.Synced(at) }) }

// Watch implements [store.Store]. Looking for the changes of other processes begins with the first watcher.
func (d *DB) Watch(w store.Watcher) (stop func()) {
	entry := d.hub.add(w)
	d.poller.start()
	return sync.OnceFunc(func() { d.hub.remove(entry) })
}

// poller learns of the changes of other processes.
type poller struct {
	d      *DB
	cancel context.CancelFunc
	ctx    context.Context
	wakeup chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	started bool
	current string // names this process in the rows of its changes

	last int64 // number of the last change that was told; -1: none yet
	conn *sql.Conn
}

// pollTimeout bounds one poll: a poll that hangs must not keep the next one from finding the way.
const pollTimeout = 2 * time.Second

// longestBackoff bounds the pause after polls that failed.
const longestBackoff = time.Second

func (p *poller) init(d *DB) {
	p.d = d
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wakeup = make(chan struct{}, 1)
	p.current = rand.Text()
	p.last = -1
}

// origin names this process in the rows of its changes, which it need not be told of.
func (p *poller) origin() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// renounce gives up an origin: its changes, which may be committed at any time, are told like those of others.
func (p *poller) renounce(origin string) {
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
	default: // one is waiting already
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
				p.d.opts.Log.Info("looking for changes works again", zap.String("store", p.d.info.Location))
			}
			failing, wait = false, interval
		default:
			if !failing {
				p.d.opts.Log.Warn("cannot look for changes that others make to the store; sessions are not answered "+
					"from memory until it works again", zap.String("store", p.d.info.Location), zap.Error(err))
			}
			failing, wait = true, min(max(2*wait, interval), longestBackoff)
			p.release()
		}
	}
}

// poll tells what was committed since the last poll, and that nothing else was.
func (p *poller) poll() error {
	// Before the query goes out: what is committed while it runs may be missing in the answer. This is the time of the
	// machine and not of the injected clock, as watchers measure the age of what they know with it.
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
	moved, anew, err := p.d.engine.moved(ctx, p.conn)
	if err != nil {
		return err
	}
	if anew {
		p.last = -1
	}
	for more := moved; more; {
		if more, err = p.tellNew(ctx); err != nil {
			return err
		}
	}
	p.d.hub.synced(at)
	return nil
}

// changeRow is a row of changes, beside the number of the last one there is.
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

// tellNew tells changes after the last one and reports whether there are more.
func (p *poller) tellNew(ctx context.Context) (more bool, err error) {
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
		// The first look, another server, a store that was put back to an earlier state, or rows that are pruned already.
		p.last = head
		p.d.hub.changed([]store.Change{{Kind: store.ChangeAll}})
		return false, nil
	}
	p.d.hub.changed(p.foreign(rows))
	p.last = rows[len(rows)-1].seq
	return p.last < head, nil
}

// foreign returns the changes that this process did not make itself.
func (p *poller) foreign(rows []changeRow) []store.Change {
	own := p.origin()
	var changes []store.Change
	for _, r := range rows {
		if r.origin != own {
			changes = append(changes, store.Change{Kind: store.ChangeKind(r.kind), Subject: r.subject})
		}
	}
	return changes
}

// release gives the connection up, so that the next poll takes another one.
func (p *poller) release() {
	if p.conn != nil {
		_ = p.conn.Close() // back to the pool, which drops broken ones
		p.conn = nil
	}
}
