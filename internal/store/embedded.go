package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	memberName = "troupe"
	// memberURL is what the single member calls itself; nothing listens there.
	memberURL = "http://127.0.0.1:1"
	// A lone member needs no heartbeat: its tick only bounds how soon it elects itself at start.
	tick, election = 50, 250 // milliseconds
	// minQuota leaves room for history between two upkeeps.
	minQuota = 64 << 20
)

// etcdQuota is where etcd itself refuses every put, removals included: a good deal beyond ours, so
// that a full database can be emptied.
func etcdQuota(ours int64) int64 { return ours + max(ours/4, 32<<20) }

// embedded is an etcd in this process. It has no socket of any kind.
type embedded struct {
	etcd
	folder *folder
	server *embed.Etcd
	quota  int64 // ours
	doom   doom
	full   atomic.Pointer[error] // why writes are refused
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// doom is how etcd's fatal errors reach us: by itself it would end the process.
type doom struct {
	ctx    context.Context // ends, with its cause, when etcd met its end
	cancel context.CancelCauseFunc
}

// OnWrite is zap's hook after a fatal entry or a panic. etcd does not expect to go on, so the
// goroutine stays parked, and whatever it holds stays held: nothing is written any more.
func (d *doom) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	text := ce.Message
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			text += ": " + err.Error()
		}
	}
	d.cancel(diskError(errors.New(text)))
	select {}
}

func openEmbedded(ctx context.Context, opts *Options) (backend, error) {
	f, err := holdFolder(opts.DataDir)
	if err != nil {
		return nil, err
	}
	if err := f.inspect(); err != nil {
		f.release()
		return nil, err
	}
	e, err := startEmbedded(ctx, f, opts)
	if err != nil {
		f.release()
		return nil, err
	}
	return e, nil
}

func memberConfig(dir string, quota int64) *embed.Config {
	u, _ := url.Parse(memberURL)
	c := embed.NewConfig()
	c.Name, c.Dir = memberName, dir
	c.ListenPeerUrls, c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil, nil
	c.AdvertisePeerUrls = []url.URL{*u}
	c.InitialCluster = memberName + "=" + memberURL
	c.EnableGRPCGateway = false
	c.TickMs, c.ElectionMs = tick, election
	c.MaxTxnOps, c.MaxRequestBytes = 4096, 8<<20
	c.QuotaBackendBytes = etcdQuota(quota)
	c.AutoCompactionRetention = "0"
	// Nobody needs to catch up, so few entries are kept in memory after they are applied.
	c.SnapshotCount, c.SnapshotCatchUpEntries = 1000, 10
	c.MaxWalFiles = 2
	c.LogLevel = "error"
	return c
}

// startEmbedded runs etcd in the folder until close.
func startEmbedded(ctx context.Context, f *folder, opts *Options) (*embedded, error) {
	e := &embedded{folder: f, quota: opts.Quota}
	e.doom.ctx, e.doom.cancel = context.WithCancelCause(context.Background())
	cfg := memberConfig(f.etcd(), opts.Quota)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(slogCore{opts.Log}, zap.WithFatalHook(&e.doom), zap.WithPanicHook(&e.doom)))
	started := make(chan error, 1)
	go func() { // stays parked when etcd meets a fatal error
		defer func() {
			if p := recover(); p != nil {
				started <- fmt.Errorf("%v", p)
			}
		}()
		server, err := embed.StartEtcd(cfg)
		e.server = server
		started <- err
	}()
	var err error
	select {
	case err = <-started:
		if err != nil {
			err = diskError(err)
		}
	case <-e.doom.ctx.Done():
		err = context.Cause(e.doom.ctx)
	}
	switch {
	case errors.Is(err, ErrDiskFull), errors.Is(err, ErrReadOnly):
		return nil, fmt.Errorf("store: data folder %s: %w", f.path, err)
	case err != nil:
		return nil, f.damaged("etcd cannot start on it", err)
	}
	select {
	case <-e.server.Server.ReadyNotify():
	case <-e.doom.ctx.Done():
		return nil, f.damaged("etcd cannot start on it", context.Cause(e.doom.ctx))
	case <-ctx.Done():
		e.server.Close()
		return nil, fmt.Errorf("store: start etcd in %s: %w", f.path, ctx.Err())
	}
	e.etcd = etcd{client: v3client.New(e.server.Server), maxOps: 2048, maxBytes: MaxBytes}
	if err := e.makeRoom(ctx); err != nil {
		e.client.Close()
		e.server.Close()
		return nil, err
	}
	var watching context.Context
	watching, e.stop = context.WithCancel(context.Background())
	e.wg.Go(func() { e.watchDisk(watching) })
	return e, nil
}

