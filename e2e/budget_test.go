package e2e

import (
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Pages are light: few and small requests, and only the page itself on the second visit.
func TestPagesKeepTheirBudgets(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	anon, in := open(t, g, browser.View{}), open(t, g, browser.View{})
	signIn(t, in, g)
	for _, c := range []struct {
		path         string
		p            *browser.Page
		page, total  float64 // bytes over the network, headers included; the page itself compressed
		nodes        int
		coldRequests int
	}{
		{"/_auth/login", anon, 4 << 10, 15 << 10, 120, 4},
		{"/_auth/account", in, 12 << 10, 25 << 10, 2500, 4},
		{"/_auth/account/sessions", in, 12 << 10, 25 << 10, 2500, 4},
		{"/_auth/account/activity", in, 12 << 10, 25 << 10, 2500, 4},
	} {
		c.p.ForgetCache()
		c.p.Go(g.URL + "/_auth/healthz")
		c.p.Forget()
		c.p.Go(g.URL + c.path)
		c.p.Until("all parts", func() bool { return c.p.Settled() })
		var total, page float64
		cold := withoutPasskeys(t, c.p.Requests())
		for _, r := range cold {
			total += r.Bytes
			switch r.Type {
			case network.ResourceTypeDocument:
				page = r.Bytes
			case network.ResourceTypeStylesheet:
				checkBudget(t, c.p, r, 10<<10, 3500)
			case network.ResourceTypeScript:
				checkBudget(t, c.p, r, 8<<10, 3<<10)
			}
		}
		t.Logf("%s: %d requests, %v bytes, %v of them the page", c.path, len(cold), total, page)
		var nodes int
		c.p.Eval("document.querySelectorAll('*').length", &nodes)
		if len(cold) > c.coldRequests || total > c.total || page > c.page || nodes > c.nodes || page == 0 {
			t.Errorf("%s takes %d requests, %v bytes, %v of them the page, and has %d nodes", c.path, len(cold), total, page,
				nodes)
		}
		c.p.Forget()
		c.p.Go(g.URL + c.path)
		c.p.Until("all parts", func() bool { return c.p.Settled() })
		for _, r := range withoutPasskeys(t, c.p.Requests()) {
			if r.Type != network.ResourceTypeDocument && !r.Cached {
				t.Errorf("%s: the second time, %s is asked for again", c.path, r.URL)
			}
		}
	}
}

// withoutPasskeys leaves out what the script asks for once the page is there, so that browsers offer passkeys in the name
// field: a challenge, which no cache may keep.
func withoutPasskeys(t *testing.T, list []browser.Request) []browser.Request {
	t.Helper()
	rest := slices.DeleteFunc(slices.Clone(list), func(r browser.Request) bool {
		return strings.HasSuffix(r.URL, "/login/passkey/options")
	})
	if len(list)-len(rest) > 1 {
		t.Errorf("%d challenges for passkeys", len(list)-len(rest))
	}
	return rest
}

// checkBudget compares a resource of a page with its budget, uncompressed and compressed.
func checkBudget(t *testing.T, p *browser.Page, r browser.Request, raw, compressed int) {
	t.Helper()
	body := p.Body(r)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(body)
	_ = w.Close()
	if len(body) == 0 || len(body) > raw || packed.Len() > compressed {
		t.Errorf("%s has %d bytes, %d compressed; at most %d and %d", r.URL, len(body), packed.Len(), raw, compressed)
	}
}
