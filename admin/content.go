package admin

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// content is what every admin page shows, in this order. Empty parts are left out.
type content struct {
	Notice   *notice
	Marks    []mark
	TabsName string
	Tabs     []ui.Link
	Warnings []string
	Tiles    []fact // numbers at a glance
	Lead     string
	Actions  []action
	Search   *search
	Faults   []ui.Field // of a form with several problems
	Sections []section
	Form     *formView
}

// notice is a message with a link, opened beside the page so that what was typed stays.
type notice struct {
	Kind ui.Kind
	Text string
	Link *ui.Link
}

// mark is a state in words.
type mark struct {
	Kind ui.Kind
	Text string
}

// action is a link that looks like a button.
type action struct {
	Href, Text   string
	More         string // for screen readers, after Text, so that two buttons of one page differ
	Main, Danger bool
}

// section is a part of a page under its own heading.
type section struct {
	ID      string
	Title   string // "" for none
	Text    string
	Facts   []fact
	List    []item
	Table   *table
	Secret  *secretView
	Actions []action
}

// item is a line of a list: a mark, a text, where in the configuration, a link.
type item struct {
	Mark  *mark
	Text  string
	Place string
	Lang  string // of the text, where it is not that of the page
	Link  *ui.Link
}

// fact is a name and its value: a text, a time, or several texts.
type fact struct {
	Name  string
	Value string
	Time  time.Time
	Href  string
	Code  bool
	Marks []mark
}

// secretView shows something once, ready to be copied.
type secretView struct {
	ID, Label, Value string
	Copy, Copied     string
}

// table is a table with links to its other pages.
type table struct {
	ID      string
	Caption string
	Columns []column
	Rows    []row
	Empty   string
	Clear   *ui.Link // leads out of a search that finds nothing
	Bulk    *bulkView
	Pages   []ui.Link
	PagesAs string // names the links to the other pages
}

type column struct {
	Text   string
	Href   string // sorts by this column
	Sorted string // "ascending", "descending" or ""
}

type row struct {
	Pick  string // value of the check box
	Named string // what the check box picks, for screen readers
	Cells []cell // as many as there are columns
}

// cell is one field of a row. The Head one names the row.
type cell struct {
	Label string // of its column, for narrow screens; see [table.Labeled]
	Head  bool
	Text  string
	Href  string
	Small string
	Time  time.Time
	Exact bool   // the time has seconds, and is not said as "5 minutes ago"
	Never string // in place of a time that is zero
	Marks []mark
	Links []action
}

// Labeled returns the rows with the columns' names in their cells: on a narrow screen a row is a card, and the head of
// the table is not shown.
func (t *table) Labeled() []row {
	rows := make([]row, len(t.Rows))
	for i, r := range t.Rows {
		r.Cells = slices.Clone(r.Cells)
		for j := range r.Cells {
			if j < len(t.Columns) && !r.Cells[j].Head {
				r.Cells[j].Label = t.Columns[j].Text
			}
		}
		rows[i] = r
	}
	return rows
}

type bulkView struct {
	Action  string
	Name    string
	Label   string
	All     string // names the box that picks all rows, which needs a script
	Options []option
	Submit  string
}

// search is a form that asks for another view of a list. All of it is in the address.
type search struct {
	Action string
	Name   string
	Hidden []pair
	Fields []field
	Submit string
	Extra  []action
}

type pair struct{ Name, Value string }

// field is an input of a form.
type field struct {
	ui.Field
	Kind    string // "" for a text, or "select", "check", "list" for several lines, "find" in a search, "ways"
	Options []option
	Checked bool
	Way     string // of the field of kind "ways" that this one belongs to, and with which it is shown; "" for always
}

type option struct {
	Value, Text string
	Chosen      bool
}

// formView is a form that changes something.
type formView struct {
	Action string
	Hidden []pair
	Fields []field
	Submit string
	Danger bool
	Cancel ui.Link
}

// OfWay returns the fields that are shown with one of several ways, "" for those that always are.
func (f *formView) OfWay(way string) []field {
	var list []field
	for _, x := range f.Fields {
		if x.Way == way {
			list = append(list, x)
		}
	}
	return list
}

// navigation are the areas of the admin pages, in the order of their links.
var navigation = [...]string{"", "users", "invites", "roles", "sessions", "tokens", "audit", "providers", "settings"}

// newPage returns a page of an area.
func newPage(q *web.Request, area, title string, s *content) ui.Page {
	p := ui.Page{
		Template: "admin", Title: title, Area: "admin", NavLabel: q.Text("admin.sections"), Data: s,
		Viewer: q.Viewer(),
	}
	for _, name := range navigation {
		if name == "tokens" && !q.HasTokens() {
			continue
		}
		id, href := name, "/admin/"+name
		if name == "" {
			id, href = "dashboard", "/admin"
		}
		p.Nav = append(p.Nav, ui.Link{Href: q.At(href), Text: q.Text("admin." + id), Current: name == area})
	}
	return p
}

// localize returns the text of an error: t in the language of the page, or text if t is empty.
func localize(q *web.Request, text string, t i18n.Text) string {
	if t.IsZero() {
		return text
	}
	return q.UI.Say(t)
}

// good and the others make marks.
func good(text string) mark  { return mark{ui.Good, text} }
func bad(text string) mark   { return mark{ui.Bad, text} }
func warn(text string) mark  { return mark{ui.Warn, text} }
func plain(text string) mark { return mark{ui.Plain, text} }

// outcomeMark returns the mark of an outcome.
func outcomeMark(q *web.Request, o store.Outcome) mark {
	switch o {
	case store.Success:
		return good(q.Text("outcome.success"))
	case store.Denied:
		return bad(q.Text("outcome.denied"))
	default:
		return warn(q.Text("outcome.failure"))
	}
}

// timeFact returns a fact about a time; otherwise is the text for none yet.
func timeFact(q *web.Request, name string, t time.Time, otherwise string) fact {
	if t.IsZero() {
		return fact{Name: name, Value: q.Text(otherwise)}
	}
	return fact{Name: name, Time: t}
}
