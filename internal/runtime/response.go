package runtime

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Response is what the app's response to a signed-in person is written to. Handlers such as file_server look at no
// context: when the session ends, what they write to has to fail.
type Response struct {
	http.ResponseWriter

	broken atomic.Bool
}

// errBroken is returned to a handler that goes on writing after the session has ended.
var errBroken = errors.New("the session has ended: no more of this response is sent")

// breakChunk bounds what is written after the break by one call that copies a whole file.
const breakChunk = 1 << 20

// expired is a deadline that has passed.
var expired = time.Unix(1, 0)

// Abort implements session.Aborter. A write that waits for a slow client is interrupted by a deadline on the connection
// itself: Caddy's writers in between have deadlines of their own, must not be used by two at once, and may undo it
// once.
func (r *Response) Abort() {
	r.broken.Store(true)
	w := r.ResponseWriter
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = outer.Unwrap()
	}
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(expired) // HTTP/1, 2 and 3 have deadlines; of what has none the next write fails
	_ = c.SetReadDeadline(expired)
}

// Write implements http.ResponseWriter.
func (r *Response) Write(p []byte) (int, error) {
	if r.broken.Load() {
		return 0, errBroken
	}
	return r.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (r *Response) ReadFrom(src io.Reader) (n int64, err error) {
	limited, ok := src.(*io.LimitedReader) // kept as it is: one level is what sendfile sees through
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	for limited.N > 0 {
		if r.broken.Load() {
			return n, errBroken
		}
		chunk := min(limited.N, breakChunk)
		m, err := r.readFrom(&io.LimitedReader{R: limited.R, N: chunk})
		n, limited.N = n+m, limited.N-m
		if err != nil || m < chunk {
			return n, err
		}
	}
	return n, nil
}

// readFrom lets the writer below copy by itself where it can: that is what reaches sendfile.
func (r *Response) readFrom(src io.Reader) (int64, error) {
	if below, ok := r.ResponseWriter.(io.ReaderFrom); ok {
		return below.ReadFrom(src)
	}
	return io.Copy(r.ResponseWriter, src)
}

// FlushError is called by http.ResponseController.
func (r *Response) FlushError() error {
	if r.broken.Load() {
		return errBroken
	}
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (r *Response) Flush() { _ = r.FlushError() }

// Push implements http.Pusher, where the writer below does.
func (r *Response) Push(target string, opts *http.PushOptions) error {
	if below, ok := r.ResponseWriter.(http.Pusher); ok {
		return below.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap is called by http.ResponseController.
func (r *Response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
