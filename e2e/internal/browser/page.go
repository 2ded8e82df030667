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
	loads    int // number of loaded pages
	shown    int // number of page navigations, from the network or the back-forward cache
	issues   []string
	requests []Request
	document *network.Response
}

// Request is one request of a page with its response.
type Request struct {
	ID     network.RequestID
	Method string
	URL    string
	Type   network.ResourceType
	Status int64
	Header network.Headers // of the response
	Bytes  float64         // transferred over the network, including headers
	Cached bool
	Done   bool
}

func (p *Page) do(f func() error) {
	p.r.Helper()
	if err := f(); err != nil {
		p.r.Fatalf("%v", err)
	}
}

// Go opens a URL and waits until the page has loaded.
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

// Back goes back in the history and waits until that page is shown. It may come from the back-forward cache, so that
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
		return call(p, page.NavigateToHistoryEntry,
			page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
	})
	p.Until("the page of before", func() bool {
		return p.counted(&p.shown) > before && p.text("document.readyState") == "complete"
	})
}

// Loads runs do, which navigates to another page, and waits until that has loaded.
func (p *Page) Loads(do func()) {
	p.r.Helper()
	before := p.counted(&p.loads)
	do()
	p.Until("the next page", func() bool { return p.counted(&p.loads) > before })
	// The browser moves the initial focus with the first frame, some time after the load.
	const settled = `String(!document.querySelector("[autofocus]") || document.activeElement !== document.body)`
	for end := time.Now().Add(5 * time.Second); p.text(settled) != "true" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
}

func (p *Page) counted(n *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *n
}

// Until waits until done returns true.
func (p *Page) Until(what string, done func() bool) {
	p.r.Helper()
	for deadline := time.Now().Add(waitTimeout); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.r.Fatalf("waited in vain for %s; the page is %s, with the text\n%s", what, p.URL(), p.Text())
		}
	}
}

// Eval evaluates a JavaScript expression, a promise awaited, and decodes the result into to, unless that is nil.
// DevTools can do that even if JavaScript is disabled for the page.
func (p *Page) Eval(expression string, to any) {
	p.r.Helper()
	p.do(func() error { return p.eval(expression, to, 0) })
}

func (p *Page) eval(expression string, to any, world runtime.ExecutionContextID) error {
	result, err := ask(p, runtime.Evaluate, runtime.EvaluateParams{
		Expression: expression, ReturnByValue: new(true), AwaitPromise: new(true), ContextID: world,
	})
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

// URL returns the page's URL.
func (p *Page) URL() string { p.r.Helper(); return p.text("location.href") }

// Path returns the path and query of the page's URL.
func (p *Page) Path() string { p.r.Helper(); return p.text("location.pathname + location.search") }

// Title returns the page's title.
func (p *Page) Title() string { p.r.Helper(); return p.text("document.title") }

// Text returns the visible text of the page.
func (p *Page) Text() string {
	p.r.Helper()
	return p.text("document.body ? document.body.innerText : ''")
}

// HTML returns the current markup of the page.
func (p *Page) HTML() string { p.r.Helper(); return p.text("document.documentElement.outerHTML") }

// Status returns the status of the page's response.
func (p *Page) Status() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.document == nil {
		return 0
	}
	return p.document.Status
}

// Source returns the markup of the page as sent by the server.
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

// Body returns the response body of a request.
func (p *Page) Body(r Request) []byte {
	p.r.Helper()
	result, err := ask(p, network.GetResponseBody, network.GetResponseBodyParams{RequestID: r.ID})
	if err != nil {
		p.r.Fatalf("reading what came back from %s: %v", r.URL, err)
	}
	return result.Body
}

// Settled reports whether every request has a response.
func (p *Page) Settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.requests, func(r Request) bool { return !r.Done })
}

// ForgetCache clears the browser's cache.
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

// Forget clears the lists of requests and issues.
func (p *Page) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.issues = nil, nil
}

// Expect removes matching issues and fails if there are none, for a test that provokes them.
func (p *Page) Expect(pattern string) {
	p.r.Helper()
	re := regexp.MustCompile(pattern)
	found := false
	p.Until("the issue "+pattern, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		remaining := p.issues[:0]
		for _, issue := range p.issues {
			if re.MatchString(issue) {
				found = true
			} else {
				remaining = append(remaining, issue)
			}
		}
		p.issues = remaining
		return found
	})
}

// Clean fails if the page has had an unexpected issue.
func (p *Page) Clean() {
	p.r.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.issues) > 0 {
		p.r.Errorf("issues of the page (%s):\n%s", p.view, strings.Join(p.issues, "\n"))
	}
	p.issues = nil
}

// Press presses keys, such as "\t" or "\r" for Tab or Enter.
func (p *Page) Press(keys string) {
	p.r.Helper()
	p.do(func() error {
		ctx, cancel := context.WithTimeout(p.ctx, waitTimeout)
		defer cancel()
		return chromedp.Do(ctx, chromedp.KeyEvent(keys))
	})
}

// Type inserts text at the focus.
func (p *Page) Type(text string) {
	p.r.Helper()
	p.do(func() error { return call(p, input.InsertText, input.InsertTextParams{Text: text}) })
}

// PressShift presses keys while Shift is held.
func (p *Page) PressShift(keys string) {
	p.r.Helper()
	p.do(func() error {
		ctx, cancel := context.WithTimeout(p.ctx, waitTimeout)
		defer cancel()
		return chromedp.Do(ctx, chromedp.KeyEvent(keys, chromedp.KeyModifiers(chromedp.ModifierShift)))
	})
}

// Picture takes a screenshot of the window as PNG.
func (p *Page) Picture() []byte {
	p.r.Helper()
	result, err := ask(p, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		p.r.Fatalf("taking a picture: %v", err)
	}
	return result.Data
}

// Cookies returns the page's cookies as a Cookie header.
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
