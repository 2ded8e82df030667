//go:build providers

package providers

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// line is the way of everybody to a provider, which can be cut and mended.
type line struct {
	t        testing.TB
	at, to   string // host and port
	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
}

func newLine(t testing.TB) *line {
	t.Helper()
	l := &line{t: t, at: "127.0.0.1:" + harness.Port(t), to: "127.0.0.1:" + harness.Port(t)}
	l.mend()
	t.Cleanup(l.cut)
	return l
}

// mend opens the line.
func (l *line) mend() {
	l.t.Helper()
	listener, err := net.Listen("tcp", l.at)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener, l.conns = listener, make(map[net.Conn]bool)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(from)
		}
	}()
}

// cut ends all connections and refuses others.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener.Close()
	for c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *line) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer to.Close()
	l.mu.Lock()
	if l.conns == nil {
		l.mu.Unlock()
		return
	}
	l.conns[from] = true
	l.mu.Unlock()
	go func() {
		_, _ = io.Copy(to, from)
		to.Close()
	}()
	_, _ = io.Copy(from, to)
	l.mu.Lock()
	delete(l.conns, from)
	l.mu.Unlock()
}
