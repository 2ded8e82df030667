package browser

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Element is a node of the accessibility tree.
type Element struct {
	Role, Name, Description string
	Level                   int // of a heading

	p  *Page
	id cdp.BackendNodeID
}

// All returns the elements of a role whose full accessible name matches, in document order.
func (p *Page) All(role, name string) []*Element {
	p.r.Helper()
	re := regexp.MustCompile("(?is)^(?:" + name + ")$")
	var found []*Element
	for _, e := range p.Tree() {
		if e.Role == role && re.MatchString(e.Name) {
			found = append(found, e)
		}
	}
	return found
}

// Find returns the only element of a role whose full accessible name matches. It fails if there are none or several.
func (p *Page) Find(role, name string) *Element {
	p.r.Helper()
	found := p.All(role, name)
	if len(found) != 1 {
		p.r.Fatalf("%d elements with the role %s and the name %q on %s (status %d); there are\n%s", len(found), role, name,
			p.URL(), p.Status(), p.outline())
	}
	return found[0]
}

// Has reports whether there is such an element.
func (p *Page) Has(role, name string) bool { p.r.Helper(); return len(p.All(role, name)) > 0 }

// Tree returns the accessibility tree.
func (p *Page) Tree() []*Element {
	p.r.Helper()
	result, err := ask(p, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		p.r.Fatalf("reading the page: %v", err)
	}
	var all []*Element
	for _, n := range result.Nodes {
		if !n.Ignored && n.Role != nil {
			all = append(all, element(p, n))
		}
	}
	return all
}

func element(p *Page, n *accessibility.Node) *Element {
	e := &Element{
		p: p, id: n.BackendDOMNodeID, Role: value(n.Role), Name: value(n.Name),
		Description: value(n.Description),
	}
	for _, prop := range n.Properties {
		if prop.Name == accessibility.PropertyNameLevel {
			_ = json.Unmarshal([]byte(prop.Value.Value), &e.Level)
		}
	}
	return e
}

func value(v *accessibility.Value) string {
	var s string
	if v != nil {
		_ = json.Unmarshal([]byte(v.Value), &s)
	}
	return s
}

// outline lists the accessible elements, for failure messages.
func (p *Page) outline() string {
	p.r.Helper()
	var b strings.Builder
	for _, e := range p.Tree() {
		if e.Name != "" && e.Role != "StaticText" && e.Role != "InlineTextBox" {
			b.WriteString("  " + e.Role + " " + e.Name + "\n")
		}
	}
	return b.String()
}

// Focused returns the element that has the focus, nil for none.
func (p *Page) Focused() *Element {
	p.r.Helper()
	result, err := ask(p, runtime.Evaluate, runtime.EvaluateParams{Expression: "document.activeElement"})
	if err != nil {
		p.r.Fatalf("looking for the focus: %v", err)
	}
	if result.Result.ObjectID == "" || result.Result.ClassName == "HTMLBodyElement" {
		return nil
	}
	tree, err := ask(p, accessibility.GetPartialAXTree, accessibility.GetPartialAXTreeParams{
		ObjectID: result.Result.ObjectID, FetchRelatives: new(false),
	})
	if err != nil || len(tree.Nodes) == 0 {
		p.r.Fatalf("reading the element with the focus: %v", err)
	}
	return element(p, tree.Nodes[0])
}

// Eval calls a JavaScript function on the element, as `this`, and decodes its result into to, unless that is nil.
func (e *Element) Eval(function string, to any) {
	e.p.r.Helper()
	e.p.do(func() error {
		object, err := ask(e.p, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: e.id})
		if err != nil {
			return err
		}
		result, err := ask(e.p, runtime.CallFunctionOn, runtime.CallFunctionOnParams{
			FunctionDeclaration: function, ObjectID: object.Object.ObjectID, ReturnByValue: new(true), AwaitPromise: new(true),
		})
		if err != nil {
			return err
		}
		return decode(result.Result, result.ExceptionDetails, to)
	})
}

// Attr returns the value of an attribute, "" if there is none.
func (e *Element) Attr(name string) string {
	e.p.r.Helper()
	var s string
	e.Eval("function() { return this.getAttribute("+quote(name)+") || '' }", &s)
	return s
}

// Value returns the value of a field.
func (e *Element) Value() string {
	e.p.r.Helper()
	var s string
	e.Eval("function() { return this.value }", &s)
	return s
}

// Click clicks in the middle of the element.
func (e *Element) Click() {
	e.p.r.Helper()
	e.p.do(func() error {
		if err := call(e.p, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: e.id}); err != nil {
			return err
		}
		result, err := ask(e.p, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: e.id})
		if err != nil {
			return err
		}
		if len(result.Quads) == 0 {
			e.p.r.Fatalf("%s %q has no place on the page", e.Role, e.Name)
		}
		q := result.Quads[0]
		ctx, cancel := context.WithTimeout(e.p.ctx, waitTimeout)
		defer cancel()
		return chromedp.Do(ctx, chromedp.MouseClickXY((q[0]+q[4])/2, (q[1]+q[5])/2))
	})
}

// Follow clicks and waits for the next page.
func (e *Element) Follow() {
	e.p.r.Helper()
	e.p.Loads(e.Click)
}

// Focus focuses the element.
func (e *Element) Focus() {
	e.p.r.Helper()
	e.p.do(func() error { return call(e.p, dom.Focus, dom.FocusParams{BackendNodeID: e.id}) })
}

// Fill replaces the value of a field like pasting: all at once, with one input event.
func (e *Element) Fill(text string) {
	e.p.r.Helper()
	e.Focus()
	e.Eval("function() { this.select() }", nil)
	e.p.do(func() error { return call(e.p, input.InsertText, input.InsertTextParams{Text: text}) })
	if got := e.Value(); got != text {
		e.p.r.Fatalf("%s %q took %q for %q", e.Role, e.Name, got, text)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s) // strings always marshal
	return string(b)
}
