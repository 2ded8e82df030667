package ui

// PasskeyForm is a form that our script fills with what a browser says of a passkey and then sends like any other, for
// the "passkey" template. It is hidden until the script knows that it can work.
type PasskeyForm struct {
	Create   bool   // makes one; otherwise proves one
	Options  string // address that gives the options of the ceremony
	Action   string // where the form goes
	Hidden   []Hidden
	Name     *Field // for the name of a new one; nil for none
	About    *Viewer
	Button   string
	Primary  bool
	Or       string // stands between it and the ways above; "" where it comes first
	Text     string // what it is, "" where the page says so
	Autofill bool   // offers passkeys in the name field of the page, too
	Box      *Box   // goes along; nil for none
	Keep     string // id of a check box of another form whose state goes along; "" for none
	Without  string // what to read in a browser without scripts; "" for nothing
}

// Box is a check box with a name that is its id, for the "box" template. Ticked, it sends "1".
type Box struct {
	ID     string
	Label  string
	Hint   string // "" for none
	Ticked bool
}

// Field returns the name of the field with the response.
func (f PasskeyForm) Field() string {
	if f.Create {
		return "attestation"
	}
	return "assertion"
}
