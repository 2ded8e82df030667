package ui

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
)

const (
	typeForm      = "application/x-www-form-urlencoded"
	typeMultipart = "multipart/form-data"
	typeJSON      = "application/json"
)

// ReadAnyForm is [ReadForm] for addresses that scripts post to as well: it also takes multipart/form-data, which is
// what a FormData becomes. Files are refused.
func ReadAnyForm(w http.ResponseWriter, r *http.Request) (Form, error) {
	name, params, _ := mediaType(r)
	if name != typeMultipart {
		return ReadForm(w, r)
	}
	b, err := readBody(w, r, MaxForm)
	if err != nil {
		return Form{}, err
	}
	f, err := parseMultipart(b, params["boundary"])
	if err == nil {
		err = checkAbout(r, f)
	}
	return f, err
}

// ReadOptions reads what came with a request that is to be done whatever came with it, such as a sign-out: the fields
// of a form or of a JSON object, of at most 64 KiB. Anything else has no fields.
func ReadOptions(w http.ResponseWriter, r *http.Request) (Form, error) {
	f, err := readOptions(w, r)
	if err == nil {
		err = checkAbout(r, f)
	}
	return f, err
}

func readOptions(w http.ResponseWriter, r *http.Request) (Form, error) {
	b, err := readBody(w, r, MaxForm)
	if err != nil || len(b) == 0 {
		return Form{}, err
	}
	switch name, params, _ := mediaType(r); name {
	case typeForm:
		return parseForm(b)
	case typeMultipart:
		return parseMultipart(b, params["boundary"])
	case typeJSON:
		return jsonOptions(b), nil
	}
	return Form{}, nil
}

func parseForm(b []byte) (Form, error) {
	v, err := url.ParseQuery(string(b))
	if err != nil {
		return Form{}, BadInput(http.StatusBadRequest, "input.form_broken")
	}
	return Form{v}, nil
}

// parseMultipart reads from memory, and the body is smaller than what may stay there: nothing is written to a disk.
func parseMultipart(b []byte, boundary string) (Form, error) {
	if boundary == "" {
		return Form{}, BadInput(http.StatusBadRequest, "input.form_broken")
	}
	f, err := multipart.NewReader(bytes.NewReader(b), boundary).ReadForm(MaxForm)
	if err != nil || len(f.File) > 0 {
		return Form{}, BadInput(http.StatusBadRequest, "input.form_broken")
	}
	return Form{f.Value}, nil
}

// jsonOptions returns the plain members of an object; what is no object has none.
func jsonOptions(b []byte) Form {
	var members map[string]any
	if err := json.Unmarshal(b, &members); err != nil {
		return Form{}
	}
	values := make(url.Values)
	for name, member := range members {
		switch v := member.(type) {
		case string:
			values.Set(name, v)
		case bool:
			values.Set(name, strconv.FormatBool(v))
		case float64:
			values.Set(name, strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
	return Form{values}
}
