package caddyauth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// placeholder replaces placeholders in an option's value. An empty result is an error: an unset variable must not
// become an empty password or an open rule.
func placeholder(option, raw string) (string, error) {
	values, asked := caddy.NewReplacer(), ""
	r := caddy.NewEmptyReplacer()
	r.Map(func(key string) (any, bool) {
		asked = key // the last one is what an error is about
		return values.Get(key)
	})
	s, err := r.ReplaceOrErr(raw, true, true)
	switch {
	case err != nil && placeholderName.MatchString(asked):
		return "", fmt.Errorf("%s: %w", option, err) // names the placeholder
	case err != nil:
		return "", fmt.Errorf("%s: %w", option, errPlaceholder)
	case strings.TrimSpace(s) == "":
		return "", fmt.Errorf("%s: the value is empty; is the variable or file it names set?", option)
	}
	return s, nil
}

// placeholderName is a placeholder that an error may name. Anything else in braces may be part of a secret that was
// written out, and errors end up in logs.
var placeholderName = regexp.MustCompile(
	`^(env\.[A-Za-z_][A-Za-z0-9_]*|file\.[A-Za-z0-9_./\\:-]+|(system|time)\.[a-z0-9_.]+)$`)

// errPlaceholder contains nothing of what is in the braces.
var errPlaceholder = errors.New(`what stands in braces is no placeholder, or an empty one; ` +
	`write {env.NAME} or {file./path}, and \{ for a brace that is part of the value`)

// checkPlaceholders checks a value's placeholders as far as that needs no environment of the server.
func checkPlaceholders(raw string) error {
	r := caddy.NewEmptyReplacer()
	r.Map(func(key string) (any, bool) {
		space, _, _ := strings.Cut(key, ".")
		return "known", space == "env" || space == "file" || space == "system" || space == "time"
	})
	if _, err := r.ReplaceOrErr(raw, true, true); err != nil {
		return errPlaceholder // the error itself has the text in it
	}
	return nil
}
