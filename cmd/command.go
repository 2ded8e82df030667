// Package cmd is the command line of Gatehouse: `caddy gatehouse <verb>`, one file per noun.
//
// Every verb works on the store directly, whether Caddy runs or not; a running server is notified of a change through
// the store within a second. Accounts change through internal/account only, like on the pages, so that the same
// checks apply.
//
// Results go to standard output, as text for people or, with --json, as JSON whose members are named as in the JSON
// API; docs/operations.md lists them. Everything else (the location of the store, notes, prompts, errors) goes to
// standard error. Passwords come from a prompt or from standard input, never from an argument, where every user of the
// machine could read them.
package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gatehouse",
		Usage: "<verb>",
		Short: "Manages the accounts, sessions and tokens of the login gate",
		Long: `Manages the accounts, sessions and tokens of Gatehouse, the login gate.

The store is found through the configuration, as other commands find it (--config
and --adapter, else a Caddyfile in the current directory), or through --store.
"init", "login", "healthcheck" and "hash-password" need none.
Run it as the user that runs Caddy, with the same environment: --envfile reads it
from a file. Changes take effect on a running server within a second.

Results are printed on standard output, with --json as JSON; all else, such as where
the store is, on standard error. The exit code is 1 when something failed.

Passwords are asked for, or read from standard input with --password-stdin.`,
		CobraFunc: build,
	})
}

// helpTemplate is cobra's own. Caddy's ends each text with the address of Caddy's documentation, where there is nothing
// about these verbs.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}
Documentation: docs/operations.md of Gatehouse, "Command line".
`

// build adds the verbs to the command.
func build(root *cobra.Command) {
	group(root)
	root.SetHelpTemplate(helpTemplate)
	f := root.PersistentFlags()
	f.StringP("config", "c", "", "configuration file that says where the store is")
	f.StringP("adapter", "a", "", "name of the adapter of the configuration")
	f.String("store", "",
		"the store itself: [sqlite:]<path> or [postgres:]<dsn>; the DSN may be a placeholder such as {env.DATABASE_URL}")
	f.StringArray("envfile", nil, "file with environment variables; may be given several times")
	root.AddCommand(initCommand(), resetCommand(), userCommand(), sessionCommand(), tokenCommand(), loginCommand(),
		identityCommand(), auditCommand(), providerCommand(), seedCommand(), hashCommand(), storeCommand(), backupCommand(),
		restoreCommand(), healthcheckCommand())
}

// call is one invocation of a verb.
type call struct {
	ctx    context.Context
	cmd    *cobra.Command
	args   []string
	in     *os.File
	out    io.Writer // results
	stderr io.Writer // everything else

	envFrom map[string]string // which --envfile a variable was read from
	envCut  map[string]string // variables of --envfile that a # ended, with file and line

	adminAddress string   // of the running Caddy, by the configuration; "" for none
	sites        []string // origins of the gated sites, as far as the configuration tells
}

// verb returns a command with the flag --json. Its error is printed on standard error, with exit code 1, and is made
// safe for a terminal here: it may quote a site, a certificate, a proxy, a store or a file.
func verb(use, short, long string, args cobra.PositionalArgs, run func(c *call) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: withUse(args),
		RunE: func(cmd *cobra.Command, a []string) error {
			err := run(&call{
				ctx: cmd.Context(), cmd: cmd, args: a,
				in: os.Stdin, out: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), envFrom: make(map[string]string),
				envCut: make(map[string]string),
			})
			if err != nil {
				return &shownError{err}
			}
			return nil
		},
	}
	cmd.Flags().Bool("json", false, "print the result as JSON")
	return cmd
}

// withUse says how a verb is called where its arguments are not as it takes them.
func withUse(args cobra.PositionalArgs) cobra.PositionalArgs {
	if args == nil {
		return nil
	}
	return func(cmd *cobra.Command, a []string) error {
		if err := args(cmd, a); err != nil {
			return fmt.Errorf("%w: write %q", err, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nil
	}
}

// shownError is an error as a terminal may show it.
type shownError struct{ err error }

func (e *shownError) Error() string { return sanitizeLines(e.err.Error()) }

func (e *shownError) Unwrap() error { return e.err }

// group makes a command that only has subcommands. Without this, cobra would respond to an unknown verb with a help
// text and exit code 0.
func group(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown verb %q; see %q", args[0], cmd.CommandPath()+" --help")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

func (c *call) flag(name string) string {
	v, _ := c.cmd.Flags().GetString(name) // the flag is defined with the verb that uses it
	return v
}

// list returns the values of a flag that may be given several times. pflag takes a single empty one for none, which for
// a scope means all.
func (c *call) list(name string) []string {
	list, _ := c.cmd.Flags().GetStringArray(name)
	if len(list) == 0 && c.given(name) {
		return []string{""}
	}
	return list
}

func (c *call) boolFlag(name string) bool {
	v, _ := c.cmd.Flags().GetBool(name)
	return v
}

// given reports whether a flag is on the command line.
func (c *call) given(name string) bool { return c.cmd.Flags().Changed(name) }

// notef prints a note, which is not part of the result, to standard error.
func (c *call) notef(format string, args ...any) {
	_, _ = fmt.Fprintln(c.stderr, sanitizeLines(fmt.Sprintf(format, args...)))
}

// printf prints a line of the result.
func (c *call) printf(format string, args ...any) error {
	_, err := fmt.Fprintln(c.out, sanitizeLines(fmt.Sprintf(format, args...)))
	return err
}
