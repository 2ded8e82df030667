package portal

import "strings"

// device returns what a User-Agent claims to be, for people to recognize their own: "Firefox on Windows". It is read
// with a light hand, because nothing depends on it.
func (p *Portal) device(agent string) string {
	if agent == "" {
		return ""
	}
	browser, system := named(agent, browsers[:]), named(agent, systems[:])
	switch {
	case browser == "" && system == "":
		return p.ui.Text("device.unknown")
	case browser == "":
		return system
	case system == "":
		return browser
	}
	return p.ui.Text("device.on", "browser", browser, "system", system)
}

// Of several marks the first counts: Edge says that it is Chrome, and Chrome that it is Safari.
var (
	browsers = [...][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"},
		{"Safari/", "Safari"}, {"curl/", "curl"}, {"Go-http-client/", "Go"}, {"python-requests/", "Python"},
	}
	systems = [...][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"},
		{"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"},
	}
)

func named(agent string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(agent, m[0]) {
			return m[1]
		}
	}
	return ""
}
