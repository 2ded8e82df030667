package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Page is one tab.
type Page struct {
	r     Reporter
	b     *Browser
	ctx   context.Context
	end   func()
	hosts []string
	view  View

	mu       sync.Mutex
	loads    int // pages that have loaded
	shown    int // pages that took the place of another, from the network or from memory
	issues   []string
	requests []Request
	document *network.Response
}

// Request is one request of a page and what came back.
type Request struct {
	ID     network.RequestID
	Method string
	URL    string
	Type   network.ResourceType
	Status int64
	Header network.Headers // of the answer
	Bytes  float64         // that came over the network, headers included
	Cached bool
	Done   bool
}

func (p *Page) do(f func() error) {
	p.r.Helper()
	if err := f(); err != nil {
		p.r.Fatalf("%v", err)
	}
}

// Go opens an address and waits until the page has loaded.
func (p *Page) Go(url string) {
	p.r.Helper()
	p.Loads(func() {
		result, err := ask(p, page.Navigate, page.NavigateParams{URL: url})
		if err == nil && result.ErrorText != "" {
			err = fmt.Errorf("%s", result.ErrorText)
		}
		if err != nil {
			p.r.Fatalf("opening %s: %v", url, err)
		}
	})
}

// Reload loads the page again.
func (p *Page) Reload() {
	p.r.Helper()
	p.Loads(func() { p.do(func() error { return call(p, page.Reload, page.ReloadParams{}) }) })
}

// Back goes back in the history and waits until that page is shown. The browser may have kept it whole, so that
// nothing is loaded.
func (p *Page) Back() {
	p.r.Helper()
	history, err := ask(p, page.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		p.r.Fatalf("reading the history: %v", err)
	}
	if history.CurrentIndex < 1 {
		p.r.Fatalf("there is nothing to go back to")
	}
	before := p.counted(&p.shown)
	p.do(func() error {
		return call(p, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
	})
	p.Until("the page of before", func() bool {
		return p.counted(&p.shown) > before && p.text("document.readyState") == "complete"
	})
}

// Loads does something that leads to another page, and waits until that one has loaded.
func (p *Page) Loads(do func()) {
	p.r.Helper()
	before := p.counted(&p.loads)
	do()
	p.Until("the next page", func() bool { return p.counted(&p.loads) > before })
	// The browser moves the focus where a page wants it with the first frame that it draws: some time after the load.
	const settled = `String(!document.querySelector("[autofocus]") || document.activeElement !== document.body)`
	for end := time.Now().Add(5 * time.Second); p.text(settled) != "true" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
}

func (p *Page) counted(n *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *n
}

// Until waits for something to become true.
func (p *Page) Until(what string, done func() bool) {
	p.r.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.r.Fatalf("waited in vain for %s; the page is %s, with the text\n%s", what, p.URL(), p.Text())
		}
	}
}

// Eval evaluates a JavaScript expression, a promise awaited, and decodes the result into to, unless that is nil.
// DevTools can do that on a page whose own scripts are switched off.
func (p *Page) Eval(expression string, to any) {
	p.r.Helper()
	p.do(func() error { return p.eval(expression, to, 0) })
}

func (p *Page) eval(expression string, to any, world runtime.ExecutionContextID) error {
	result, err := ask(p, runtime.Evaluate, runtime.EvaluateParams{
		Expression: expression, ReturnByValue: new(true), AwaitPromise: new(true), ContextID: world})
	if err != nil {
		return err
	}
	return decode(result.Result, result.ExceptionDetails, to)
}

func decode(o *runtime.RemoteObject, thrown *runtime.ExceptionDetails, to any) error {
	if thrown != nil {
		text := thrown.Text
		if thrown.Exception != nil {
			text += " " + thrown.Exception.Description
		}
		return fmt.Errorf("JavaScript: %s", text)
	}
	if to == nil {
		return nil
	}
	if len(o.Value) == 0 {
		return fmt.Errorf("JavaScript answered %s, no value", o.Type)
	}
	return json.Unmarshal([]byte(o.Value), to)
}

func (p *Page) text(expression string) string {
	p.r.Helper()
	var s string
	p.Eval(expression, &s)
	return s
}

