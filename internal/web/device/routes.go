// Package device lets programs without a browser sign in (RFC 8628): a program asks for a code, its owner types it into
// a page and approves, and the program gets a token of its own. The rules are in internal/account.
package device

import (
	"embed"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Files are the templates and texts of the page.
//
//go:embed templates lang
var Files embed.FS

// Page is where people type the code, below the mount prefix.
const Page = "/device"

// Routes returns the addresses of the device sign-in, none where it is not switched on. The program's are for
// strangers: no cookie is looked at, and other sites cannot make a browser send anything there.
func Routes(d *web.Deps) []web.Route {
	if d.Accounts.Tokens == nil || !d.Accounts.Tokens.Device || d.Device == nil {
		return nil
	}
	page, program := &page{d}, &program{d}
	routes := []web.Route{
		web.Post(Page+"/code", web.Public, program.code),
		web.Post(Page+"/token", web.Public, program.token),
	}
	for i := range routes {
		routes[i].JSON = true
	}
	return slices.Concat(routes, web.Form(Page, web.SignedIn, page.show, page.post))
}
