// Package occopus is the command line of Occopus: its six programs under their own names, with their options,
// output and exit codes. They speak to a running server when TROUPE_URL names one, and otherwise to one in the
// folder ~/.occopus, which the first of them runs inside itself (package local).
package occopus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Terminal is what a program reads from and writes to.
type Terminal struct {
	Out, Err io.Writer
	Env      func(string) string
	// Connect returns a client of the server that TROUPE_URL names, with the credentials that there are.
	Connect func() (*client.Client, error)
	Version string
}

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// A program is one of the six: what it is for, how its options are added, and what it does.
type program struct {
	name  string // without "occopus-"
	use   string
	help  string
	quiet bool // it logs no start
	add   func(f *pflag.FlagSet, o *options)
	run   func(ctx context.Context, r *run, args []string) error
	args  []string // names of the positional ones
}

// programs are all of them.
func programs() []program {
	return []program{buildProgram(), destroyProgram(), maintainProgram(), scaleProgram(), importProgram(), restProgram()}
}

// A Program is one of the six, for help: its name without "occopus-", how it is used, and what it does.
type Program struct{ Name, Use, Help string }

// Programs returns all of them.
func Programs() []Program {
	var out []Program
	for _, p := range programs() {
		out = append(out, Program{p.name, p.use, p.help})
	}
	return out
}

func names() []string {
	var out []string
	for _, p := range programs() {
		out = append(out, p.name)
	}
	return out
}

// Run runs a program, named without "occopus-", and returns its exit code.
func Run(ctx context.Context, name string, args []string, t Terminal) int {
	all := programs()
	n := slices.IndexFunc(all, func(p program) bool { return p.name == name })
	if n < 0 {
		fmt.Fprintf(t.Err, "occopus: no program %q%s; there are %s\n", name, nearest.Hint(name, names()), strings.Join(names(), ", "))
		return exitUsage
	}
	p := &all[n]
	var o options
	args, err := p.parse(args, &o)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(t.Out, p.usage(), "\n", p.help, "\n\n", p.flags(&options{}).FlagUsagesWrapped(100))
		return exitOK
	case err != nil:
		fmt.Fprintf(t.Err, "%soccopus-%s: error: %s\n", p.usage(), p.name, err)
		return exitUsage
	}
	r := &run{Terminal: t, options: o}
	defer func() {
		if err := r.close(); err != nil {
			fmt.Fprintln(t.Err, "occopus-"+p.name+":", err)
		}
	}()
	err = r.settle(p.name == "import")
	if err == nil {
		if !p.quiet {
			r.start()
		}
		err = p.run(ctx, r, args)
	}
	code, text := codeOf(err)
	if text != "" {
		r.say("%s", text)
	}
	return code
}

// An exitCode ends a program that has said all there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func (p *program) usage() string {
	return strings.TrimRight(fmt.Sprintf("usage: occopus-%s %s", p.name, p.use), " ") + "\n"
}

// flags returns the program's options.
func (p *program) flags(o *options) *pflag.FlagSet {
	f := pflag.NewFlagSet("occopus-"+p.name, pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVar(&o.config, "cfg", "", "occopus_config.yaml `file`")
	if p.name != "import" {
		f.StringVar(&o.auth, "auth_data_path", "", "auth_data.yaml `file`")
	}
	p.add(f, o)
	return f
}

// parse reads a command line as argparse does: long options may be abbreviated as long as one is meant.
func (p *program) parse(args []string, o *options) ([]string, error) {
	f := p.flags(o)
	f.SetOutput(io.Discard)
	args, err := unabbreviate(f, args)
	if err != nil {
		return nil, err
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch rest := f.Args(); {
	case len(rest) < len(p.args):
		return nil, fmt.Errorf("the following arguments are required: %s", strings.Join(p.args[len(rest):], ", "))
	case len(rest) > len(p.args):
		return nil, fmt.Errorf("unrecognized arguments: %s", strings.Join(rest[len(p.args):], " "))
	default:
		return rest, o.check(f)
	}
}

// unabbreviate writes long options out.
func unabbreviate(f *pflag.FlagSet, args []string) ([]string, error) {
	out := slices.Clone(args)
	for n, arg := range out {
		if arg == "--" {
			break
		}
		name, value, assigned := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !strings.HasPrefix(arg, "--") || name == "help" || f.Lookup(name) != nil {
			continue
		}
		var meant []string
		f.VisitAll(func(flag *pflag.Flag) {
			if strings.HasPrefix(flag.Name, name) {
				meant = append(meant, "--"+flag.Name)
			}
		})
		switch {
		case len(meant) > 1:
			return nil, fmt.Errorf("ambiguous option: --%s could match %s", name, strings.Join(meant, ", "))
		case len(meant) == 1 && assigned:
			out[n] = meant[0] + "=" + value
		case len(meant) == 1:
			out[n] = meant[0]
		case strings.HasPrefix("help", name):
			out[n] = "--help"
		}
	}
	return out, nil
}
