package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/internal/agent/command"
)

// Exit codes of troupe.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4
	exitDenied      = 5
	exitUnreachable = 6
	exitTimeout     = 7
	exitInvalid     = 8
	exitInterrupted = 130
)

const exitCodesHelp = `troupe ends with one of these codes:

    0  all went well
    1  an error that has no code of its own
    2  wrong usage: an unknown command or flag, a missing argument
    3  there is no such service, role, instance, template, user, ...
    4  refused: the state does not allow it, it exists already, or it was changed meanwhile;
       troupe server: another one holds the data folder, or has taken over
    5  not permitted, or wrong credentials
    6  the server cannot be reached or does no work now: a standby, or paused after a restore
    7  waited in vain: the time given by --timeout is over
    8  a file or a value is wrong: the message says which and where; troupe server: the database is damaged
  130  interrupted by Ctrl-C

troupe exec ends with the code of the command that it ran.`

// A coded error ends the program with its code.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// withCode gives err an exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code, err}
}

// usageError is a mistake in the command line.
func usageError(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}

// silent ends the program with a code and no message.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// exitCode returns the code for an error.
func exitCode(err error) int {
	var c *coded
	var s silent
	var a *command.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &s):
		return int(s)
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &a):
		return a.Code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	if code := clientExitCode(err); code != 0 {
		return code
	}
	if errors.As(err, new(*fs.PathError)) || errors.As(err, new(*os.LinkError)) {
		return exitInvalid // a file that the command line names
	}
	return exitError
}

// noArgs, exactly and atMost check the number of arguments and say what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usageError("%s: %s is missing; usage: %s", cmd.CommandPath(), names[len(args)], cmd.UseLine())
		}
		if i := slices.Index(args, ""); i >= 0 && i < len(names) {
			return usageError("%s: %s is empty; usage: %s", cmd.CommandPath(), names[i], cmd.UseLine())
		}
		return atMost(len(names))(cmd, args)
	}
}

func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError("%s: %q is one argument too many; usage: %s", cmd.CommandPath(), args[n], cmd.UseLine())
		}
		return nil
	}
}

func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "what troupe's exit codes mean", Long: exitCodesHelp}
}
