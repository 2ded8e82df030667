package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever moves bytes, in either direction, is noticed once; what moves none is not.
func TestBytesThatMoveAreNoticed(t *testing.T) {
	t.Parallel()
	w := &Response{ResponseWriter: httptest.NewRecorder()}
	upload := w.Body(io.NopCloser(strings.NewReader("an upload")))
	for name, step := range map[string]struct {
		do   func()
		want bool
	}{
		"nothing":          {func() {}, false},
		"a header":         {func() { w.Header().Set("X", "y") }, false},
		"a flush":          {func() { w.Flush() }, false},
		"an empty write":   {func() { _, _ = w.Write(nil) }, false},
		"a write":          {func() { _, _ = w.Write([]byte("x")) }, true},
		"a copied file":    {func() { _, _ = w.ReadFrom(strings.NewReader("x")) }, true},
		"an empty file":    {func() { _, _ = w.ReadFrom(strings.NewReader("")) }, false},
		"part of a upload": {func() { _, _ = upload.Read(make([]byte, 1)) }, true},
	} {
		if step.do(); w.Moved() != step.want || w.Moved() {
			t.Errorf("%s: moved once should be %v", name, step.want)
		}
	}
	_, _ = io.Copy(io.Discard, upload)
	w.Moved()
	if n, err := upload.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) || w.Moved() {
		t.Errorf("the end of an upload: %d, %v", n, err)
	}
}

// A request without a body stays one: handlers ask whether it is nil or http.NoBody.
func TestARequestWithoutABodyStaysOne(t *testing.T) {
	t.Parallel()
	w := &Response{}
	if w.Body(nil) != nil || w.Body(http.NoBody) != http.NoBody {
		t.Error("a body has appeared")
	}
}

// slow takes a little and then waits: the client of a large response.
type slow struct {
	http.ResponseWriter
	wrote chan int
	next  chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	s.wrote <- len(p)
	<-s.next
	return len(p), nil
}

// What a slow client takes of one large write, or of a file, shows while the rest waits.
func TestASlowClientsProgressShows(t *testing.T) {
	t.Parallel()
	large := make([]byte, 8*minChunk)
	for name, send := range map[string]func(w *Response){
		"one write": func(w *Response) { _, _ = w.Write(large) },
		"a file":    func(w *Response) { _, _ = w.ReadFrom(struct{ io.Reader }{bytes.NewReader(large)}) },
	} {
		s := &slow{ResponseWriter: httptest.NewRecorder(), wrote: make(chan int), next: make(chan struct{})}
		w, sent := &Response{ResponseWriter: s}, make(chan struct{})
		go func() { send(w); close(sent) }()
		if n := <-s.wrote; n > minChunk || w.Moved() {
			t.Errorf("%s: %d bytes at once, noticed before they are sent", name, n)
		}
		total, noticed := 0, 0
		for done := false; !done; {
			select {
			case s.next <- struct{}{}:
			case n := <-s.wrote:
				if total += n; w.Moved() {
					noticed++
				}
			case <-sent:
				done = true
			}
		}
		if noticed < 3 { // a fast client's chunks are larger
			t.Errorf("%s: of %d bytes only %d steps were noticed", name, total, noticed)
		}
	}
}

// A connection that was taken over moves its session, keeps what came early, and can be closed as before.
func TestATakenOverConnectionMoves(t *testing.T) {
	t.Parallel()
	moved, failed := make(chan bool, 4), make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(below http.ResponseWriter, _ *http.Request) {
		w := &Response{ResponseWriter: below}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			failed <- err
			return
		}
		defer c.Close()
		_ = map[net.Conn]bool{c: true} // as proxies keep their connections
		early := rw.Reader.Buffered()
		text, err := rw.ReadString('\n')
		moved <- w.Moved() == (early < len(text)) // early bytes came with the request
		_, werr := c.Write([]byte("hello\n"))
		moved <- w.Moved()
		half, ok := c.(interface{ CloseWrite() error })
		if !ok {
			failed <- errors.New("it cannot be closed in one direction")
			return
		}
		cerr := half.CloseWrite()
		rest, rerr := io.ReadAll(c)
		moved <- w.Moved()
		w.broken.Store(true)
		_, broken := c.Write([]byte("more"))
		if !errors.Is(broken, errBroken) || text != "early\n" || string(rest) != "late" {
			err = errors.Join(err, fmt.Errorf("got %q and %q; after the break %w", text, rest, broken))
		}
		failed <- errors.Join(err, werr, cerr, rerr)
	}))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nearly\n")
	got, _ := io.ReadAll(c)
	fmt.Fprint(c, "late")
	_ = c.(*net.TCPConn).CloseWrite()
	if err := <-failed; err != nil || string(got) != "hello\n" {
		t.Fatalf("got %q: %v", got, err)
	}
	for range 3 {
		if !<-moved {
			t.Error("bytes moved unnoticed")
		}
	}
}
