package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/troupe-dev/troupe/internal/nearest"
)

const (
	commandTimeout = 10 * time.Second
	maxOutput      = 4 << 10 // bytes of a command's output that are kept
)

// Commands run programs of the operator's own: the Transport of Command. A user chooses one by its name
// and can change neither the program nor its arguments. It gets the webhook's JSON with the extra keys on
// its standard input, no shell, and an environment that holds PATH alone.
type Commands struct {
	// Programs are the programs with their arguments, by name.
	Programs map[string][]string
	// Timeout of one run; 10 s when zero. What it started dies with it.
	Timeout time.Duration
}

// Names returns the names that users can choose.
func (c *Commands) Names() []string {
	names := make([]string, 0, len(c.Programs))
	for name := range c.Programs {
		names = append(names, name)
	}
	return names
}

// Send runs the program that the method names and waits for it. It is done when the exit status is 0. What
// a program that failed printed is in the failure's cause, at most 4 KiB.
func (c *Commands) Send(ctx context.Context, m *Method, d *Delivery) error {
	argv := c.Programs[m.Address]
	if len(argv) == 0 {
		return &Failure{Reason: fmt.Sprintf("no command %.40q in the server's settings%s", m.Address, nearest.Hint(m.Address, c.Names())), Permanent: true}
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = commandTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	output := &head{most: maxOutput}
	run := exec.CommandContext(ctx, argv[0], argv[1:]...)
	run.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	run.Dir = "/"
	run.Stdin = bytes.NewReader(webhookJSON(d, true, ""))
	run.Stdout, run.Stderr = output, output
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The whole group: a program that is left behind would hold the pipes open.
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGKILL) }
	run.WaitDelay = time.Second
	err := run.Run()
	// A program need not read what it is told.
	if err == nil || errors.Is(err, syscall.EPIPE) && run.ProcessState != nil && run.ProcessState.Success() {
		return nil
	}
	f := &Failure{Reason: "the command could not be run; its settings need a look", Cause: fmt.Errorf("%w: %q", err, output.Bytes())}
	if ended := (*exec.ExitError)(nil); ctx.Err() != nil {
		f.Reason = fmt.Sprintf("the command did not end within %v", timeout)
	} else if errors.As(err, &ended) {
		f.Reason = fmt.Sprintf("the command ended with %v", ended)
	}
	return f
}

// A head keeps the first bytes and takes all.
type head struct {
	bytes.Buffer
	most int
}

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), h.most-h.Len())])
	return len(p), nil
}

// ReadFrom hides the buffer's own, which has no bound.
func (h *head) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{h}, r) }
