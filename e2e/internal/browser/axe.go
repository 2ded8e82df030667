package browser

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// axeTags are the rules that pages have to meet: WCAG 2.2 up to AA, and axe's best practices.
const axeTags = `["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]`

// axe is the source of axe-core, from node_modules.
var axe = sync.OnceValues(func() (string, error) {
	for dir := "."; ; dir = filepath.Join("..", dir) {
		raw, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
		if err == nil {
			return string(raw), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || strings.Count(dir, "..") > 4 {
			return "", fmt.Errorf("axe-core is missing (%w): run `npm ci --ignore-scripts` in the folder e2e, with the Debian package npm", err)
		}
	}
})

// Finding is a violation of an axe rule, or a rule that axe could not check.
type Finding struct {
	ID     string
	Impact string
	Help   string
	Nodes  []struct {
		HTML           string
		FailureSummary string
	}
}

func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s", f.ID, f.Impact, f.Help)
	for _, n := range f.Nodes {
		fmt.Fprintf(&b, "\n    %s\n      %s", n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", " "))
	}
	return b.String()
}

// Axe runs axe on the page and returns violations and incomplete results. It runs in an isolated world, so that the
// page's CSP and trusted types stay in force.
func (p *Page) Axe() (violations, incomplete []Finding) {
	p.r.Helper()
	p.do(func() error {
		source, err := axe()
		if err != nil {
			return err
		}
		tree, err := ask(p, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return err
		}
		world, err := ask(p, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{
			FrameID:   tree.FrameTree.Frame.ID,
			WorldName: "axe",
		})
		if err != nil {
			return err
		}
		if err := p.inject(source, world.ExecutionContextID); err != nil {
			return err
		}
		var result struct{ Violations, Incomplete []Finding }
		err = p.eval(`axe.run(document, {runOnly: {type: "tag", values: `+axeTags+`}, resultTypes: ["violations", "incomplete"]})
			.then(r => ({violations: r.violations, incomplete: r.incomplete}))`, &result, world.ExecutionContextID)
		violations, incomplete = result.Violations, result.Incomplete
		return err
	})
	return violations, incomplete
}

func (p *Page) inject(source string, world runtime.ExecutionContextID) error {
	result, err := ask(p, runtime.Evaluate, runtime.EvaluateParams{Expression: source, ContextID: world})
	if err != nil {
		return err
	}
	return decode(result.Result, result.ExceptionDetails, nil)
}
