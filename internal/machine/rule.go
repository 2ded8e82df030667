package machine

import (
	"slices"
	"strings"
)

// claims are those of a verified token.
type claims interface{ Values(path string) []string }

// account returns the service account of the first rule whose claims all hold. It decides even if there is no such
// account: a later rule must not give a token more than the first one took.
func (c *Issuer) account(token claims) (name string, ok bool) {
	for _, r := range c.Rules {
		if r.holds(token) {
			return r.Account, true
		}
	}
	return "", false
}

// holds reports whether all claims hold; never without any.
func (r Rule) holds(token claims) bool {
	for _, c := range r.Claims {
		if !c.holds(token.Values(c.Path)) {
			return false
		}
	}
	return len(r.Claims) > 0
}

func (c Claim) holds(signed []string) bool {
	return slices.ContainsFunc(c.Values, func(want string) bool {
		prefix, begins := strings.CutSuffix(want, "*")
		return slices.ContainsFunc(signed, func(s string) bool {
			return s == want || begins && strings.HasPrefix(s, prefix)
		})
	})
}
