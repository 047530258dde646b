package cli

import (
	stdbytes "bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/internal/store"
)

type restoreOptions struct{ dataDir, masterKey string }

func newRestoreCommand(t *terminal) *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "make a data folder from a backup",
		Long: "Make the data folder of a server from a file of `troupe backup`, without a server. The folder must not hold a\n" +
			"database yet. The key that encrypts secrets is no part of a backup: give its file with --master-key.\n" +
			"A server on the restored state does nothing until an administrator has looked at it and called\n" +
			"`troupe server resume`: machines made since the backup would otherwise count as strangers.",
		Example: "  troupe restore monday.backup --data-dir /srv/troupe --master-key /safe/master.key",
		Args:    exactly("FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return runRestore(cmd.Context(), t, &o, args[0]) },
	}
	cmd.Flags().StringVar(&o.dataDir, "data-dir", "", "`folder` to make")
	cmd.Flags().StringVar(&o.masterKey, "master-key", "", "`file` of the key, to be copied into the folder")
	return cmd
}

func runRestore(ctx context.Context, t *terminal, o *restoreOptions, file string) error {
	if o.dataDir == "" {
		return usageError("restore: which folder? give --data-dir")
	}
	target := filepath.Join(o.dataDir, store.MasterKeyFile)
	key, err := o.key(target)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dataDir, 0o711); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	installation, err := store.Restore(ctx, file, store.Options{DataDir: o.dataDir})
	switch {
	case errors.Is(err, store.ErrDamaged):
		return withCode(exitInvalid, err)
	case errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrExists):
		return withCode(exitRefused, err)
	case err != nil:
		return err
	}
	if key != nil {
		if err := os.WriteFile(target, key, 0o600); err != nil {
			return fmt.Errorf("the state is restored, but not its key: %w", err)
		}
	}
	fmt.Fprintf(t.out, "restored installation %s into %s, as generation %d\n", installation.ID, o.dataDir, installation.Generation)
	if _, err := os.Stat(target); err != nil {
		fmt.Fprintf(t.out, "the key file is missing: put the one of the old server at %s, or name it with `troupe server --master-key`\n", target)
	}
	fmt.Fprintln(t.out, "effects are off until you start the server, look at it, and call `troupe server resume`")
	return nil
}

// key returns the master key that is to be copied; nil for none. It refuses to take the place of another.
func (o *restoreOptions) key(target string) ([]byte, error) {
	if o.masterKey == "" {
		return nil, nil
	}
	key, err := os.ReadFile(o.masterKey)
	if err == nil {
		err = store.CheckMasterKey(o.masterKey)
	}
	if err != nil {
		return nil, withCode(exitInvalid, fmt.Errorf("--master-key: %w", err))
	}
	if there, err := os.ReadFile(target); err == nil && !stdbytes.Equal(there, key) {
		return nil, withCode(exitRefused, fmt.Errorf("%s is there already and is another key; move it away, or leave --master-key out", target))
	}
	return key, nil
}
