package app

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
)

// Bounds of the commands of templates.
const (
	commandTime   = time.Minute
	commandOutput = 1 << 20 // bytes
)

// commandFailed stands in a rendered text where a command's output should: a machine is made nevertheless.
const commandFailed = "Command in cloud-init failed. See Occopus log for details!"

// commands returns what runs the commands of templates; nil where there are none.
func (a *App) commands() func(ctx context.Context, owner int, command string) (string, error) {
	if !a.opts.TemplateCommands {
		return nil
	}
	return func(ctx context.Context, owner int, command string) (string, error) {
		who, err := a.directory.As(owner)
		if err == nil && !who.MayUseHost() {
			err = fmt.Errorf("%w: the service's owner may not run commands on the server's host", identity.ErrDenied)
		}
		if err != nil {
			return "", err
		}
		out, err := output(ctx, strings.Fields(command))
		if err != nil {
			a.opts.Log.Warn("a template's command failed", "command", command, "error", err)
			return commandFailed, nil
		}
		return out, nil
	}
}

// output runs a program and returns what it prints, without the end of its last line.
func output(ctx context.Context, args []string) (string, error) {
	if len(args) == 0 {
		return "", errors.New("there is no command")
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out := &bounded{most: commandOutput}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.WaitDelay = out, time.Second
	if err := cmd.Run(); err != nil {
		return "", err
	}
	return strings.TrimRight(out.String(), "\r\n"), nil
}

// A bounded is a text that refuses to grow beyond a size.
type bounded struct {
	strings.Builder
	most int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, fmt.Errorf("more than %d bytes of output", b.most)
	}
	return b.Builder.Write(p)
}
