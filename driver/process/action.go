//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// keptTokens is how many tokens of earlier actions a machine remembers.
const keptTokens = 32

// Act acts on a machine. The intent is noted down first, with the token; a repeated call finds the token and only
// brings what was begun to its end.
func (h *host) Act(ctx context.Context, ref driver.Ref, action driver.Action, args, token string) error {
	if !Kind().Supports(action) {
		return fmt.Errorf("process: there is no action %q: %w", action, driver.ErrUnsupported)
	}
	if checkName("a machine's id", string(ref.ID)) != nil {
		return fmt.Errorf("process: %s %s: %w", action, ref.ID, driver.ErrNotFound)
	}
	defer h.acts.lock(ref.ID)()
	var err error
	if isSnapshot(action) {
		err = h.snapshot(ctx, ref.ID, action, args, token)
	} else {
		err = h.act(ctx, ref.ID, action, token)
	}
	h.notify(ref.ID)
	if err != nil {
		return fmt.Errorf("process: %s %s: %w", action, ref.ID, err)
	}
	return nil
}

func (h *host) act(ctx context.Context, id driver.MachineID, action driver.Action, token string) error {
	if err := h.ended(ctx, id); err != nil {
		return err
	}
	err := h.change(id, func(in *intent, alive bool) error {
		if in.knows(token) {
			return nil
		}
		if err := in.apply(action, alive); err != nil {
			return err
		}
		in.note(token)
		return nil
	})
	if err != nil {
		return err
	}
	h.at("act.noted")
	mode := driver.Graceful
	switch action {
	case driver.PoweroffHard, driver.UndeployHard, driver.RebootHard:
		mode = driver.Hard
	}
	return h.converge(ctx, id, mode)
}

// change changes the intent of a machine.
func (h *host) change(id driver.MachineID, f func(in *intent, alive bool) error) error {
	defer h.ids.lock(id)()
	dir := h.folder(id)
	in, err := h.intent(id)
	if err != nil {
		return err
	}
	before := *in
	before.Tokens = slices.Clone(in.Tokens)
	if err := f(in, !h.collectLocked(id)); err != nil {
		return err
	}
	if in.equal(&before) {
		return nil
	}
	in.Change++
	if err := dir.write("intent.json", in); err != nil {
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	return nil
}

// intent returns the intent of a machine of this installation.
func (h *host) intent(id driver.MachineID) (*intent, error) {
	f := h.folder(id)
	p, err := f.plan()
	if errors.Is(err, fs.ErrNotExist) || !h.owns(p, err) {
		return nil, driver.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	in, err := f.intent()
	if err == nil && in.Phase == removed || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("it is being removed: %w", driver.ErrNotFound)
	}
	return in, err
}

func (in *intent) knows(token string) bool { return token != "" && slices.Contains(in.Tokens, token) }

func (in *intent) note(token string) {
	if token != "" {
		in.Tokens = append(in.Tokens, token)
		in.Tokens = in.Tokens[max(0, len(in.Tokens)-keptTokens):]
	}
}

func (in *intent) equal(x *intent) bool {
	return in.Phase == x.Phase && in.Run == x.Run && in.Restart == x.Restart && in.Generation == x.Generation && slices.Equal(in.Tokens, x.Tokens)
}

// apply changes the intent as the action asks; alive says whether the machine has processes.
func (in *intent) apply(action driver.Action, alive bool) error {
	switch action {
	case driver.Hold:
		if in.Phase != held {
			return fmt.Errorf("it was started already; stop or suspend it: %w", driver.ErrInvalid)
		}
	case driver.Release:
		if in.Phase == held {
			in.again()
		}
	case driver.Stop, driver.Poweroff, driver.PoweroffHard:
		in.Phase, in.Restart = stopped, false
	case driver.Undeploy, driver.UndeployHard:
		in.Phase, in.Restart = undeployed, false
	case driver.Suspend:
		if !alive {
			return fmt.Errorf("it does not run; resume it first: %w", driver.ErrInvalid)
		}
		in.Phase = suspended
	case driver.Resume:
		switch {
		case in.Phase == held:
			return fmt.Errorf("it is held; release it: %w", driver.ErrInvalid)
		case alive && (in.Phase == running || in.Phase == suspended):
			in.Phase = running
		case alive: // it is stopping still
			in.Phase, in.Restart = running, true
		default:
			in.again()
		}
	case driver.Reboot, driver.RebootHard:
		switch {
		case in.Phase == held:
			return fmt.Errorf("it is held; release it: %w", driver.ErrInvalid)
		case alive:
			in.Phase, in.Restart = running, true
		default:
			in.again()
		}
	}
	return nil
}

// again has the main program run once more.
func (in *intent) again() {
	in.Phase, in.Restart = running, false
	in.Run++
}

// converge brings the machine to what is wanted of it, or gives up when something else is wanted meanwhile.
func (h *host) converge(ctx context.Context, id driver.MachineID, mode driver.Shutdown) error {
	in, err := h.folder(id).intent()
	if err != nil {
		return err
	}
	switch {
	case in.Phase == suspended:
		return h.freeze(id)
	case in.Phase == held:
		return nil
	case in.Phase == running && !in.Restart:
		return h.run(ctx, id)
	}
	if err := h.end(ctx, id, mode); err != nil {
		return err
	}
	if in.Phase != running {
		return nil
	}
	h.at("act.ended")
	if err := h.change(id, func(now *intent, _ bool) error {
		if now.Restart && now.Change == in.Change {
			now.again()
		}
		return nil
	}); err != nil {
		return err
	}
	return h.run(ctx, id)
}

// run has the main program run: thaws it, or starts it.
func (h *host) run(ctx context.Context, id driver.MachineID) error {
	ready, err := func() (*os.File, error) {
		defer h.ids.lock(id)()
		if r, ok := h.alive(id); ok {
			signalAll(r.Supervisor.PID, unix.SIGCONT)
			return nil, nil
		}
		return h.launch(id)
	}()
	if err != nil {
		return err
	}
	if err := h.begun(ctx, id, ready); err != nil {
		return err
	}
	h.collect(id)
	return nil
}

// freeze stops all processes of the machine where they are.
func (h *host) freeze(id driver.MachineID) error {
	defer h.ids.lock(id)()
	if r, ok := h.alive(id); ok {
		freeze(r.Supervisor.PID)
	}
	return nil
}

// alive returns the run of a machine that has a supervisor.
func (h *host) alive(id driver.MachineID) (*run, bool) {
	f := h.folder(id)
	holder, err := f.holder()
	if err != nil || holder == 0 {
		return nil, false
	}
	r, err := f.run()
	return r, err == nil && r.Supervisor.PID == holder
}

// Stamp notes the generation of the installation that the machine belongs to.
func (h *host) Stamp(ctx context.Context, ref driver.Ref, generation uint64) error {
	err := h.change(ref.ID, func(in *intent, _ bool) error {
		in.Generation = max(in.Generation, generation)
		return nil
	})
	if err != nil {
		return fmt.Errorf("process: stamp %s: %w", ref.ID, err)
	}
	return ctx.Err()
}
