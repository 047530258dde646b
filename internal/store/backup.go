package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// revisionBump is how far a restored state's revisions lie beyond the backup's, so that no
// revision is used twice: more than anyone commits between two backups.
const revisionBump = 1_000_000_000

// Backup writes a consistent copy of the whole state, while work goes on: an etcd snapshot with
// its checksum. The master key is not in it. An external cluster's copy holds all its keys.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	if err := s.db.snapshot(ctx, w); err != nil {
		return fmt.Errorf("store: back up: %w", err)
	}
	return nil
}

// Restore makes a data folder from a backup file. The folder must not hold a database yet. The new
// state is of a new generation (see [Installation]), its revisions continue far beyond those of
// the backup, and older history is marked as gone. opts gives DataDir, Prefix, Quota and Log.
func Restore(ctx context.Context, file string, opts Options) (Installation, error) {
	none := Installation{}
	if err := opts.fill(); err != nil {
		return none, err
	}
	if opts.DataDir == "" {
		return none, errors.New("store: a backup is restored into a data folder; name one")
	}
	f, err := holdFolder(opts.DataDir)
	if err != nil {
		return none, err
	}
	defer f.release()
	if _, err := os.Stat(f.etcd()); !errors.Is(err, os.ErrNotExist) {
		return none, fmt.Errorf("store: data folder %s: %w; restore into an empty folder", f.path, ErrExists)
	}
	// The work is done beside the final place, and moved there when nothing can go wrong any more.
	half, err := os.MkdirTemp(f.path, "restore-")
	if err != nil {
		return none, fmt.Errorf("store: restore into %s: %w", f.path, diskError(err))
	}
	defer os.RemoveAll(half)
	in := &folder{path: half, lock: f.lock}
	if err := unpack(file, in.etcd(), opts.Log); err != nil {
		return none, fmt.Errorf("store: restore %s: %w", file, diskError(err))
	}
	installation, err := regenerate(ctx, in, &opts)
	if err != nil {
		return none, fmt.Errorf("store: restore %s: %w", file, err)
	}
	if err := os.Rename(in.etcd(), f.etcd()); err != nil {
		return none, fmt.Errorf("store: restore into %s: %w", f.path, diskError(err))
	}
	return installation, syncDir(f.path)
}

// unpack makes an etcd folder from a snapshot, whose checksum it verifies.
func unpack(file, dir string, log *slog.Logger) (err error) {
	if info, err := os.Stat(file); err != nil {
		return err
	} else if !info.Mode().IsRegular() || info.Size() < 4096 {
		return fmt.Errorf("the file is no backup, or is %w", ErrDamaged)
	}
	defer func() { // bbolt and etcd panic on some damage
		if p := recover(); p != nil {
			err = fmt.Errorf("the backup is %w: %v", ErrDamaged, p)
		}
	}()
	lg := zap.New(slogCore{log}, zap.WithFatalHook(zapcore.WriteThenPanic))
	err = snapshot.NewV3(lg).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, OutputDataDir: dir,
		Name: memberName, PeerURLs: []string{memberURL}, InitialCluster: memberName + "=" + memberURL,
		InitialClusterToken: "etcd-cluster", RevisionBump: revisionBump, MarkCompacted: true,
	})
	if err != nil {
		return fmt.Errorf("the backup is %w: %w", ErrDamaged, err)
	}
	return nil
}

// regenerate opens the restored database and mints a new generation in it.
func regenerate(ctx context.Context, f *folder, opts *Options) (Installation, error) {
	e, err := startEmbedded(ctx, &folder{path: f.path, lock: nil}, opts)
	if err != nil {
		return Installation{}, err
	}
	defer e.close()
	key := opts.Prefix + "installation"
	kv, _, err := e.get(ctx, key, false)
	if err != nil {
		return Installation{}, err
	}
	var installation Installation
	if kv.Revision == 0 {
		return installation, fmt.Errorf("the backup holds no installation under %s; it is of another program", opts.Prefix)
	}
	if err := json.Unmarshal(kv.Value, &installation); err != nil {
		return installation, fmt.Errorf("the installation in the backup is %w: %w", ErrDamaged, err)
	}
	installation = installation.mint(OriginRestore, time.Now())
	value, err := json.Marshal(installation)
	if err != nil {
		return installation, err
	}
	if _, err := e.client.Put(ctx, key, string(value)); err != nil {
		return installation, classify(err)
	}
	// Leases of the old cluster mean nothing here, nor do the owners they kept.
	for _, prefix := range []string{"lead", "shard/"} {
		if _, err := e.client.Delete(ctx, opts.Prefix+prefix, clientv3.WithPrefix()); err != nil {
			return installation, classify(err)
		}
	}
	return installation, nil
}
