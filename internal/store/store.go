// Package store keeps the durable state: keys and values with revisions, changed by guarded
// transactions. It runs on an etcd inside this process, on an etcd cluster elsewhere, or in memory
// (the twin for simulations and tests); the code above does not know which. It knows nothing of
// services: the engine lays its own records on it.
//
// Keys are relative ("service/7"); the store puts them under [Options.Prefix]. It keeps a few keys
// of its own, which callers leave alone: "epoch", "id/", "installation", "lead", "schema", "shard/"
// and "vault".
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// Options say where the state is and how it is kept. Exactly one of DataDir, Endpoints and Memory
// is set.
type Options struct {
	// DataDir is the folder of the embedded etcd.
	DataDir string
	// Endpoints are the client URLs of an external etcd cluster (3.4 or newer).
	Endpoints []string
	// Memory is an in-memory cluster.
	Memory *Memory

	// CertFile, KeyFile and CAFile are PEM files for TLS to the external cluster; an https
	// endpoint without any uses the system's authorities.
	CertFile, KeyFile, CAFile string
	User, Password            string

	// Prefix is put before every key; "/troupe/v1/" when empty.
	Prefix string
	// Shared says that other servers may use the same state, so that shards are held by a lease.
	// Always true with Endpoints, never with DataDir.
	Shared bool
	// Name of this server, shown to people; it need not be unique.
	Name string
	// LeaseTTL is how long a silent server keeps its shards; 3 s when zero. Whole seconds.
	LeaseTTL time.Duration
	// Quota is how many bytes the embedded database may take before it refuses what is not
	// [Txn.Vital]; 8 GiB when zero, 64 MiB at least. What is vital may take it a quarter further.
	Quota int64
	// Keep is how many revisions are kept for watchers that lag; 10,000 when zero.
	Keep int64
	// Schema is the version of the layout of the caller's records; 1 when zero. State with a newer
	// one is refused.
	Schema int
	Log    *slog.Logger
}

func (o *Options) fill() error {
	n := 0
	for _, set := range []bool{o.DataDir != "", len(o.Endpoints) > 0, o.Memory != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return errors.New("store: name one place for the state: a data folder, etcd endpoints, or memory")
	}
	if o.Prefix == "" {
		o.Prefix = "/troupe/v1/"
	}
	if o.LeaseTTL == 0 {
		o.LeaseTTL = 3 * time.Second
	}
	if o.LeaseTTL < time.Second || o.LeaseTTL%time.Second != 0 {
		return fmt.Errorf("store: lease of %s: use whole seconds, 2 or more", o.LeaseTTL)
	}
	if o.Quota == 0 {
		o.Quota = 8 << 30
	}
	if o.DataDir != "" && o.Quota < minQuota {
		return fmt.Errorf("store: quota of %d bytes: the embedded database needs %d (64 MiB) or more; leave it out for 8 GiB", o.Quota, minQuota)
	}
	if o.Keep == 0 {
		o.Keep = 10_000
	}
	if o.Schema == 0 {
		o.Schema = 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Shared = (o.Shared || len(o.Endpoints) > 0) && o.DataDir == ""
	return nil
}

// A Store is one server's access to the state. All methods are safe for concurrent use.
type Store struct {
	opts         Options
	log          *slog.Logger
	server       string
	db           backend
	commits      *committer
	installation Installation
	ids          counters
	pins         pins
	upkeep       upkeep
	shards       shards

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  sync.Once
}

// Check says what Open would refuse of the options, as far as that shows without connecting to a cluster
// and without touching a data folder, which another process may hold.
func (o Options) Check() error {
	if err := o.fill(); err != nil {
		return err
	}
	if len(o.Endpoints) > 0 {
		_, err := o.clientConfig()
		return err
	}
	if _, err := os.Stat(o.DataDir); o.DataDir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, free := peekFolder(o.DataDir)
	if !free {
		return nil // Open tells who has it
	}
	defer f.release()
	return f.inspect()
}

// Open opens the state and, when there is none, makes it. Close must be called.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	db, err := openBackend(ctx, &opts)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, log: opts.Log, server: ulid.Make().String(), db: db}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.commits = newCommitter(db, opts.Prefix)
	s.upkeep.init(ctx, db)
	s.wg.Go(s.commits.run)
	if err := s.register(ctx); err != nil {
		s.Close()
		return nil, err
	}
	s.wg.Go(s.maintainForever)
	return s, nil
}

func openBackend(ctx context.Context, opts *Options) (backend, error) {
	switch {
	case opts.Memory != nil:
		return opts.Memory.open(), nil
	case opts.DataDir != "":
		return openEmbedded(ctx, opts)
	default:
		return openExternal(ctx, opts)
	}
}

// OpenMemory opens a new, empty state in memory.
func OpenMemory(ctx context.Context) (*Store, error) {
	return Open(ctx, Options{Memory: NewMemory()})
}

// Server returns the id of this run of this server: new at each Open.
func (s *Store) Server() string { return s.server }

// Failed is closed when the embedded etcd stopped by itself, for want of a working disk say.
// [Store.Err] then tells why; nothing but closing the store and starting again helps.
func (s *Store) Failed() <-chan struct{} { return s.db.failed() }

// Err returns why the embedded etcd stopped, or nil.
func (s *Store) Err() error { return s.db.failure() }

// Close gives up the shards, answers what still waits with ErrClosed or, where etcd was already
// asked, with its answer, and closes the database. Watches and loads end.
func (s *Store) Close() {
	s.close.Do(func() {
		s.resign()
		s.commits.stop()
		s.cancel()
		s.wg.Wait()
		s.db.close()
	})
}
