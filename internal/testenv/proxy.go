package testenv

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy forwards TCP connections and breaks them in the ways networks do.
type Proxy struct {
	direct string
	ln     net.Listener

	mu     sync.Mutex
	target string
	state  proxyState
	heal   chan struct{} // closed when a hanging proxy continues
	conns  map[net.Conn]struct{}
}

type proxyState int

const (
	proxyOpen proxyState = iota
	proxyCut             // connections are closed, including new ones
	proxyHang            // connections stay open, but no data is forwarded
)

// PostgresProxy creates a database and returns a DSN for it through a proxy.
func PostgresProxy(t testing.TB) (*Proxy, string) {
	t.Helper()
	return ProxyTo(t, PostgresDSN(t))
}

// ProxyTo returns a DSN for the database at dsn, a URL, through a proxy.
func ProxyTo(t testing.TB, dsn string) (*Proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{direct: dsn, target: u.Host, ln: ln, heal: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	go p.serve()
	t.Cleanup(func() {
		_ = ln.Close()
		p.Cut()
	})
	u.Host = ln.Addr().String()
	return p, u.String()
}

// Direct returns the DSN that bypasses the proxy.
func (p *Proxy) Direct() string { return p.direct }

// Redirect directs new connections to another server (host:port) and closes existing ones, like a virtual IP address
// that moves.
func (p *Proxy) Redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.set(proxyOpen)
	for c := range p.conns {
		_ = c.Close()
	}
}

// Cut closes every connection and refuses new ones until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(proxyCut)
	for c := range p.conns {
		_ = c.Close()
	}
}

// Hang keeps connections open without forwarding data, and accepts new ones without serving them, until Heal.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(proxyHang)
}

// Heal restores normal operation.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(proxyOpen)
}

// set changes the state; the caller holds the lock.
func (p *Proxy) set(s proxyState) {
	if p.state == proxyHang && s != proxyHang {
		close(p.heal)
	}
	if p.state != proxyHang && s == proxyHang {
		p.heal = make(chan struct{})
	}
	p.state = s
}

// gate waits while the proxy hangs and reports whether to continue.
func (p *Proxy) gate() bool {
	for {
		p.mu.Lock()
		state, heal := p.state, p.heal
		p.mu.Unlock()
		switch state {
		case proxyOpen:
			return true
		case proxyCut:
			return false
		}
		<-heal
	}
}

func (p *Proxy) serve() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		go p.relay(c)
	}
}

func (p *Proxy) relay(client net.Conn) {
	defer client.Close()
	p.track(client, true)
	defer p.track(client, false)
	if !p.gate() {
		return
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{server, client}, {client, server}} {
		go func() {
			p.copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}

func (p *Proxy) track(c net.Conn, add bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if add {
		p.conns[c] = struct{}{}
	} else {
		delete(p.conns, c)
	}
}

// copy forwards bytes while the proxy is open.
func (p *Proxy) copy(dst io.Writer, src io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if !p.gate() {
			return
		}
		if _, werr := dst.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}
