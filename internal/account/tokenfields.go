package account

import (
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/duration"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

func (f *fields) tokenName(v string) string {
	v = f.name(v)
	switch {
	case v == "":
		f.add("name", "fault.token_name")
	case len([]rune(v)) > maxTokenName:
		f.add("name", "fault.too_long", "most", maxTokenName)
	}
	return v
}

func (f *fields) tokenHosts(list []string) []string {
	var out []string
	for _, h := range list {
		name, ok := policy.ParseScopeHost(strings.TrimSpace(h))
		if !ok {
			f.add("hosts", "fault.token_host", "host", h)
			return nil
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 || len(out) > maxTokenHosts {
		f.add("hosts", "fault.token_hosts", "most", maxTokenHosts)
	}
	return out
}

func (f *fields) tokenPaths(list []string) []string {
	for _, p := range list {
		if len(p) > maxTokenPath {
			f.add("paths", "fault.token_path_long", "most", maxTokenPath)
			return nil
		}
		if _, err := policy.NewPaths([]string{p}); err != nil {
			f.add("paths", "fault.token_path", "path", p)
			return nil
		}
	}
	if len(list) > maxTokenPaths {
		f.add("paths", "fault.token_paths", "most", maxTokenPaths)
	}
	return list
}

func (f *fields) tokenMethods(m store.TokenMethods) store.TokenMethods {
	switch m {
	case "":
		return store.TokenAll
	case store.TokenAll, store.TokenRead:
	default:
		f.add("methods", "fault.token_methods")
	}
	return m
}

// fill checks the fields of a new token.
func (s TokenActions) fill(t *store.Token, n NewToken, u store.User) error {
	var f fields
	t.Name = f.tokenName(n.Name)
	t.Hosts, t.Paths, t.Methods = f.tokenHosts(n.Hosts), f.tokenPaths(n.Paths), f.tokenMethods(n.Methods)
	now := s.now()
	life, field := n.Expires, "expires_in"
	switch {
	case n.End != nil:
		f.list = append(f.list, *n.End)
		return f.err()
	case n.Never && s.Tokens.NoExpiry.allows(u):
		return f.err()
	case n.Never:
		f.add("expires_in", "fault.token_never")
		return f.err()
	case !n.Until.IsZero():
		life, field = n.Until.Sub(now), "expires_at"
	case life == 0:
		life = s.Tokens.Expiry
	}
	if life <= 0 || life > s.Tokens.MaxExpiry {
		f.add(field, "fault.token_expires", "most", duration.Text(s.Tokens.MaxExpiry))
	}
	t.ExpiresAt = now.Add(life)
	return f.err()
}
