package caddyauth

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// breakable is what the app's answer is written to. Handlers such as file_server look at no context: when the session
// is over, what they write to has to fail.
type breakable struct {
	caddyhttp.ResponseWriterWrapper
	broken atomic.Bool
}

// errBroken is what a handler gets that goes on writing after the session is over.
var errBroken = errors.New("the session has ended: no more of this answer is sent")

// breakChunk bounds what is written after the break by one call that copies a whole file.
const breakChunk = 1 << 20

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Break implements session.Breaker. A write that waits for a slow client is interrupted by a deadline on the connection
// itself: Caddy's writers in between have deadlines of their own, must not be used by two at once, and may undo it once.
func (b *breakable) Break() {
	b.broken.Store(true)
	w := b.ResponseWriter
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = outer.Unwrap()
	}
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(longAgo) // HTTP/1, 2 and 3 have deadlines; of what has none the next write fails
	_ = c.SetReadDeadline(longAgo)
}

// Write implements http.ResponseWriter.
func (b *breakable) Write(p []byte) (int, error) {
	if b.broken.Load() {
		return 0, errBroken
	}
	return b.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (b *breakable) ReadFrom(src io.Reader) (n int64, err error) {
	limited, ok := src.(*io.LimitedReader) // kept as it is: one level is what sendfile sees through
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	for limited.N > 0 {
		if b.broken.Load() {
			return n, errBroken
		}
		chunk := min(limited.N, breakChunk)
		m, err := b.ResponseWriterWrapper.ReadFrom(&io.LimitedReader{R: limited.R, N: chunk})
		n, limited.N = n+m, limited.N-m
		if err != nil || m < chunk {
			return n, err
		}
	}
	return n, nil
}

// FlushError is what http.ResponseController calls.
func (b *breakable) FlushError() error {
	if b.broken.Load() {
		return errBroken
	}
	return http.NewResponseController(b.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (b *breakable) Flush() { _ = b.FlushError() }
