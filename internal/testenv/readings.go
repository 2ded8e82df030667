package testenv

import (
	"net/url"
	stdpath "path"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Readings are the path normalizations of upstreams that are more lenient than Caddy. Each takes the raw path without
// the query and returns the path that the upstream serves.
var Readings = map[string]func(path string) string{
	// Decodes once, merges slashes, resolves dot segments and ends at NUL; a decoded '?' or '#' ends the path.
	"a file server": func(path string) string { return clean(cutAt(decode(path), "\x00?#")) },
	// Strips path parameters of each segment before and after decoding, treats '\\' as '/', and then resolves dot
	// segments.
	"a servlet container": func(path string) string {
		return clean(cutParams(strings.ReplaceAll(decode(cutParams(path)), `\`, "/")))
	},
	// Decodes twice, folds full-width forms, strips trailing dots and blanks of segments, and ignores case.
	"a script on a case-insensitive file system": func(path string) string {
		segs := strings.Split(strings.ReplaceAll(norm.NFKC.String(decode(decode(path))), `\`, "/"), "/")
		for i, seg := range segs {
			if seg != "." && seg != ".." {
				segs[i] = strings.TrimLeft(strings.TrimRight(seg, ". "+blanks), " "+blanks)
			}
		}
		return strings.ToLower(clean(cutAt(strings.Join(segs, "/"), "\x00?#")))
	},
}

const blanks = "\t\r\n\v\f\u00a0\u3000\ufeff"

func clean(s string) string { return stdpath.Clean("/" + s) }

func decode(s string) string {
	if text, err := url.PathUnescape(s); err == nil {
		return text
	}
	return s
}

func cutAt(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}

// cutParams strips path parameters of each segment.
func cutParams(p string) string {
	segs := strings.Split(p, "/")
	for i, s := range segs {
		segs[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segs, "/")
}
