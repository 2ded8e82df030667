package caddyauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
)

// The option upgrade: what a connection may become besides a WebSocket. After an upgrade the gate sees nothing of what
// goes over the connection, which is what it is for (kubectl exec, docker attach), and a tunnel past the gate where the
// app would take requests from it. So each is named; all end with the session.

// parseUpgrade reads `upgrade <name>…`.
func (g *Gate) parseUpgrade(d *caddyfile.Dispenser) error {
	names, err := someArgs(d)
	if err != nil {
		return err
	}
	g.Upgrade = append(g.Upgrade, names...)
	if err := g.checkUpgrade(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// checkUpgrade refuses what is no name of a protocol, and what carries further requests.
func (g *Gate) checkUpgrade() error {
	for _, name := range g.Upgrade {
		protocol, version, versioned := strings.Cut(name, "/")
		switch {
		case !isToken(protocol), versioned && !isToken(version):
			return fmt.Errorf("upgrade: %q is not the name of a protocol; write it as the client sends it in Upgrade, such as "+
				"tcp or SPDY/3.1", name)
		case name == "*":
			return errors.New(`upgrade: "*" is not possible; name each protocol, such as tcp or SPDY/3.1`)
		case strings.EqualFold(name, "websocket"):
			return errors.New("upgrade websocket: WebSockets always pass; leave it out")
		case isHTTPUpgrade(name):
			return fmt.Errorf("upgrade %s: requests in such a tunnel would reach the app without the gate; leave it out, and "+
				"use HTTP/2 from the client to Caddy", name)
		}
	}
	return repeated("upgrade", g.Upgrade, strings.ToLower)
}

// isHTTPUpgrade reports whether an upgrade changes the version of HTTP, or how it is encrypted. A server may go on
// without (RFC 9110, section 7.8), and clients that offer it with every request expect that.
func isHTTPUpgrade(name string) bool {
	protocol, _, _ := strings.Cut(strings.ToLower(name), "/")
	return slices.Contains([]string{"h2c", "h2", "h3", "http", "tls"}, protocol)
}

// takeUpgrade removes an upgrade that is no WebSocket from a request, and returns what was asked for; "" for nothing,
// or for what the request goes on without. A WebSocket beside what it goes on without stays one.
func takeUpgrade(h http.Header) string {
	asked := h["Upgrade"]
	if len(asked) == 0 || isWebSocket(asked) {
		return ""
	}
	delete(h, "Upgrade")
	var names []string
	for _, line := range asked {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.Trim(name, " \t"); name != "" && !isHTTPUpgrade(name) {
				names = append(names, name)
			}
		}
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return !isWebSocket([]string{n}) }) {
		h["Upgrade"] = []string{"websocket"}
		return ""
	}
	return strings.Join(names, ", ")
}

// mayUpgrade restores the upgrade that a request asks for where it is configured, and reports whether the request may
// go on. To go on without it would be another request than the client's.
func (g *Gate) mayUpgrade(r *http.Request, req *request) bool {
	asked := req.first.upgrade
	if asked == "" {
		return true
	}
	delete(r.Header, "Upgrade") // which a gate before this one has restored
	delete(r.Header, "Connection")
	return g.restoreUpgrade(r, req)
}

// restoreUpgrade restores the upgrade that a request asks for where it is configured, and reports whether it did.
func (g *Gate) restoreUpgrade(r *http.Request, req *request) bool {
	asked := req.first.upgrade
	if !slices.ContainsFunc(g.Upgrade, func(name string) bool { return strings.EqualFold(name, asked) }) {
		return false
	}
	r.Header["Upgrade"], r.Header["Connection"] = []string{asked}, []string{"Upgrade"}
	return true
}

// maxUpgradeShown is how much of a name that a client thinks up is shown.
const maxUpgradeShown = 64

// noteLimit limits log lines that any client can cause, a stranger too: some in a minute, for an app may need several.
type noteLimit struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

const notesAMinute = 8

func (l *noteLimit) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= time.Minute {
		l.since, l.n = now, 0
	}
	l.n++
	return l.n <= notesAMinute
}

// refuseUpgrade responds to a request for an upgrade that is not configured.
func (g *Gate) refuseUpgrade(w http.ResponseWriter, r *http.Request, req *request) error {
	asked := req.first.upgrade
	if len(asked) > maxUpgradeShown {
		asked = asked[:maxUpgradeShown] // of more, nobody has to know more
	}
	if g.app.upgradeNotes.allow(time.Now()) {
		fields := []zap.Field{
			zap.String("path", req.path), zap.String("gate", g.At), zap.String("request_id", req.id()),
		}
		if (&Gate{Upgrade: []string{req.first.upgrade}}).checkUpgrade() == nil && asked == req.first.upgrade {
			fields = append(fields, zap.String("upgrade", asked)) // anything else is nothing to write into a configuration
		}
		g.log.Warn("upgrade refused: only websocket passes by itself; if the app needs this one, name it in the gatehouse "+
			"directive: upgrade <name>", fields...)
	}
	g.refusing(w, r)
	req.live.site.Responses.UpgradeRefused(w, req.forPages(r), asked)
	return nil
}