// URL is the page's address.
func (p *Page) URL() string { p.r.Helper(); return p.text("location.href") }

// Path is the page's address below the host.
func (p *Page) Path() string { p.r.Helper(); return p.text("location.pathname + location.search") }

// Title is the page's title.
func (p *Page) Title() string { p.r.Helper(); return p.text("document.title") }

// Text is what can be read on the page.
func (p *Page) Text() string {
	p.r.Helper()
	return p.text("document.body ? document.body.innerText : ''")
}

// HTML is the page's markup as it is now.
func (p *Page) HTML() string { p.r.Helper(); return p.text("document.documentElement.outerHTML") }

// Status is the status of the answer that brought the page.
func (p *Page) Status() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.document == nil {
		return 0
	}
	return p.document.Status
}

// Source is the page's markup as it came from the server.
func (p *Page) Source() string {
	p.r.Helper()
	requests := p.Requests()
	for i := len(requests) - 1; i >= 0; i-- {
		if requests[i].Type == network.ResourceTypeDocument {
			return string(p.Body(requests[i]))
		}
	}
	p.r.Fatalf("no page has been loaded")
	return ""
}

// Body is what came back for a request.
func (p *Page) Body(r Request) []byte {
	p.r.Helper()
	result, err := ask(p, network.GetResponseBody, network.GetResponseBodyParams{RequestID: r.ID})
	if err != nil {
		p.r.Fatalf("reading what came back from %s: %v", r.URL, err)
	}
	return []byte(result.Body)
}

// Settled tells whether every request has its answer.
func (p *Page) Settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.requests, func(r Request) bool { return !r.Done })
}

// ForgetCache empties the browser's cache.
func (p *Page) ForgetCache() {
	p.r.Helper()
	p.do(func() error { return call(p, network.ClearBrowserCache, cdp.Empty{}) })
}

// Requests returns the requests since the last Forget.
func (p *Page) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Forget empties the lists of requests and issues.
func (p *Page) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.issues = nil, nil
}

// Expect removes the issues that match, and fails when there is none: for a test that provokes them.
func (p *Page) Expect(pattern string) {
	p.r.Helper()
	re := regexp.MustCompile(pattern)
	found := false
	p.Until("the issue "+pattern, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		kept := p.issues[:0]
		for _, issue := range p.issues {
			if re.MatchString(issue) {
				found = true
			} else {
				kept = append(kept, issue)
			}
		}
		p.issues = kept
		return found
	})
}

// Clean fails when the page has had an issue that nobody expected.
func (p *Page) Clean() {
	p.r.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.issues) > 0 {
		p.r.Errorf("issues of the page (%s):\n%s", p.view, strings.Join(p.issues, "\n"))
	}
	p.issues = nil
}

// Press presses keys as on a keyboard, such as "\t" or "\r" for Tab or Enter.
func (p *Page) Press(keys string) {
	p.r.Helper()
	p.do(func() error {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		return chromedp.Do(ctx, chromedp.KeyEvent(keys))
	})
}

// Type puts text where the focus is.
func (p *Page) Type(text string) {
	p.r.Helper()
	p.do(func() error { return call(p, input.InsertText, input.InsertTextParams{Text: text}) })
}

// PressShift presses keys while Shift is held.
func (p *Page) PressShift(keys string) {
	p.r.Helper()
	p.do(func() error {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		return chromedp.Do(ctx, chromedp.KeyEvent(keys, chromedp.KeyModifiers(chromedp.ModifierShift)))
	})
}

// Picture takes a picture of the window, as PNG.
func (p *Page) Picture() []byte {
	p.r.Helper()
	result, err := ask(p, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		p.r.Fatalf("taking a picture: %v", err)
	}
	return result.Data
}

// Cookies returns the page's cookies as the header that a request would carry.
func (p *Page) Cookies() string {
	p.r.Helper()
	result, err := ask(p, network.GetCookies, network.GetCookiesParams{})
	if err != nil {
		p.r.Fatalf("reading cookies: %v", err)
	}
	var list []string
	for _, c := range result.Cookies {
		list = append(list, c.Name+"="+c.Value)
	}
	return strings.Join(list, "; ")
}
