package caddyauth

import (
	"strconv"
	"strings"
)

// prefersHTML reports whether HTML is among the types that Accept likes most (RFC 9110, section 12.5.1): programs that
// can make something of it like other types better (pip), or put a media type that is none beside it (Java). Browsers
// write well-formed ones.
func prefersHTML(accept []string) bool {
	html, most := 0.0, 0.0
	for _, line := range accept {
		for line != "" {
			var element string
			element, line = cutElement(line)
			if element == "" {
				continue
			}
			name, weight, ok := parseMediaRange(element)
			if !ok {
				return false
			}
			most = max(most, weight)
			if strings.EqualFold(name, "text/html") {
				html = max(html, weight)
			}
		}
	}
	return html > 0 && html == most
}

// cutElement cuts the first element off a list. A comma in quotes is part of its element.
func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return strings.Trim(list[:i], " \t"), list[i+1:]
		}
	}
	return strings.Trim(list, " \t"), ""
}

// parseMediaRange reads a media range and its weight, 1 where none is given. Other parameters make no difference.
func parseMediaRange(element string) (name string, weight float64, ok bool) {
	name, params, _ := strings.Cut(element, ";")
	name = strings.TrimRight(name, " \t")
	kind, subtype, found := strings.Cut(name, "/")
	if !found || !isToken(kind) || !isToken(subtype) {
		return "", 0, false
	}
	weight = 1
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(strings.Trim(param, " \t"), "=")
		if !strings.EqualFold(key, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) || value[0] < '0' || value[0] > '9' {
			return "", 0, false
		}
		weight = q
	}
	return name, weight, true
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
