package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// tagExec is the variable by which the processes of one Exec are found when it is cut short.
const tagExec = "TROUPE_EXEC"

// killTime is how long it may take to kill what a command that was cut short has left.
const killTime = 10 * time.Second

// Exec runs a command inside the container. When ctx ends first it is killed, with all that it started, if the image has
// a shell and grep; the daemon itself has no way to end it.
func (h *host) Exec(ctx context.Context, ref driver.Ref, cmd driver.Command) (int, error) {
	c, err := h.known(ctx, ref.ID)
	exit := 0
	if err == nil {
		exit, err = h.exec(ctx, c, cmd)
	}
	if err != nil {
		return 0, failed(err, "exec in %s", ref.ID)
	}
	return exit, nil
}

func (h *host) exec(ctx context.Context, c container.InspectResponse, cmd driver.Command) (int, error) {
	if len(cmd.Args) == 0 {
		return 0, fmt.Errorf("no command is given: %w", driver.ErrInvalid)
	}
	if !c.State.Running || c.State.Paused {
		return 0, fmt.Errorf("the machine does not run: %w", driver.ErrInvalid)
	}
	for k, v := range cmd.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return 0, fmt.Errorf("environment: %q cannot be set: %w", k, driver.ErrInvalid)
		}
	}
	tag := tagExec + "=" + rand.Text()
	made, err := h.cli.ExecCreate(ctx, c.ID, client.ExecCreateOptions{
		Cmd: cmd.Args, Env: append(environment(cmd.Env), tag), AttachStdin: cmd.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return 0, err
	}
	r, err := h.cli.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return 0, err
	}
	err = stream(ctx, &r.HijackedResponse, cmd)
	if ctx.Err() != nil {
		h.killExec(c.ID, tag)
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("%w: its output: %w", driver.ErrUnavailable, err)
	}
	done, err := h.cli.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err == nil && done.Running {
		err = fmt.Errorf("%w: the daemon ended the command's output", driver.ErrUnavailable)
	}
	return exitCode(done.ExitCode), err
}

// stream hands a command its input and takes its output, until it ends or ctx does.
func stream(ctx context.Context, r *client.HijackedResponse, cmd driver.Command) error {
	defer r.Close()
	stop := context.AfterFunc(ctx, r.Close)
	defer stop()
	if cmd.Stdin != nil {
		// Whoever gave the input ends it: a read that blocks cannot be broken off. What is written to a closed
		// connection fails.
		go func() {
			_, _ = io.Copy(r.Conn, cmd.Stdin)
			_ = r.CloseWrite()
		}()
	}
	_, err := stdcopy.StdCopy(writer(cmd.Stdout), writer(cmd.Stderr), r.Reader)
	return err
}

func writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// killScript kills, until there are none, the processes that have the tag in their environment.
const killScript = `n=0; while [ $n -lt 100 ]; do n=$((n+1)); more=
for p in /proc/[0-9]*; do if grep -qs "$1" $p/environ; then kill -9 ${p#/proc/} && more=1; fi; done
[ "$more" ] || exit 0; done`

// killExec kills the processes of an Exec that was cut short.
func (h *host) killExec(native, tag string) {
	ctx, cancel := context.WithTimeout(h.ctx, killTime)
	defer cancel()
	made, err := h.cli.ExecCreate(ctx, native, client.ExecCreateOptions{
		User: "0", Cmd: []string{"/bin/sh", "-c", killScript, "sh", tag}, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return // it does not run any more, or the daemon is away
	}
	r, err := h.cli.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err == nil {
		_ = stream(ctx, &r.HijackedResponse, driver.Command{})
	}
}

// Logs returns what the container printed, as far as its log driver keeps it. With Follow the reader goes on until ctx
// ends, it is closed or the container ends.
func (h *host) Logs(ctx context.Context, ref driver.Ref, opts driver.LogOptions) (driver.LogReader, error) {
	c, err := h.known(ctx, ref.ID)
	if err != nil {
		return nil, failed(err, "logs of %s", ref.ID)
	}
	lines := "all"
	if opts.Tail > 0 {
		lines = fmt.Sprint(opts.Tail)
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := h.cli.ContainerLogs(ctx, c.ID, client.ContainerLogsOptions{ShowStdout: !opts.Stderr, ShowStderr: true, Follow: opts.Follow, Tail: lines})
	if err != nil {
		cancel()
		return nil, failed(err, "logs of %s", ref.ID)
	}
	out, in := io.Pipe()
	l := &logReader{PipeReader: out, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer r.Close()
		var err error
		if c.Config.Tty {
			_, err = io.Copy(in, r)
		} else {
			_, err = stdcopy.StdCopy(in, in, r)
		}
		if ctx.Err() != nil || errors.Is(err, io.ErrClosedPipe) {
			err = nil
		}
		in.CloseWithError(err)
	}()
	return l, nil
}

// A logReader ends the reading of a log with Close.
type logReader struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close ends the reading.
func (l *logReader) Close() error {
	l.cancel()
	err := l.PipeReader.Close()
	<-l.done
	return err
}
