package web

import "net/http"

// Access says who may send a request to a route. The zero value is the strictest.
type Access int

// Kinds of access.
const (
	// AdminFresh: an active administrator who signed in, or confirmed it, within the last ten minutes. Otherwise a
	// browser that loads the page is asked for the password first, and everything else is refused; see
	// [Route.ChecksFresh] for forms.
	AdminFresh Access = iota
	// Admin: an active administrator.
	Admin
	// SignedIn: someone who is signed in, and has no password to change.
	SignedIn
	// AnySignedIn: someone who is signed in, also one who has to change the password first.
	AnySignedIn
	// Optional: anyone; the session is looked up, but that does not count as a use of it.
	Optional
	// Public: the session is not looked up.
	Public
)

func (a Access) admin() bool { return a == AdminFresh || a == Admin }

// Handler responds to one request. An error that it returns is written by the router, as a page or a problem document.
type Handler func(w http.ResponseWriter, r *http.Request, q *Request) error

// Route is one method of one address below the mount prefix.
type Route struct {
	Method  string // GET is for HEAD, too; "" with a nil Handle
	Pattern string // of http.ServeMux, without a method
	Access  Access
	Audit   string     // what a refused attempt is called in the audit log; "" for reading
	Handle  Handler    // nil: there is no such page, and only those hear it who could open one
	Doc     *Operation // of the JSON API; nil for pages

	ChecksFresh bool // the handler itself asks for a recent sign-in, so that what was typed into its form stays
	Programs    bool // takes tokens of programs, whose owner then acts; others refuse them, see [Router.takesPrograms]
	CrossSite   bool // takes requests from other sites, and protects itself
	DuringSetup bool // responds as ever while there is no administrator yet
	JSON        bool // outside of the API, for programs nevertheless: errors are problem documents
}

// API reports whether the route is for programs.
func (rt Route) API() bool { return isAPI(rt.Pattern) }

// Operation describes a route of the JSON API. Takes and Gives are values of the types that travel, nil for nothing.
type Operation struct {
	Summary string
	Params  []string // of the query
	Takes   any
	Gives   any
	Status  int
	Empty   bool // may also respond 204, with nothing
	Bare    bool // may come without a body
	ETag    bool // sends ETag, and takes If-Match where it changes something
}

// Get and Post make a page's routes.
func Get(pattern string, a Access, h Handler) Route {
	return Route{Method: http.MethodGet, Pattern: pattern, Access: a, Handle: h}
}

// Post is a form's route.
func Post(pattern string, a Access, h Handler) Route {
	return Route{Method: http.MethodPost, Pattern: pattern, Access: a, Handle: h}
}

// Form returns the routes of a page and of the form on it.
func Form(pattern string, a Access, get, post Handler) []Route {
	return []Route{Get(pattern, a, get), Post(pattern, a, post)}
}
