package cmd

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// envFile is an env file as `caddy run --envfile` reads it: KEY=VALUE lines, comments from '#' on (also within
// quotes), values in single or double quotes that may go over several lines, no expansion of any kind.
//
// It is parsed here by the same rules, so that a written value is read back unchanged: see quoteEnv.
type envFile struct {
	lines   []string // with their line ends
	entries []envEntry
}

// envEntry is one assignment.
type envEntry struct {
	first, last int // lines
	key, value  string
	cut         bool // the value ended at a '#'
}

// maxEnvLine is the maximum line length of Caddy's parser.
const maxEnvLine = 64<<10 - 1

// parseEnv parses an env file. Its errors name line numbers, never content.
func parseEnv(data []byte) (*envFile, error) {
	f := &envFile{lines: strings.SplitAfter(string(data), "\n")}
	if f.lines[len(f.lines)-1] == "" {
		f.lines = f.lines[:len(f.lines)-1]
	}
	for i, line := range f.lines {
		if len(line) > maxEnvLine {
			return nil, fmt.Errorf("line %d is too long", i+1)
		}
	}
	for i := 0; i < len(f.lines); i++ {
		line := strings.TrimSpace(f.text(i))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := f.entry(i, line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		f.entries = append(f.entries, e)
		i = e.last
	}
	return f, nil
}

// text returns a line without its end.
func (f *envFile) text(i int) string {
	return strings.TrimSuffix(strings.TrimSuffix(f.lines[i], "\n"), "\r")
}

// entry parses the assignment that begins on line i.
func (f *envFile) entry(i int, line string) (envEntry, error) {
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimPrefix(key, "export ")
	switch {
	case !ok:
		return envEntry{}, errors.New("not of the form KEY=VALUE")
	case key == "" || strings.Contains(key, " "):
		return envEntry{}, errors.New("the name before = is empty or holds a space")
	case strings.HasPrefix(value, " ") || strings.HasPrefix(value, "\t"):
		return envEntry{}, errors.New("there is a space after =")
	}
	before, _, cut := strings.Cut(value, "#")
	if cut {
		value = strings.TrimRight(before, " \t")
	}
	e := envEntry{first: i, last: i, key: key, value: value, cut: cut}
	if value == "" || (value[0] != '"' && value[0] != '\'') {
		return e, nil
	}
	quote := value[:1]
	for !strings.HasSuffix(line, quote) || strings.HasSuffix(line, `\`+quote) {
		if e.last++; e.last == len(f.lines) {
			return envEntry{}, errors.New("a quote is not closed")
		}
		value = strings.ReplaceAll(value, `\`+quote, quote)
		line = strings.ReplaceAll(f.text(e.last), `\`+quote, quote)
		value += "\n" + line
	}
	e.value = strings.TrimSuffix(strings.TrimPrefix(value, quote), quote)
	return e, nil
}

// values returns the variables of the file; the last assignment of a name counts.
func (f *envFile) values() map[string]string {
	m := make(map[string]string, len(f.entries))
	for _, e := range f.entries {
		m[e.key] = e.value
	}
	return m
}

// safeEnv matches values that need no quotes in Caddy, a shell, Docker Compose or systemd.
var safeEnv = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quoteEnv returns a value quoted for an env file. A value that would be read back differently is rejected: a
// password truncated at a '#' would lock users out, or be weaker than intended.
func quoteEnv(value string) (string, error) {
	if safeEnv.MatchString(value) {
		return value, nil
	}
	single, double := "'"+value+"'", `"`+value+`"`
	forms := []string{single, double, value}
	switch {
	case !strings.Contains(value, "'"): // literal to a shell, too
	case !strings.ContainsAny(value, "\"$`\\"):
		forms = []string{double, single, value}
	default:
		forms = []string{value, single, double}
	}
	for _, form := range forms {
		if roundTrips(form, value) {
			return form, nil
		}
	}
	switch {
	case strings.Contains(value, "#"):
		return "", errors.New(`an env file can't hold the character "#" (the rest would be read as a comment): ` +
			`leave it out, or keep the password in a file of its own and name it in ADMIN_PASSWORD_FILE`)
	case strings.ContainsAny(value, "\r\n"):
		return "", errors.New("an env file can't hold line breaks in this value: leave them out")
	}
	return "", errors.New("an env file can't hold this mix of quotes, spaces and backslashes at the beginning and the " +
		"end: put another character there, or keep the password in a file of its own and name it in ADMIN_PASSWORD_FILE")
}

func roundTrips(form, value string) bool {
	f, err := parseEnv([]byte("X=" + form + "\nY=1\n"))
	return err == nil && maps.Equal(f.values(), map[string]string{"X": value, "Y": "1"})
}

// errNotSet means that the file does not set the variable, so changing it there would not affect the server.
var errNotSet = errors.New("not set there")

// set returns the file with a new value for key, wherever it is set. Everything else is unchanged: other lines,
// comments, line endings.
func (f *envFile) set(key, value string) ([]byte, error) {
	form, err := quoteEnv(value)
	if err != nil {
		return nil, err
	}
	lines, found := slices.Clone(f.lines), false
	for _, e := range slices.Backward(f.entries) {
		if e.key == key {
			found = true
			lines = slices.Replace(lines, e.first, e.last+1, f.rewritten(e, form)...)
		}
	}
	if !found {
		return nil, errNotSet
	}
	out := []byte(strings.Join(lines, ""))
	want := f.values()
	want[key] = value
	if g, err := parseEnv(out); err != nil || !maps.Equal(g.values(), want) {
		return nil, errors.New("its form is too unusual to be changed safely; change it by hand")
	}
	return out, nil
}

// rewritten returns the lines of an assignment with another value. A comment after an unquoted value is preserved, on
// a separate line if the new value has quotes: Caddy allows nothing after a closing quote.
func (f *envFile) rewritten(e envEntry, form string) []string {
	whole := f.lines[e.first]
	text := f.text(e.first)
	end := f.lines[e.last][len(f.text(e.last)):]
	name, old, _ := strings.Cut(text, "=")
	indent := whole[:len(whole)-len(strings.TrimLeft(whole, " \t"))]
	plainOld := !strings.HasPrefix(old, `"`) && !strings.HasPrefix(old, "'")
	gap, comment := "", ""
	// A '#' directly after a character was part of a password, truncated there; it is dropped.
	if i := strings.IndexByte(old, '#'); i >= 0 && plainOld && (i == 0 || old[i-1] == ' ' || old[i-1] == '\t') {
		value := strings.TrimRight(old[:i], " \t")
		gap, comment = old[len(value):i], old[i:]
	}
	line := name + "=" + form
	switch {
	case comment == "":
		return []string{line + end}
	case form[0] == '"' || form[0] == '\'':
		first := end
		if first == "" {
			first = "\n"
		}
		return []string{indent + comment + first, line + end}
	default:
		return []string{line + gap + comment + end}
	}
}
