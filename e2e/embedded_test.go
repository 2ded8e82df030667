package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// embeddingApp is a page with a download and room for a frame. Its frame may be shown by itself.
var embeddingApp = map[string]string{
	"index.html": `<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href="data:,"><title>app</title><h1>The app</h1>
<a download="report.csv" href="/report.csv">Report</a>`,
	"report.csv": "a,b",
	"inner.html": `<!doctype html><html lang=en><title>inner</title><p>The inner page`,
}

// A page that is still open when its session has ended downloads no sign-in page under the name of a file.
func TestADownloadAfterTheSessionIsNoSignInPage(t *testing.T) {
	t.Parallel()
	g := startFiles(t, embeddingApp, "log")
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/")
	signOutElsewhere(t, g, p)
	before := len(g.Log())
	p.Eval(`document.querySelector("a[download]").click()`, nil)
	asked := regexp.MustCompile(`"uri":"/report.csv".*"status":(\d+)`) // a page sees nothing of its downloads
	var got []string
	p.Until("the download's response", func() bool {
		got = asked.FindStringSubmatch(g.Log()[before:])
		return got != nil
	})
	if got[1] != "401" {
		t.Errorf("the download gets %s", got[1])
	}
	if p.Path() != "/" || !strings.Contains(p.Text(), "The app") {
		t.Errorf("the page is gone, for %s", p.Path())
	}
}

// In a frame nobody can sign in: it shows a link that opens the sign-in in the whole window, and leads back to the page.
func TestAFrameAfterTheSessionLeadsOutOfItself(t *testing.T) {
	t.Parallel()
	g := startFiles(t, embeddingApp)
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Go(g.URL + "/index.html")
	signOutElsewhere(t, g, p)
	p.Eval(`(() => { const f = document.createElement("iframe"); f.src = "/inner.html"; document.body.append(f) })()`, nil)
	link := `document.querySelector("iframe").contentDocument?.querySelector("a[target=_top]")`
	p.Until("the link in the frame", func() bool {
		var there bool
		p.Eval(`Boolean(`+link+`)`, &there)
		return there
	})
	var form bool
	if p.Eval(`Boolean(document.querySelector("iframe").contentDocument.querySelector("form"))`, &form); form {
		t.Error("the frame has a form")
	}
	p.Loads(func() { p.Eval(link+`.click()`, nil) })
	if !strings.HasPrefix(p.Path(), "/_auth/login") {
		t.Fatalf("the link leads to %s", p.Path())
	}
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if p.Path() != "/index.html" {
		t.Errorf("the sign-in leads to %s", p.Path())
	}
}
