// Package browser drives a real Chromium: elements are found by role and accessible name, like by screen readers, and
// every console error, CSP violation, dialog and request to another host is recorded.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/certificate"
)

// Reporter reports failures: a *testing.T or a program's own implementation.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Browser is a running Chromium.
type Browser struct {
	ctx  context.Context
	ends []func()
}

// resolver: names of the reserved domain .test resolve to this machine, so that tests can have several sites.
const resolver = "MAP *.test 127.0.0.1"

// Chromium finds the browser: GATEHOUSE_TEST_CHROMIUM, or the names used by distributions.
func Chromium() (string, error) {
	if path := os.Getenv("GATEHOUSE_TEST_CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the browser tests need Chromium: install the Debian package chromium, or set GATEHOUSE_TEST_CHROMIUM")
}

// Start runs a browser with a separate profile.
func Start(ctx context.Context) (*Browser, error) {
	path, err := Chromium()
	if err != nil {
		return nil, err
	}
	trusted, err := certificate.Fingerprint()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "gatehouse-chromium")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", resolver),
		chromedp.Flag("ignore-certificate-errors-spki-list", trusted),
		// Other certificates are issued by a Caddy's own, new CA.
		chromedp.Flag("ignore-certificate-errors", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.Flag("no-sandbox", true)) // Chromium's sandbox does not start as root
	}
	b := &Browser{}
	allocator, end := chromedp.NewExecAllocator(ctx, options...)
	// The profile can be removed only after the browser has stopped writing.
	b.ends = append(b.ends, func() { _ = os.RemoveAll(profile) }, end)
	b.ctx, end = chromedp.NewContext(allocator)
	b.ends = append(b.ends, end)
	if err := chromedp.Do(b.ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() {
	for i := len(b.ends) - 1; i >= 0; i-- {
		b.ends[i]()
	}
	b.ends = nil
}

// View is the viewport and settings of a page. The zero value is a desktop window in light colors, with JavaScript.
type View struct {
	Width, Height int  // default 1280 × 800
	Phone         bool // touch, and the viewport meta element applies
	Dark          bool
	NoScript      bool
	Calm          bool // prefers-reduced-motion
	Forced        bool // forced-colors
	Scale         float64
}

func (v View) String() string {
	v = v.defaults()
	s := fmt.Sprintf("%dpx", v.Width)
	for _, f := range []struct {
		on   bool
		name string
	}{{v.Dark, "dark"}, {!v.Dark, "light"}, {v.NoScript, "no script"}, {v.Calm, "calm"}, {v.Forced, "forced colors"}} {
		if f.on {
			s += " " + f.name
		}
	}
	return s
}

func (v View) defaults() View {
	if v.Width == 0 {
		v.Width, v.Height = 1280, 800
	}
	if v.Height == 0 {
		v.Height = 640
	}
	if v.Scale == 0 {
		v.Scale = 1
	}
	return v
}

// Open opens a page in a fresh browser context: no cookies, no cache. hosts, as host:port, are those that the page
// may send requests to; a request to any other is an issue.
func (b *Browser) Open(r Reporter, v View, hosts ...string) *Page {
	r.Helper()
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	return b.open(ctx, r, end, v, hosts)
}

// OpenKept opens a page in the browser's own context, whose cache is on disk like that of people's browsers. It keeps
// cookies and cache of pages that were opened so before.
func (b *Browser) OpenKept(r Reporter, v View, hosts ...string) *Page {
	r.Helper()
	ctx, end := chromedp.NewContext(b.ctx)
	return b.open(ctx, r, end, v, hosts)
}

// Tab opens another tab with the cookies of p.
func (p *Page) Tab() *Page {
	p.r.Helper()
	ctx, end := chromedp.NewContext(p.b.ctx,
		chromedp.WithExistingBrowserContext(chromedp.FromContext(p.ctx).BrowserContextID))
	return p.b.open(ctx, p.r, end, p.view, p.hosts)
}

func (b *Browser) open(ctx context.Context, r Reporter, end func(), v View, hosts []string) *Page {
	r.Helper()
	p := &Page{r: r, b: b, ctx: ctx, end: end, hosts: hosts}
	if err := chromedp.Do(ctx); err != nil {
		r.Fatalf("opening a page: %v", err)
	}
	if err := chromedp.Listen(ctx, p.handleEvent); err != nil {
		r.Fatalf("listening to a page: %v", err)
	}
	p.do(func() error { return call(p, log.Enable, cdp.Empty{}) })
	p.do(func() error { return call(p, audits.Enable, cdp.Empty{}) })
	p.do(func() error { return call(p, network.Enable, network.EnableParams{}) })
	p.do(func() error { return call(p, accessibility.Enable, cdp.Empty{}) })
	p.Look(v)
	return p
}

// Look changes the view of the page.
func (p *Page) Look(v View) {
	p.r.Helper()
	p.view = v.defaults()
	v = p.view
	feature := func(on bool, name, yes, no string) *emulation.MediaFeature {
		if on {
			return &emulation.MediaFeature{Name: name, Value: yes}
		}
		return &emulation.MediaFeature{Name: name, Value: no}
	}
	p.do(func() error {
		return call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: int64(v.Width), Height: int64(v.Height), DeviceScaleFactor: v.Scale, Mobile: v.Phone,
		})
	})
	p.do(func() error {
		return call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			feature(v.Dark, "prefers-color-scheme", "dark", "light"),
			feature(v.Calm, "prefers-reduced-motion", "reduce", "no-preference"),
			feature(v.Forced, "forced-colors", "active", "none"),
		}})
	})
	p.do(func() error {
		return call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: v.NoScript})
	})
}

// Close closes the page and waits until it is closed.
func (p *Page) Close() { p.end() }

// waitTimeout bounds every wait: longer than a gate whose store is locked takes on a busy machine.
const waitTimeout = 60 * time.Second

func call[P, R any](p *Page, command cdp.Command[P, R], params P) error {
	_, err := ask(p, command, params)
	return err
}

func ask[P, R any](p *Page, command cdp.Command[P, R], params P) (R, error) {
	ctx, cancel := context.WithTimeout(p.ctx, waitTimeout)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		err = fmt.Errorf("%s: %w", command.Method, err)
	}
	return result, err
}
