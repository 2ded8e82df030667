package ui

// Field is one input of a form, for the "field" template.
type Field struct {
	ID           string // unique on the page
	Name         string
	Label        string
	Type         string // "text" when empty
	Value        string // never a password
	Autocomplete string
	Hint         string
	Error        string
	Optional     bool
	ReadOnly     bool
	Focus        bool // gets the focus when the page opens; one per page
	Reveal       bool // a password that can be shown
	Rules        string
	Key          string // label of the Enter key on touch keyboards: "next" or "go"
	Mode         string // which keyboard a touch screen shows: "numeric"; "" for that of the type
	Plain        bool   // no capitals, correction or spelling
}

// DescribedBy returns the ids of the hint and the error.
func (f Field) DescribedBy() string {
	switch {
	case f.Error != "" && f.Hint != "":
		return f.ID + "-e " + f.ID + "-h"
	case f.Error != "":
		return f.ID + "-e"
	case f.Hint != "":
		return f.ID + "-h"
	}
	return ""
}

// InputType returns the type attribute.
func (f Field) InputType() string {
	if f.Type == "" {
		return "text"
	}
	return f.Type
}

// WithErrors puts texts beside the fields they are about and returns what is about no field of the form. A single
// faulty field gets the focus; of several, the summary does.
func WithErrors(fields []Field, errs []FieldError) (rest []FieldError) {
	for _, e := range errs {
		hit := false
		for i := range fields {
			if fields[i].Name == e.Field && fields[i].Error == "" {
				fields[i].Error, hit = e.Detail, true
			}
		}
		if !hit {
			rest = append(rest, e)
		}
	}
	alone := len(Faults(fields)) == 1
	for i := range fields {
		fields[i].Focus = alone && fields[i].Error != ""
	}
	return rest
}

// Faults returns the fields with errors, for the summary of a form with several.
func Faults(fields []Field) []Field {
	var bad []Field
	for _, f := range fields {
		if f.Error != "" {
			bad = append(bad, f)
		}
	}
	return bad
}
