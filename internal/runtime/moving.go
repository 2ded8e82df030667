package runtime

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
)

// body is the body of the request that belongs to a response: an upload.
type body struct {
	io.ReadCloser
	response *Response
}

// Body returns b, noting in r what is read from it. There must be one of it for a response.
func (r *Response) Body(b io.ReadCloser) io.ReadCloser {
	if b == nil || b == http.NoBody { // handlers ask whether it is just this
		return b
	}
	r.body = body{b, r}
	return &r.body
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.response.broken.Load() {
		return 0, errBroken
	}
	n, err := b.ReadCloser.Read(p)
	b.response.move(int64(n))
	return n, err
}

// conn is a connection that was taken over, as for a WebSocket.
type conn struct {
	net.Conn
	response *Response
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.response.move(int64(n))
	return n, err
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) { return c.response.write(c.Conn, p) }

// halfCloser is a conn that can be closed in one direction. Who has taken it over looks for the method.
type halfCloser struct {
	conn
	closeWrite func() error
}

// CloseWrite closes the direction to the client.
func (c *halfCloser) CloseWrite() error { return c.closeWrite() }

// Hijack is called by http.ResponseController.
func (r *Response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	below, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	var c net.Conn = &conn{below, r}
	if half, ok := below.(interface{ CloseWrite() error }); ok {
		c = &halfCloser{conn{below, r}, half.CloseWrite}
	}
	rw.Writer.Reset(c) // it is empty
	early, _ := rw.Peek(rw.Reader.Buffered())
	rw.Reader.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(early)), c))
	_, _ = rw.Peek(len(early)) // buffered as before
	return c, rw, nil
}
