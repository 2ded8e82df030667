package x

import "testing"

func TestX(t *testing.T) {
	if testing.Short() { // want forbidigo
		t.Skip("no database") // want forbidigo
	}
	var tb testing.TB = t
	tb.SkipNow()                                        // want forbidigo
	t.Run("x", func(t *testing.T) { t.Skipf("%d", 1) }) // want forbidigo
}

type world struct{ *testing.T }

func (w world) need() { w.Skip("no browser") } // want forbidigo
