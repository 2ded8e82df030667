package sqlstore_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy forwards the traffic between a store and PostgreSQL.
type proxy struct {
	dsn      string
	refuse   []byte      // what a client sends with this in it ends its connection
	cutAfter atomic.Bool // the next commit is forwarded, its response is not
	cuts     atomic.Int64
	refused  atomic.Int64
}

func startProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	upstream := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	p := &proxy{dsn: u.String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client, upstream) })
		}
	})
	return p
}

func (p *proxy) serve(client net.Conn, upstream string) {
	defer client.Close()
	server, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	var mute atomic.Bool
	var responses sync.WaitGroup
	responses.Go(func() { forwardResponses(client, server, &mute) })
	p.forwardQueries(client, server, &mute)
	if mute.Load() {
		// The commit has been sent. PostgreSQL runs it before it notices that the client is gone.
		_ = server.(*net.TCPConn).CloseWrite()
	} else {
		_ = server.Close()
	}
	responses.Wait()
	_ = server.Close()
}

// forwardResponses forwards the server's responses until it is muted: then the client's connection is closed instead.
func forwardResponses(client, server net.Conn, mute *atomic.Bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil || mute.Load() {
			_ = client.Close()
		}
		if err != nil {
			return
		}
		_, _ = client.Write(buf[:n]) // a client that is gone shows when it is read from
	}
}

func (p *proxy) forwardQueries(client, server net.Conn, mute *atomic.Bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if p.refuse != nil && bytes.Contains(buf[:n], p.refuse) {
			p.refused.Add(1)
			return
		}
		if bytes.Contains(bytes.ToLower(buf[:n]), []byte("commit")) && p.cutAfter.CompareAndSwap(true, false) {
			p.cuts.Add(1)
			mute.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}