// watchDisk refuses writes before etcd finds the disk full, which it does not survive.
func (e *embedded) watchDisk(ctx context.Context) {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		free, err := e.folder.free()
		if err != nil || free >= reserve {
			e.full.Store(nil)
			continue
		}
		full := fmt.Errorf("data folder %s: %w", e.folder.path, e.folder.full(free))
		e.full.Store(&full)
	}
}

func (e *embedded) txn(ctx context.Context, t *Txn) (outcome, error) {
	if err := e.full.Load(); err != nil && len(t.Puts) > 0 {
		return outcome{}, *err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.doom.ctx, cancel)()
	o, err := e.etcd.txn(ctx, t)
	if err != nil && e.failure() != nil {
		err = fmt.Errorf("%w: %w", ErrAmbiguous, e.failure())
	}
	return o, err
}

// room compares sizes as etcd does: free pages inside the file count until it is defragmented.
func (e *embedded) room() error {
	if size := e.server.Server.Backend().Size(); size >= e.quota {
		return fmt.Errorf("%w (%d MiB of %d MiB)", ErrNoSpace, size>>20, e.quota>>20)
	}
	return nil
}

func (e *embedded) status(ctx context.Context) (dbStatus, error) {
	st, err := e.etcd.status(ctx)
	st.full = st.full || st.size >= e.quota
	return st, err
}

// makeRoom readies a database that was closed when it was full: etcd remembers that it was, and
// refuses every put until told otherwise, even when it has a larger quota now.
func (e *embedded) makeRoom(ctx context.Context) error {
	st, err := e.status(ctx)
	if err != nil {
		return fmt.Errorf("store: ask for the size of the database in %s: %w", e.folder.path, err)
	}
	if top := etcdQuota(e.quota); st.size >= top {
		if err := e.compact(ctx, st.revision); err != nil {
			return fmt.Errorf("store: compact the database in %s: %w", e.folder.path, err)
		}
		if err := e.server.Server.Defragment(); err != nil {
			return fmt.Errorf("store: defragment the database in %s: %w", e.folder.path, err)
		}
		if size := e.server.Server.Backend().Size(); size >= top {
			return fmt.Errorf("store: data folder %s: %w: the state takes %d MiB, the quota is %d MiB; start with a quota of %d bytes or more", e.folder.path, ErrNoSpace, size>>20, e.quota>>20, size+size/4)
		}
	}
	return e.disarm(ctx)
}

// disarm lets etcd accept puts again after its quota was reached.
func (e *embedded) disarm(ctx context.Context) error {
	alarms, err := e.client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("store: list the alarms: %w", classify(err))
	}
	for _, a := range alarms.Alarms {
		if a.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		if _, err := e.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return fmt.Errorf("store: lift the quota alarm: %w", classify(err))
		}
	}
	return nil
}

// defragment rewrites the database and lifts the quota alarm if there is room now.
func (e *embedded) defragment(ctx context.Context) error {
	if err := e.server.Server.Defragment(); err != nil {
		return fmt.Errorf("store: defragment: %w", err)
	}
	if e.server.Server.Backend().Size() >= etcdQuota(e.quota) {
		return nil
	}
	return e.disarm(ctx)
}

func (e *embedded) failed() <-chan struct{} { return e.doom.ctx.Done() }

func (e *embedded) failure() error {
	cause := context.Cause(e.doom.ctx)
	if cause == nil {
		return nil
	}
	return fmt.Errorf("store: etcd in %s stopped: %w; start again once that is put right", e.folder.path, cause)
}

func (e *embedded) close() {
	e.stop()
	e.wg.Wait()
	if e.failure() == nil { // else its goroutines may hold what closing waits for
		e.client.Close()
		e.server.Close()
	}
	e.folder.release()
}
