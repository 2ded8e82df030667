package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
)

// Bounds of what is read from a client.
const (
	MaxForm = 64 << 10
	MaxJSON = 1 << 20

	// readTime is how long a client may take to send it: a body that drips in holds a connection, and no more.
	readTime = 30 * time.Second
)

// InputError is a body that is not what the address takes. Text is for people: in English, with Say for the language
// of the response, or in that language already.
type InputError struct {
	Status int // 400, 408, 412, 413, 415 or 422
	Text   string
	Say    i18n.Text
	Fields []FieldError
}

// BadInput makes an error from the id of its sentence.
func BadInput(status int, id string, fields ...FieldError) *InputError {
	t := i18n.New(id)
	return &InputError{Status: status, Text: t.String(), Say: t, Fields: fields}
}

func (e *InputError) Error() string { return e.Text }

// Form is a form as it was sent. Fields that are missing read as "".
type Form struct{ values url.Values }

// Get returns the value of a field, the first of several.
func (f Form) Get(name string) string { return f.values.Get(name) }

// All returns the values of a field.
func (f Form) All(name string) []string { return f.values[name] }

// Fields returns the fields of some names, to be sent again.
func (f Form) Fields(names []string) []Hidden {
	some := make(url.Values)
	for _, name := range names {
		if values, ok := f.values[name]; ok {
			some[name] = values
		}
	}
	return HiddenFields(some)
}

// Has reports whether the field was sent.
func (f Form) Has(name string) bool { return f.values.Has(name) }

// Ticked reports whether a check box was ticked. The values that mean "no" in a query mean it here, too.
func (f Form) Ticked(name string) bool {
	switch strings.ToLower(f.Get(name)) {
	case "", "0", "false", "no", "off":
		return false
	}
	return true
}

// Once returns an error if one of the fields was sent more than once: what a check and a use would then see need not
// be the same.
func (f Form) Once(names ...string) error {
	for _, n := range names {
		if len(f.values[n]) > 1 {
			return BadInput(http.StatusBadRequest, "input.twice")
		}
	}
	return nil
}

// ReadForm reads a form of at most 64 KiB from the body; the query is no part of it. One that says that it is about
// somebody else is refused: see [WithAbout].
func ReadForm(w http.ResponseWriter, r *http.Request) (Form, error) {
	if err := checkType(r, typeForm, "input.form_type"); err != nil {
		return Form{}, err
	}
	b, err := readBody(w, r, MaxForm)
	if err != nil {
		return Form{}, err
	}
	f, err := parseForm(b)
	if err == nil {
		err = checkAbout(r, f)
	}
	return f, err
}

// ReadJSON reads one JSON object of at most 1 MiB into dst, a pointer to a struct whose exported fields all have json
// tags. Unknown, repeated and null members, members of another type and anything after the object are refused. So are
// names in another case, which encoding/json would take.
func ReadJSON(w http.ResponseWriter, r *http.Request, dst any) error {
	if err := checkType(r, typeJSON, "input.json_type"); err != nil {
		return err
	}
	b, err := readBody(w, r, MaxJSON)
	if err != nil {
		return err
	}
	return decodeJSON(b, dst)
}

// ReadJSONIfAny is [ReadJSON] for addresses that also take no body, which leaves dst as it is. What comes is read
// however it travels: only some requests say how long theirs is.
func ReadJSONIfAny(w http.ResponseWriter, r *http.Request, dst any) error {
	b, err := readBody(w, r, MaxJSON)
	if err != nil || len(b) == 0 {
		return err
	}
	if err := checkType(r, typeJSON, "input.json_type"); err != nil {
		return err
	}
	return decodeJSON(b, dst)
}

func decodeJSON(b []byte, dst any) error {
	if !utf8.Valid(b) || !json.Valid(b) {
		return BadInput(http.StatusBadRequest, "input.json_broken")
	}
	if err := checkMembers(b, jsonNames(dst)); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(dst); err != nil {
		return decodeError(err)
	}
	return nil
}

func decodeError(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return refuse(wrong.Field, "input.wrong_type")
	}
	return BadInput(http.StatusUnprocessableEntity, "input.json_member")
}

func refuse(field, id string) error {
	return BadInput(http.StatusUnprocessableEntity, "input.refused", Fault(field, id))
}

// checkMembers looks at the names of the outer object, which encoding/json reads leniently. b is valid JSON.
func checkMembers(b []byte, known map[string]bool) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return BadInput(http.StatusBadRequest, "input.json_object")
	}
	seen := make(map[string]bool)
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return BadInput(http.StatusBadRequest, "input.json_broken")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return BadInput(http.StatusBadRequest, "input.json_broken")
		}
		switch {
		case !known[name]:
			return refuse(clip(name), "input.unknown_field")
		case seen[name]:
			return refuse(name, "input.field_twice")
		case string(value) == "null":
			return refuse(name, "input.null")
		}
		seen[name] = true
	}
	return nil
}

// clip bounds what is sent back of a name that a client made up.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func jsonNames(dst any) map[string]bool {
	t := reflect.TypeOf(dst).Elem()
	names := make(map[string]bool, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}

func checkType(r *http.Request, want, id string) error {
	if got, _, ok := mediaType(r); ok && got == want {
		return nil
	}
	return BadInput(http.StatusUnsupportedMediaType, id)
}

// mediaType returns what a body claims to be; ok is false, and the name empty, when it says nothing, several things, or
// that it is encoded.
func mediaType(r *http.Request) (name string, params map[string]string, ok bool) {
	values, enc := r.Header["Content-Type"], r.Header.Get("Content-Encoding")
	if len(values) != 1 || (enc != "" && !strings.EqualFold(enc, "identity")) {
		return "", nil, false
	}
	name, params, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", nil, false
	}
	return name, params, true
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	size := i18n.New("input.large", "size", limit>>10)
	tooLarge := &InputError{Status: http.StatusRequestEntityTooLarge, Text: size.String(), Say: size}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(readTime)); err == nil {
		defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, BadInput(http.StatusBadRequest, "input.incomplete")
	}
	return b, nil
}
