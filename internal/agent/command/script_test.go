package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is the program too: scripts run it as `troupe agent`.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"agent": func() {
		var url, ca string
		cmd := New(&Terminal{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, URL: &url, CACert: &ca})
		cmd.PersistentFlags().StringVar(&url, "url", "", "")
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if coded := (*Error)(nil); errors.As(err, &coded) {
				os.Exit(coded.Code)
			}
			os.Exit(1)
		}
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "mode": mode},
	})
}

// exits runs a command that must end with a code:
//
//	exits CODE COMMAND [ARG...]
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); !errors.As(err, &exit) || exit.ExitCode() != want {
		ts.Fatalf("ended with %v, not with %d", err, want)
	}
}

// mode checks the permissions of files:
//
//	mode 600 FILE...
func mode(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
			ts.Fatalf("%s has mode %s, not %s", name, got, args[0])
		}
	}
}
