package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
)

func healthcheckCommand() *cobra.Command {
	cmd := verb("healthcheck", "Asks the gate of the running Caddy whether it can do its work",
		`Asks the gate of the running Caddy whether it can do its work, as health checks of
containers want it: the exit code is 0 when it can, and 1 otherwise, with the reason
on standard error. It needs no store and sends nothing secret.

Without --url it asks the first gated site of the configuration on its own listener
on this machine, whatever the site's name means elsewhere, and does not verify the
certificate there. With --url it asks that address as any client would.`, cobra.NoArgs, healthcheck)
	cmd.Flags().String("url", "",
		"what to ask instead: a site, such as https://app.example.com, or the whole address of its health check")
	return cmd
}

// healthTimeout bounds a check: the gate waits for its store for less.
const healthTimeout = 10 * time.Second

func healthcheck(c *call) error {
	if c.given("store") {
		return errors.New("a store has no gate; give --config or --url in place of --store")
	}
	target, transport, err := c.healthTarget()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(c.ctx, healthTimeout)
	defer cancel()
	if err := askHealth(ctx, target, transport); err != nil {
		return err
	}
	return c.result(map[string]any{"ok": true, "url": target}, "ok")
}

// healthTarget returns what to ask, and how to get there.
func (c *call) healthTarget() (string, *http.Transport, error) {
	transport := &http.Transport{ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10} // never through a proxy
	if c.given("url") {
		target, err := healthURL(c.flag("url"))
		return target, transport, err
	}
	if err := c.loadEnv(); err != nil {
		return "", nil, err
	}
	raw, cfg, err := c.loadConfig(errors.New("no configuration found: give --config <Caddyfile>, or --url <site>"))
	if err != nil {
		return "", nil, err
	}
	app, err := parseApp(raw, cfg)
	if err != nil {
		return "", nil, err
	}
	list := caddyauth.Endpoints(raw)
	if len(list) == 0 {
		return "", nil, errors.New("no gated site of this configuration has a listener and a name without a wildcard; " +
			"give the address of one with --url")
	}
	at := list[0]
	dialer := healthDialer(at)
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer(ctx) }
	scheme := "http"
	if at.Secure {
		scheme = "https"
		// The listener is one of this machine, see ownAddresses, by an address that no certificate has. Whoever could take
		// it over would only decide what this check says: nothing secret is sent, and only a status is read.
		transport.TLSClientConfig = &tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // as above
		}
	}
	return (&url.URL{Scheme: scheme, Host: at.Site, Path: app.HealthPath()}).String(), transport, nil
}

// healthURL returns the address of the health check of --url. It is printed, so it must not hold a password.
func healthURL(value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return "", errors.New("--url needs the address of a site, such as https://app.example.com, or of its health check")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = new(caddyauth.App).HealthPath()
	}
	return u.String(), nil
}

// healthDialer returns a function that connects to a listener on this machine.
func healthDialer(at caddyauth.Endpoint) func(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	if at.Socket != "" {
		return func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, at.Network, at.Socket) }
	}
	return func(ctx context.Context) (net.Conn, error) {
		ips, err := ownAddresses(ctx, at)
		if err != nil {
			return nil, err
		}
		var failed error
		for _, ip := range ips {
			conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(ip, at.Port).String())
			if err == nil {
				return conn, nil
			}
			failed = errors.Join(failed, err)
		}
		return nil, failed
	}
}

// ownAddresses returns at which addresses of this machine, and of no other, a listener can be reached.
func ownAddresses(ctx context.Context, at caddyauth.Endpoint) ([]netip.Addr, error) {
	four, six := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	switch {
	case at.Host == "0.0.0.0", at.Host == "" && at.Network == "tcp4":
		return []netip.Addr{four}, nil
	case at.Host == "" && at.Network == "tcp6":
		return []netip.Addr{six}, nil
	case at.Host == "", at.Host == "localhost", at.Host == "::":
		return []netip.Addr{four, six}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", at.Host)
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, ip := range found {
		ip = ip.Unmap()
		if ip.IsLoopback() || hasAddress(ip) {
			own = append(own, ip)
		}
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("the site listens on %s, which is no address of this machine: run this where Caddy runs, or "+
			"give --url", at.Host)
	}
	return own, nil
}

func hasAddress(ip netip.Addr) bool {
	list, _ := net.InterfaceAddrs() // unknown ones are not this machine's
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == ip.WithZone("") {
			return true
		}
	}
	return false
}

// askHealth returns nil when a gate at the address can do its work.
func askHealth(ctx context.Context, target string, transport http.RoundTripper) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "gatehouse-healthcheck")
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("no response: see whether Caddy runs, with this configuration: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64))
	switch {
	case err != nil:
		return fmt.Errorf("%s: reading the response: %w", target, err)
	case res.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("%s: the gate is closed (503): it has not started, or its store can't be reached; see Caddy's log",
			target)
	case res.StatusCode != http.StatusOK || string(body) != "ok\n":
		return fmt.Errorf("%s: no gate responds there (status %d): check the configuration, or --url", target,
			res.StatusCode)
	}
	return nil
}
