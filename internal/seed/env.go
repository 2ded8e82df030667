package seed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/password"
)

// Mode is the policy. The zero value is invalid.
type Mode string

// The two policies.
const (
	ModeSeed    Mode = "seed"
	ModeManaged Mode = "managed"
)

// What happens to an earlier managed administrator.
const (
	FormerKeep    = "keep"    // stays an administrator, no longer managed
	FormerDemote  = "demote"  // becomes an ordinary user
	FormerDisable = "disable" // can no longer sign in
)

// Config holds the options of the configuration. Values that are not nil take precedence over the variable of that
// name; placeholders are already replaced. An empty value counts as unset.
type Config struct {
	Mode        Mode
	ModeDefault bool   // Mode is the default, for Describe
	EnvPrefix   string // prefix of the variable names

	User, Email, Name, Password, PasswordFile, PasswordHash, ForceSync *string

	FormerAdmin string // one of the Former constants; "" means FormerKeep
	Title       string // of the site: a password must not equal it
}

// defaultUser is the default username of the administrator.
const defaultUser = "admin"

// maxFile is the maximum size of a password file in bytes.
const maxFile = 4096

// Parse reads the administrator's values from the configuration and the environment and checks them. It has no side
// effects and, apart from readFile for ADMIN_PASSWORD_FILE, no I/O. The error lists every problem by the name of the
// variable or option, and never a value: people put secrets into the wrong variable.
func Parse(cfg Config, lookup func(string) (string, bool), readFile func(string) ([]byte, error),
	pol password.Policy,
) (*Values, error) {
	p := &parser{cfg: cfg, lookup: lookup, readFile: readFile}
	v := &Values{mode: cfg.Mode, modeFrom: SourceConfig, formerAdmin: cfg.FormerAdmin, formerFrom: SourceConfig}
	if cfg.ModeDefault {
		v.modeFrom = SourceDefault
	}
	switch cfg.Mode {
	case ModeSeed, ModeManaged:
	default:
		return nil, fmt.Errorf("unknown admin mode %q: use seed or managed", cfg.Mode)
	}
	switch cfg.FormerAdmin {
	case "":
		v.formerAdmin, v.formerFrom = FormerKeep, SourceDefault
	case FormerKeep, FormerDemote, FormerDisable:
	default:
		return nil, fmt.Errorf("unknown former_admin %q: use keep, demote or disable", cfg.FormerAdmin)
	}
	p.identity(v)
	p.secret(v)
	p.forceSync(v)
	if cfg.Mode == ModeManaged {
		p.require(v)
	}
	if v.password != nil {
		p.checkPassword(v, pol)
	}
	if len(p.problems) > 0 {
		return nil, errors.New("admin: " + strings.Join(p.problems, "; "))
	}
	return v, nil
}

// parser collects problems, so that all are reported at once.
type parser struct {
	cfg      Config
	lookup   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	problems []string
}

func (p *parser) problem(name, text string) { p.problems = append(p.problems, name+" "+text) }

// variable returns the full name of a variable.
func (p *parser) variable(suffix string) string { return p.cfg.EnvPrefix + "ADMIN_" + suffix }

// value reads one setting: the option if given, else the variable.
func (p *parser) value(suffix, option string, explicit *string) value {
	variable := p.variable(suffix)
	if explicit != nil && *explicit != "" {
		return value{text: *explicit, key: variable, name: "option admin " + option, source: SourceConfig}
	}
	if text, ok := p.lookup(variable); ok && text != "" {
		return value{text: text, key: variable, name: variable, source: SourceEnv}
	}
	return value{key: variable, name: variable}
}

// identity reads username, e-mail address and name of the administrator.
func (p *parser) identity(v *Values) {
	v.user = p.value("USER", "user", p.cfg.User)
	v.email = p.value("EMAIL", "email", p.cfg.Email)
	v.name = p.value("NAME", "name", p.cfg.Name)
	for _, field := range []*value{&v.user, &v.email, &v.name} {
		given := field.text != ""
		field.text = strings.TrimSpace(field.text)
		if given && field.text == "" {
			p.problem(field.name, "is blank: give it a value, or unset it")
		}
	}
	if v.user.text != "" {
		p.checkIdentifier(v.user, identifier.CheckUsername(v.user.text))
	}
	if v.email.text != "" && identifier.CheckEmail(v.email.text) != "" {
		p.problem(v.email.name, "must be a valid e-mail address, such as ada@example.com")
	}
	if identifier.CheckName(v.name.text) != "" {
		p.problem(v.name.name, fmt.Sprintf("must be at most %d characters on one line", identifier.MaxLength))
	}
}

// checkIdentifier checks a value by the rules for all accounts. With a blank username, an empty sign-in form would
// identify the administrator.
func (p *parser) checkIdentifier(v value, fault identifier.Fault) {
	switch fault {
	case "":
	case identifier.Missing:
		p.problem(v.name, "must have at least one visible character")
	case identifier.Long:
		p.problem(v.name, fmt.Sprintf("is too long: use at most %d characters", identifier.MaxLength))
	default:
		p.problem(v.name, "must have no line breaks or invisible characters")
	}
}

