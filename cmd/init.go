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
	env, caddyfile := filepath.Join(c.flag("dir"), ".env"), filepath.Join(c.flag("dir"), "Caddyfile")
	for _, path := range []string{env, caddyfile} {
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
	values, err := c.starterEnv()
	if err != nil {
		return err
	}
	if err := create(env, []byte(values), 0o600); err != nil {
		return err
	}
	if err := create(caddyfile, []byte(starter), 0o644); err != nil {
		return errors.Join(err, os.Remove(env))
	}
	c.notef("start with: caddy run --envfile .env")
	c.notef("then open %s and sign in; %s holds the password, keep it to yourself", sanitize(c.flag("site")), env)
	files := map[string]string{"env_file": absolute(env), "caddyfile": absolute(caddyfile)}
	return c.result(files, "%s\n%s", absolute(env), absolute(caddyfile))
}

// starterEnv asks for e-mail and password and returns the env file.
func (c *call) starterEnv() (string, error) {
	email := strings.TrimSpace(c.flag("email"))
	if email == "" {
		var err error
		if email, err = c.readLine("E-mail address of the administrator: "); err != nil {
			return "", fmt.Errorf("%w; use --email", err)
		}
	}
	if identifier.CheckEmail(email) != "" {
		return "", errors.New("that is not an e-mail address; give one such as ada@example.com")
	}
	pass, err := c.newPassword()
	if err != nil {
		return "", err
	}
	defaults, err := resolvePasswordRules(new(caddyauth.App))
	if err != nil {
		return "", err
	}
	if err := defaults.PasswordPolicy().Check(pass, "admin", email, defaults.SiteTitle()); err != nil {
		return "", fmt.Errorf("this password is refused: %w", err)
	}
	quotedEmail, err := quoteEnv(email)
	if err != nil {
		return "", fmt.Errorf("writing the e-mail address: %w", err)
	}
	quotedPass, err := quoteEnv(pass)
	if err != nil {
		return "", fmt.Errorf("writing the password: %w", err)
	}
	return "# The first administrator of Gatehouse. Read by: caddy run --envfile .env\n" +
		"ADMIN_EMAIL=" + quotedEmail + "\nADMIN_PASSWORD=" + quotedPass + "\n", nil
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
