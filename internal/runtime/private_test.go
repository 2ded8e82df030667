package runtime

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A response that says nothing about caches is private, whatever its status and however it is written; the handler's own
// word stands.
func TestAResponseIsPrivateUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   string
	}{
		"a write":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, privateResponse},
		"a file":           {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("x")) }, privateResponse},
		"a flush":          {func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, privateResponse},
		"a redirect":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusMovedPermanently) }, privateResponse},
		"not modified":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, privateResponse},
		"an error":         {http.NotFound, privateResponse},
		"early hints":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(200) }, privateResponse},
		"Last-Modified":    {setting("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT"), privateResponse},
		"Cache-Control":    {setting("Cache-Control", "max-age=60"), "max-age=60"},
		"Expires":          {setting("Expires", "0"), ""},
		"Pragma":           {setting("Pragma", "no-cache"), ""},
		"a blank value":    {setting("Cache-Control", " "), privateResponse},
		"an empty field":   {func(w http.ResponseWriter, _ *http.Request) { w.Header()["Expires"] = nil; w.WriteHeader(200) }, privateResponse},
		"a changed mind":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(500) }, privateResponse},
		"another protocol": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }, ""},
	} {
		rec := httptest.NewRecorder()
		c.handle(&Response{ResponseWriter: final{rec}, Private: true}, httptest.NewRequest("GET", "/", nil))
		if got := rec.Result().Header.Get("Cache-Control"); got != c.want {
			t.Errorf("%s: Cache-Control %q, want %q", name, got, c.want)
		}
		rec = httptest.NewRecorder()
		c.handle(&Response{ResponseWriter: rec}, httptest.NewRequest("GET", "/", nil))
		if got := rec.Result().Header.Get("Cache-Control"); strings.Contains(got, "private") {
			t.Errorf("%s: it is private without being asked", name)
		}
	}
}

// final is a recorder that takes only the final status, as a server sends others ahead.
type final struct{ *httptest.ResponseRecorder }

func (f final) WriteHeader(status int) {
	if status >= http.StatusOK {
		f.ResponseRecorder.WriteHeader(status)
	}
}

// setting is a handler that sets a header field.
func setting(name, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		_, _ = io.WriteString(w, "x")
	}
}