// secret reads the password in the one form in which it is given. The configuration takes precedence over all forms
// in the environment.
func (p *parser) secret(v *Values) {
	forms := []value{
		p.value("PASSWORD", "password", p.cfg.Password),
		p.value("PASSWORD_FILE", "password_file", p.cfg.PasswordFile),
		p.value("PASSWORD_HASH", "password_hash", p.cfg.PasswordHash),
	}
	v.secret = forms[0]
	var given []value
	for _, form := range forms {
		if form.set() {
			given = append(given, form)
		}
	}
	if explicit := explicitValues(given); len(explicit) > 0 {
		given = explicit
	}
	switch {
	case len(given) == 0:
		return
	case len(given) > 1:
		v.secret = value{key: given[0].key, name: given[0].name}
		p.problem(given[0].name+" and "+given[1].name, "contradict each other: set only one of them")
		return
	}
	v.secret = given[0]
	v.secret.text = "" // stored only where nothing prints it
	switch text := given[0].text; given[0].key {
	case forms[0].key:
		p.plain(v, text)
	case forms[1].key:
		if content, ok := p.file(v.secret.name, text); ok {
			v.secret.source = fmt.Sprintf("the file %s (named by %s)", text, v.secret.source)
			p.plain(v, content)
		}
	default:
		if _, err := password.Identify(text); err != nil {
			p.problem(v.secret.name, "is no password hash: use "+password.KnownFormats+
				" (where Compose reads the value, write every $ as $$)")
			return
		}
		v.hash = &text
	}
}

func explicitValues(list []value) []value {
	var explicit []value
	for _, v := range list {
		if v.source == SourceConfig {
			explicit = append(explicit, v)
		}
	}
	return explicit
}

func (p *parser) plain(v *Values, text string) {
	if strings.TrimSpace(text) == "" {
		p.problem(v.secret.name, "is blank: give it a password, or unset it")
		return
	}
	v.password = &text
}

// file reads a password file without the trailing newline that editors add.
func (p *parser) file(name, path string) (content string, ok bool) {
	b, err := p.readFile(path)
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, errFileTooLarge) || len(b) > maxFile:
		p.problem(name, "names a file of more than 4 KiB"+shown(path)+": it should hold the password and nothing else")
		return "", false
	case errors.As(err, &pathErr):
		p.problem(name, fmt.Sprintf("names a file that can't be read%s: %v", shown(path), pathErr.Err))
		return "", false
	case err != nil:
		p.problem(name, "names a file that can't be read"+shown(path))
		return "", false
	}
	content = string(b)
	if strings.HasPrefix(content, "\ufeff") {
		// It can't be typed.
		p.problem(name, "names a file that begins with a byte order mark"+shown(path)+": save it as UTF-8 without one")
		return "", false
	}
	content = strings.TrimSuffix(content, "\n")
	return strings.TrimSuffix(content, "\r"), true
}

// plainPath is an absolute path of a form that no generated password has.
var plainPath = regexp.MustCompile(`^(/[a-z][a-z0-9_.-]{0,31}){2,}$`)

// shown returns a path in brackets, or nothing where it may be no path but a password that was put into the wrong
// variable: the folder that it begins with has to be there, or it is plain.
func shown(path string) string {
	if plainPath.MatchString(path) {
		return " (" + path + ")"
	}
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == filepath.Separator })
	if len(names) < 2 || strings.ContainsFunc(path, unicode.IsControl) {
		return ""
	}
	first := names[0]
	if filepath.IsAbs(path) {
		first = path[:strings.Index(path, first)+len(first)]
	}
	if info, err := os.Stat(first); err != nil || !info.IsDir() {
		return ""
	}
	return " (" + path + ")"
}

// forceSync parses the flag. Anything that is neither yes nor no is an error: a misread typo could overwrite a
// password.
func (p *parser) forceSync(v *Values) {
	flag := p.value("PASSWORD_FORCE_SYNC", "force_sync", p.cfg.ForceSync)
	v.forceFrom = flag
	switch strings.ToLower(strings.TrimSpace(flag.text)) {
	case "", "false", "0", "no":
	case "true", "1", "yes":
		v.force = true
	default:
		p.problem(flag.name, "must be true or false")
	}
}

// require rejects a managed administrator without e-mail address or password.
func (p *parser) require(v *Values) {
	if !v.email.set() && !p.hasProblem(v.email.name) {
		p.problem(v.email.name, "must be set to the e-mail address of the managed administrator")
	}
	if !v.HasPassword() && !p.hasProblem(v.secret.name) {
		p.problem(v.secret.name, "must be set to the password of the managed administrator")
	}
}

// hasProblem reports whether there is a problem with that variable already.
func (p *parser) hasProblem(name string) bool {
	for _, text := range p.problems {
		if strings.HasPrefix(text, name+" ") {
			return true
		}
	}
	return false
}

// checkPassword checks the password against the policy.
func (p *parser) checkPassword(v *Values, pol password.Policy) {
	err := pol.Check(*v.password, v.Username(), v.email.text, v.name.text, p.cfg.Title)
	var refused *password.PolicyError
	switch {
	case errors.As(err, &refused):
		p.problem(v.secret.name, "is refused: "+refused.Text)
	case err != nil:
		p.problem(v.secret.name, "can't be checked")
	}
}

var errFileTooLarge = errors.New("the file is too large")

// ReadFile reads a small file for [Parse]: unlike os.ReadFile it stops at a few KiB, so that a device or a mistaken
// path does not fill the memory.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		return nil, errFileTooLarge
	}
	return b, err
}
