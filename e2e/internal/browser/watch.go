package browser

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// handleEvent handles the events of the tab in order. It must return quickly.
func (p *Page) handleEvent(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *page.EventLoadEventFired:
		p.loads++
	case *page.EventFrameNavigated:
		if e.Frame.ParentID == "" {
			p.shown++
		}
	case *page.EventJavascriptDialogOpening:
		p.issue("dialog: %s", e.Message)
		go func() { _ = call(p, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: false}) }()
	case *runtime.EventExceptionThrown:
		p.issue("exception: %s", exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning ||
			e.Type == runtime.ConsoleAPICalledTypeAssert {
			p.issue("console.%s: %s", e.Type, arguments(e.Args))
		}
	case *log.EventEntryAdded:
		p.handleLog(e.Entry)
	case *audits.EventIssueAdded:
		p.handleAudit(e.Issue)
	case *network.EventRequestWillBeSent, *network.EventResponseReceived, *network.EventRequestServedFromCache,
		*network.EventLoadingFinished, *network.EventLoadingFailed:
		p.handleNetwork(event)
	}
}

func (p *Page) issue(format string, args ...any) {
	p.issues = append(p.issues, fmt.Sprintf(format, args...))
}

// handleLog handles the browser's messages. A status of 401 is an issue for a subresource, but not for a page.
func (p *Page) handleLog(e *log.Entry) {
	if e.Level != log.EntryLevelError && e.Level != log.EntryLevelWarning {
		return
	}
	if e.Source == log.EntrySourceNetwork && slices.ContainsFunc(p.requests, func(r Request) bool {
		return r.URL == e.URL && r.Type == network.ResourceTypeDocument
	}) {
		return
	}
	p.issue("log %s %s: %s %s", e.Source, e.Level, e.Text, e.URL)
}

func (p *Page) handleAudit(i *audits.InspectorIssue) {
	switch d := i.Details; {
	case d.ContentSecurityPolicyIssueDetails != nil:
		c := d.ContentSecurityPolicyIssueDetails
		p.issue("content security policy: %s refused %s", c.ViolatedDirective, c.BlockedURL)
	case d.MixedContentIssueDetails != nil, d.QuirksModeIssueDetails != nil:
		p.issue("audit: %s", i.Code)
	}
}

func (p *Page) handleNetwork(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, Request{ID: e.RequestID, Method: e.Request.Method, URL: e.Request.URL, Type: e.Type})
		u, err := url.Parse(e.Request.URL)
		if err != nil || strings.HasPrefix(u.Scheme, "http") && !slices.Contains(p.hosts, u.Host) {
			p.issue("request to a foreign host: %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		if r := p.request(e.RequestID); r != nil {
			r.Status, r.Header = e.Response.Status, e.Response.Headers
			if e.Response.FromDiskCache {
				r.Cached = true
			}
		}
		if e.Type == network.ResourceTypeDocument {
			p.document = e.Response
		}
	case *network.EventRequestServedFromCache:
		if r := p.request(e.RequestID); r != nil {
			r.Cached = true
		}
	case *network.EventLoadingFinished:
		if r := p.request(e.RequestID); r != nil {
			r.Bytes, r.Done = e.EncodedDataLength, true
		}
	case *network.EventLoadingFailed:
		if r := p.request(e.RequestID); r != nil {
			r.Done = true
		}
	}
}

// request returns the latest request with an id: a redirect has the id of the request before it.
func (p *Page) request(id network.RequestID) *Request {
	for i := len(p.requests) - 1; i >= 0; i-- {
		if p.requests[i].ID == id {
			return &p.requests[i]
		}
	}
	return nil
}

func exception(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

func arguments(list []*runtime.RemoteObject) string {
	var words []string
	for _, o := range list {
		if o.Description != "" {
			words = append(words, o.Description)
		} else {
			words = append(words, string(o.Value))
		}
	}
	return strings.Join(words, " ")
}
