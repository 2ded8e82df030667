package web

import (
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Device returns what a User-Agent claims to be, for people to recognize their own: "Firefox on Windows". It is read
// with a light hand, because nothing depends on it.
func (q *Request) Device(agent string) string {
	if agent == "" {
		return ""
	}
	browser, system := firstMark(agent, browsers[:]), firstMark(agent, systems[:])
	switch {
	case browser == "" && system == "":
		return q.Text("device.unknown")
	case browser == "":
		return system
	case system == "":
		return browser
	}
	return q.Text("device.on", "browser", browser, "system", system)
}

// DeviceName is [Request.Device] for lists: a device without a User-Agent is an unknown one.
func (q *Request) DeviceName(agent string) string {
	if agent == "" {
		return q.Text("device.unknown")
	}
	return q.Device(agent)
}

// Of several marks the first counts: Edge says that it is Chrome, and Chrome that it is Safari.
var (
	browsers = [...][2]string{
		{"Edg", "Edge"},
		{"OPR/", "Opera"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"Vivaldi/", "Vivaldi"},
		{"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"HeadlessChrome/", "Chrome"},
		{
			"Chrome/",
			"Chrome",
		},
		{"Safari/", "Safari"},
		{"curl/", "curl"},
		{"Go-http-client/", "Go"},
		{"python-requests/", "Python"},
	}
	systems = [...][2]string{
		{"iPhone", "iPhone"},
		{"iPad", "iPad"},
		{"Android", "Android"},
		{"CrOS", "ChromeOS"},
		{"Windows", "Windows"},
		{"Mac OS X", "macOS"},
		{"Macintosh", "macOS"},
		{"Linux", "Linux"},
	}
)

func firstMark(agent string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(agent, m[0]) {
			return m[1]
		}
	}
	return ""
}

// Method returns how a session was made, in words. label is what people call the session's provider.
func (q *Request) Method(s store.Session, label string) string {
	switch {
	case s.Provider != "":
		return q.Text("method.provider", "name", label)
	case s.Method == "link":
		return q.Text("method.link")
	case s.Method == login.MethodPasskey:
		return q.Text("method.passkey")
	default:
		return q.Text("method.password")
	}
}

// ProviderLabel returns what people call a provider.
func (q *Request) ProviderLabel(name string) string {
	if q.deps.OIDC != nil {
		if label, ok := q.deps.OIDC.Registry.Label(name); ok {
			return label
		}
	}
	return name
}

// ActorName returns who did something; id is "" for what is no person. That has a name of the log's own, which is put
// into words here.
func (q *Request) ActorName(id, name string) string {
	switch {
	case id != "" && store.IsReservedName(name):
		return q.Text("actor.account", "name", name)
	case id != "":
		return name
	}
	switch kind := store.ActorKindOf(name); kind {
	case store.ActorCommandLine, store.ActorStartUp, store.ActorEnvironment, store.ActorAnonymous:
		return q.Text("actor." + string(kind))
	case store.ActorPerson, store.ActorProvider, store.ActorSystem:
	}
	return name
}

// Action returns an audited action in words, or as it is where there are none.
func (q *Request) Action(name string) string {
	if id := "action." + name; q.UI.HasText(id) {
		return q.Text(id)
	}
	return name
}

// Span returns a duration in words, rounded up.
func (q *Request) Span(d time.Duration) string { return problem.Span(q.UI, d) }
