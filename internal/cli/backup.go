package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newBackupCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "copy the state of a running server into a file",
		Long: "Copy the state of a running server into a file: services, templates, machine definitions, users. Not in it are\n" +
			"logs, the audit trail, the machines' own data, and the key file (master.key in the data folder) without which\n" +
			"the secrets in the backup cannot be read: keep a copy of that elsewhere.",
		Args: exactly("FILE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error { return runBackup(ctx, t, c, args[0]) }),
	}
}

// runBackup writes beside the file and renames, so that a broken copy never looks like a backup.
func runBackup(ctx context.Context, t *terminal, c *client.Client, file string) error {
	half, err := os.CreateTemp(filepath.Dir(file), ".backup-") // mode 0600
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(half.Name())
	err = c.Backup(ctx, half)
	if err == nil {
		err = half.Sync()
	}
	if err = errors.Join(err, half.Close()); err != nil {
		return err
	}
	info, err := os.Stat(half.Name())
	if err == nil {
		err = os.Rename(half.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	t.tell("%s holds the state (%s); keep the server's key file, master.key, as well", file, bytes(info.Size()))
	return nil
}
