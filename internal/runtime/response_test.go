package runtime

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever is copied through it arrives whole, whether its length is a multiple of the chunk or not.
func TestAResponseCopiesEverything(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) // a reproducible content
	for _, size := range []int{0, 1, minChunk, minChunk + 1, maxChunk - 1, maxChunk, maxChunk + 1, 3*maxChunk + 17} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(r.Uint32())
		}
		for name, copies := range map[string]func(w io.Writer) (int64, error){
			"all": func(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{bytes.NewReader(content)}) },
			"so many": func(w io.Writer) (int64, error) {
				return io.CopyN(w, struct{ io.Reader }{bytes.NewReader(content)}, int64(size))
			},
			"a longer file": func(w io.Writer) (int64, error) {
				return io.CopyN(w, io.MultiReader(bytes.NewReader(content), strings.NewReader("more")), int64(size))
			},
		} {
			rec := httptest.NewRecorder()
			w := &Response{}
			w.ResponseWriter = rec
			if n, err := copies(w); err != nil || n != int64(size) || !bytes.Equal(rec.Body.Bytes(), content) {
				t.Errorf("%s of %d: %d, %v", name, size, n, err)
			}
		}
	}
}

// breaking breaks w while it is read from.
type breaking struct {
	w    *Response
	left int
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left--; b.left == 0 {
		b.w.Abort()
	}
	return len(p), nil
}

func TestABrokenResponseTakesNoMore(t *testing.T) {
	t.Parallel()
	w := &Response{}
	rec := httptest.NewRecorder()
	w.ResponseWriter = rec
	if n, err := io.Copy(w, &breaking{w, 3}); !errors.Is(err, errBroken) || n > 2*maxChunk || n != int64(rec.Body.Len()) {
		t.Errorf("an endless file: %d bytes, %v", n, err)
	}
	before := rec.Body.Len()
	if n, err := w.Write([]byte("more")); n != 0 || !errors.Is(err, errBroken) || w.FlushError() == nil || rec.Body.Len() != before {
		t.Errorf("wrote %d, %v", n, err)
	}
}
