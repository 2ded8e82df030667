package sqlstore

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

// cursor is the position of the last row of a page in an order. It comes back from clients, so it is untrusted.
type cursor struct {
	List string `json:"l"`           // which list and order it belongs to
	Text string `json:"t,omitempty"` // sort key, where that is text
	Num  int64  `json:"n,omitempty"` // sort key, where that is a time
	ID   string `json:"i"`
}

// maxCursor bounds what is decoded: the longest key is an e-mail address, bounded only by the size of the form.
const maxCursor = 8192

func (c cursor) String() string {
	b, _ := json.Marshal(c) // strings and a number always marshal
	return base64.RawURLEncoding.EncodeToString(b)
}

// text returns the encoded cursor; "" for nil, which means that there is no further page.
func (c *cursor) text() string {
	if c == nil {
		return ""
	}
	return c.String()
}

// parseCursor reads a cursor of that list. The empty text is the first page: ok is false.
func parseCursor(text, list string) (c cursor, ok bool, err error) {
	if text == "" {
		return cursor{}, false, nil
	}
	if len(text) > maxCursor {
		return cursor{}, false, store.ErrBadCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return cursor{}, false, store.ErrBadCursor
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil || dec.More() {
		return cursor{}, false, store.ErrBadCursor
	}
	if c.List != list || c.ID == "" || !storable(c.Text, c.ID) {
		return cursor{}, false, store.ErrBadCursor
	}
	return c, true, nil
}
