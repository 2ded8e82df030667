package runtime

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// Response is what an app's response is written to: it sets none of our cookies. Of a session more holds. Handlers such
// as file_server look at no context: when the session ends, what they write to has to fail. It also notes that bytes
// move, in both directions: that is a use of the session.
type Response struct {
	http.ResponseWriter

	// CookieName is the configured name of our cookies, which the app must not set; see [session.DropSetCookies].
	CookieName string
	// Private keeps a response that says nothing about caches from being shown without asking again.
	Private bool

	ours   bool      // the gate writes, not the app
	headed bool      // nothing is added to the header any more
	cache  [1]string // backs Cache-Control
	body   body
	broken atomic.Bool
	moved  atomic.Bool
}

// errBroken is returned to a handler that goes on writing after the session has ended.
var errBroken = errors.New("the session has ended: no more of this response is sent")

// What one call writes, of a whole file or of a large buffer, is written in chunks: that bounds what is written after
// the break, and shows that bytes move. Chunks grow while the client takes them fast.
const (
	minChunk  = 64 << 10
	maxChunk  = 1 << 20
	fastChunk = 20 * time.Millisecond
)

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

// Moved reports whether bytes have moved since it was last called.
func (r *Response) Moved() bool { return r.moved.Swap(false) }

// move notes that bytes have moved. Mostly that is known already, and a load is all it costs.
func (r *Response) move(n int64) {
	if n > 0 && !r.moved.Load() {
		r.moved.Store(true)
	}
}

// WriteHeader implements http.ResponseWriter.
func (r *Response) WriteHeader(status int) {
	if status >= http.StatusOK { // before it there may be others, or there is a connection instead of a response
		r.completeHeader()
	} else {
		r.dropCookies() // browsers take those of 101, too
	}
	r.ResponseWriter.WriteHeader(status)
}

// privateResponse lets a browser keep a response for its validators, and show it only after asking again (RFC 9111,
// section 5.2.2.4). Without it browsers keep what has a Last-Modified, redirects, and much else for as long as they
// like, and show it after the session.
const privateResponse = "private, no-cache"

// completeHeader adds what the handler left open. Every status is treated alike: redirects and errors are kept as well,
// 206 is a part of what 200 would be, and 304 renews what was kept before (RFC 9111, section 3.2).
func (r *Response) completeHeader() {
	if r.headed {
		return
	}
	r.headed = true
	r.dropCookies()
	h := r.Header()
	if r.Private && !says(h["Cache-Control"]) && !says(h["Expires"]) && !says(h["Pragma"]) {
		r.cache[0] = privateResponse
		h["Cache-Control"] = r.cache[:]
	}
}

// dropCookies removes what the app sets of our cookies.
func (r *Response) dropCookies() {
	if !r.ours {
		session.DropSetCookies(r.Header(), r.CookieName)
	}
}

// GateWrites tells all responses that w is made of that what comes is a gate's own, as of a second gate on a request,
// whose cookies are not the app's.
func GateWrites(w http.ResponseWriter) {
	for {
		if r, ok := w.(*Response); ok {
			r.ours = true
		}
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = outer.Unwrap()
	}
}

// says reports whether a header field says anything: blank values don't.
func says(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) != "" })
}

// Write implements http.ResponseWriter.
func (r *Response) Write(p []byte) (int, error) {
	r.completeHeader()
	return r.write(r.ResponseWriter, p)
}

// write writes to w, which is the response or the connection that it was.
func (r *Response) write(w io.Writer, p []byte) (n int, err error) {
	for {
		if r.broken.Load() {
			return n, errBroken
		}
		m, err := w.Write(p[n:min(len(p), n+minChunk)])
		r.move(int64(m))
		if n += m; err != nil || n >= len(p) {
			return n, err
		}
	}
}

// ReadFrom implements io.ReaderFrom.
func (r *Response) ReadFrom(src io.Reader) (n int64, err error) {
	r.completeHeader()
	limited, ok := src.(*io.LimitedReader) // kept as it is: one level is what sendfile sees through
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	for size := int64(minChunk); limited.N > 0; {
		if r.broken.Load() {
			return n, errBroken
		}
		chunk, began := min(limited.N, size), time.Now()
		m, err := r.readFrom(&io.LimitedReader{R: limited.R, N: chunk})
		r.move(m)
		n, limited.N = n+m, limited.N-m
		if err != nil || m < chunk {
			return n, err
		}
		if size = minChunk; time.Since(began) < fastChunk {
			size = min(2*chunk, maxChunk)
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
	r.completeHeader() // this sends it
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
