package control

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/store"
)

// resumedKey holds the generation of the installation whose effects an administrator turned on.
const resumedKey = "resumed"

// firstMachineKey says that definition 0 was made once, so that one that was removed stays away.
const firstMachineKey = "first-machine"

// A Status says how the server stands.
type Status struct {
	Installation store.Installation `json:"installation"`
	// Paused: effects are off until an administrator has seen what a restored state would do.
	Paused   bool `json:"paused"`
	Services int  `json:"services"`
}

// Status returns how the server stands.
func (c *Control) Status() Status {
	return Status{Installation: c.store.Installation(), Paused: c.engine.Paused(), Services: c.engine.Len()}
}

// PauseUnlessSeen turns all effects off if the state was restored from a backup and no administrator
// has resumed it yet. It is called before the engine runs.
func (c *Control) PauseUnlessSeen(ctx context.Context) error {
	i := c.store.Installation()
	if i.Origin != store.OriginRestore {
		return nil
	}
	seen, err := c.store.Get(ctx, resumedKey)
	if err != nil {
		return fmt.Errorf("read whether the restored state was resumed: %w", err)
	}
	c.engine.Pause(string(seen.Value) != strconv.FormatUint(i.Generation, 10))
	return nil
}

// Resume turns the effects of a restored state on, for good; administrators only.
func (c *Control) Resume(ctx context.Context, who *identity.Caller) error {
	return c.note(ctx, who, "server.resume", "server", c.resume(ctx, who))
}

func (c *Control) resume(ctx context.Context, who *identity.Caller) error {
	if err := administrators(who, "turn effects on"); err != nil {
		return err
	}
	generation := strconv.FormatUint(c.store.Installation().Generation, 10)
	if _, err := c.store.Commit(ctx, store.Txn{Order: resumedKey, Puts: []store.Put{{Key: resumedKey, Value: []byte(generation)}}}); err != nil {
		return fmt.Errorf("write down that effects are on: %w", err)
	}
	c.engine.Pause(false)
	return nil
}

// PutFirstMachine makes machine definition number 0, as user 0, unless one was ever made.
func (c *Control) PutFirstMachine(ctx context.Context, d Definition) error {
	seen, err := c.store.Get(ctx, firstMachineKey)
	if err != nil || seen.Revision != 0 {
		return err
	}
	who, err := c.directory.As(identity.AdminUser)
	if err != nil {
		return err
	}
	if _, err := c.PutMachine(ctx, who, d.Name, d.Machine, d.Permissions); err != nil {
		return fmt.Errorf("make machine definition 0: %w", err)
	}
	_, err = c.store.Commit(ctx, store.Txn{Order: firstMachineKey, Puts: []store.Put{{Key: firstMachineKey, Value: []byte(d.Name)}}})
	return err
}

// Backup writes a consistent copy of the whole state to w; administrators only. The master key is not
// in it, nor are logs and the audit trail.
func (c *Control) Backup(ctx context.Context, who *identity.Caller, w io.Writer) error {
	err := administrators(who, "take a backup")
	if err == nil {
		err = c.store.Backup(ctx, w)
	}
	return c.note(ctx, who, "server.backup", "server", err)
}
