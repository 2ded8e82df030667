package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

func initCommand() *cobra.Command {
	cmd := verb("init", "Writes a starter Caddyfile and an env file with the first administrator",
		`Writes two files into the current directory, and never over an existing one:

  .env       (mode 0600) ADMIN_EMAIL and ADMIN_PASSWORD of the first administrator
  Caddyfile  a gated site

A password that an env file cannot hold, such as one with a #, goes into a third
file, .admin-password (mode 0600), which ADMIN_PASSWORD_FILE names.

Start with: caddy run --envfile .env

The first start makes the administrator, who can sign in as "admin" or by e-mail.
After that the store holds the password: change it on the account page or with
"caddy gatehouse reset-password". With --managed the env file stays the truth:
e-mail and password are set from it at every start and can't be changed elsewhere.`, cobra.NoArgs, initialize)
	f := cmd.Flags()
	f.String("email", "", "e-mail address of the administrator")
	f.Bool("password-stdin", false, "read the password from standard input")
	f.String("dir", ".", "where to write the files")
	f.String("site", "http://localhost:8080", "address of the site")
	f.String("upstream", "", "address of the app behind the gate, such as localhost:9000 (default: a small demo answer)")
	f.Bool("managed", false, "let the env file manage the administrator at every start")
	return cmd
}

func initialize(c *call) error {
	in := func(name string) string { return filepath.Join(c.flag("dir"), name) }
	env, caddyfile, passwordFile := in(".env"), in("Caddyfile"), in(".admin-password")
	for _, path := range []string{env, caddyfile, passwordFile} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			return fmt.Errorf("%s exists already; nothing was written", absolute(path))
		}
	}
	starter, err := starterCaddyfile(c.flag("site"), c.flag("upstream"), c.boolFlag("managed"))
	if err != nil {
		return err
	}
	values, pass, err := c.starterEnv(absolute(passwordFile))
	if err != nil {
		return err
	}
	written := []newFile{{env, values, 0o600}, {caddyfile, starter, 0o644}}
	files, secret := map[string]string{"env_file": absolute(env), "caddyfile": absolute(caddyfile)}, env
	if pass != "" {
		written = append(written, newFile{passwordFile, pass + "\n", 0o600})
		files["password_file"], secret = absolute(passwordFile), passwordFile
	}
	if err := createAll(written); err != nil {
		return err
	}
	c.notef("start with: caddy run --envfile .env")
	c.notef("then open %s and sign in; %s holds the password, keep it to yourself", sanitize(c.flag("site")), secret)
	var paths []string
	for _, f := range written {
		paths = append(paths, absolute(f.path))
	}
	return c.result(files, "%s", strings.Join(paths, "\n"))
}

// newFile is a file to write.
type newFile struct {
	path, content string
	mode          fs.FileMode
}

// createAll writes all of the files or none.
func createAll(list []newFile) error {
	for i, f := range list {
		if err := create(f.path, []byte(f.content), f.mode); err != nil {
			for _, earlier := range list[:i] {
				err = errors.Join(err, os.Remove(earlier.path))
			}
			return err
		}
	}
	return nil
}

// starterEnv asks for e-mail and password and returns the env file, and the password where it has to be in a file of
// its own because an env file cannot hold it.
func (c *call) starterEnv(passwordFile string) (values, apart string, err error) {
	defaults, err := resolvePasswordRules(new(caddyauth.App))
	if err != nil {
		return "", "", err
	}
	if !c.readsStdin() {
		c.explainFirst(defaults.PasswordPolicy().Min())
	}
	email := strings.TrimSpace(c.flag("email"))
	if email == "" {
		if email, err = c.readLine("E-mail address of the administrator: "); err != nil {
			return "", "", fmt.Errorf("%w; use --email", err)
		}
	}
	if identifier.CheckEmail(email) != "" {
		return "", "", errors.New("that is not an e-mail address; give one such as ada@example.com")
	}
	pass, err := c.newPassword()
	if err != nil {
		return "", "", err
	}
	if err := defaults.PasswordPolicy().Check(pass, "admin", email, defaults.SiteTitle()); err != nil {
		return "", "", fmt.Errorf("this password is refused: %w", err)
	}
	quotedEmail, err := quoteEnv(email)
	if err != nil {
		return "", "", fmt.Errorf("writing the e-mail address: %w", err)
	}
	var line string
	if quoted, err := quoteEnv(pass); err == nil {
		line = "ADMIN_PASSWORD=" + quoted
	} else if quoted, err = quoteEnv(passwordFile); err == nil {
		line, apart = "ADMIN_PASSWORD_FILE="+quoted, pass
	} else {
		return "", "", fmt.Errorf("writing the path of the password's file: %w", err)
	}
	return "# The first administrator of Gatehouse. Read by: caddy run --envfile .env\n" +
		"ADMIN_EMAIL=" + quotedEmail + "\n" + line + "\n", apart, nil
}

// explainFirst says what is asked for and what becomes of it, before it is asked.
func (c *call) explainFirst(least int) {
	if c.boolFlag("managed") {
		c.notef("The env file will be the truth: each start sets the administrator's e-mail address and password from it,\n" +
			"and pages and commands can't change them (admin managed).")
	} else {
		c.notef("The first start makes the administrator from the env file. After that the store holds the password, and\n" +
			"another one in the file changes nothing (admin seed); with --managed the file stays the truth.")
	}
	c.notef("The password needs at least %d characters, of any kind. What is tried first is refused: common passwords,\n"+
		"and the name or the e-mail address, also with a few more characters.", least)
}

// starterCaddyfile returns a Caddyfile with one gated site.
func starterCaddyfile(site, upstream string, managed bool) (string, error) {
	for flag, v := range map[string]string{"--site": site, "--upstream": upstream} {
		if strings.ContainsFunc(v, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("{}\"`#,", r)
		}) {
			return "", fmt.Errorf("%s: give one address, without spaces, quotes or braces", flag)
		}
	}
	if site == "" {
		return "", errors.New("--site: give the address of the site, such as app.example.com")
	}
	var b strings.Builder
	b.WriteString("# Start with: caddy run --envfile .env\n")
	if managed {
		b.WriteString("{\n\tgatehouse {\n\t\tadmin managed\n\t}\n}\n\n")
	}
	b.WriteString(site + " {\n\tgatehouse\n")
	if upstream != "" {
		b.WriteString("\treverse_proxy " + upstream + "\n")
	} else {
		b.WriteString("\n\t# Put your app here instead: reverse_proxy localhost:9000\n" +
			"\trespond \"Hello {http.auth.user.id}, you are through the gate.\"\n")
	}
	b.WriteString("}\n")
	return b.String(), nil
}
