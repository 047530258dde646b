package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// etcd is what both kinds of etcd share: the work is done through a client.
type etcd struct {
	client   *clientv3.Client
	maxOps   int
	maxBytes int
}

func (e *etcd) limits() (ops, bytes int) { return e.maxOps, e.maxBytes }

func (e *etcd) get(ctx context.Context, key string, stale bool) (KV, int64, error) {
	var opts []clientv3.OpOption
	if stale {
		opts = append(opts, clientv3.WithSerializable())
	}
	r, err := e.client.Get(ctx, key, opts...)
	if err != nil {
		return KV{}, 0, fmt.Errorf("store: read %s: %w", key, classify(err))
	}
	if len(r.Kvs) == 0 {
		return KV{Key: key}, r.Header.Revision, nil
	}
	return keyValue(r.Kvs[0]), r.Header.Revision, nil
}

func keyValue(kv *mvccpb.KeyValue) KV {
	return KV{Key: string(kv.Key), Value: kv.Value, Revision: kv.ModRevision}
}

func (e *etcd) scan(ctx context.Context, from, to string, limit int, at int64) ([]KV, bool, int64, error) {
	r, err := e.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithLimit(int64(limit)), clientv3.WithRev(at))
	if err != nil {
		return nil, false, 0, fmt.Errorf("store: load from %s: %w", from, classify(err))
	}
	if at == 0 {
		at = r.Header.Revision
	}
	kvs := make([]KV, len(r.Kvs))
	for i, kv := range r.Kvs {
		kvs[i] = keyValue(kv)
	}
	return kvs, r.More, at, nil
}

func (e *etcd) txn(ctx context.Context, t *Txn) (outcome, error) {
	guards := make([]clientv3.Cmp, len(t.Guards))
	// When a guard fails, the revisions of all guarded keys tell which one, as of that moment.
	reads := make([]clientv3.Op, len(t.Guards))
	for i, g := range t.Guards {
		relation, revision := "=", g.Revision
		if revision < 0 {
			relation, revision = ">", 0
		}
		guards[i] = clientv3.Compare(clientv3.ModRevision(g.Key), relation, revision)
		reads[i] = clientv3.OpGet(g.Key, clientv3.WithKeysOnly())
	}
	writes := make([]clientv3.Op, 0, len(t.Puts)+len(t.Deletes))
	var opts []clientv3.OpOption
	if t.lease != 0 {
		opts = append(opts, clientv3.WithLease(clientv3.LeaseID(t.lease)))
	}
	for _, p := range t.Puts {
		writes = append(writes, clientv3.OpPut(p.Key, string(p.Value), opts...))
	}
	for _, k := range t.Deletes {
		writes = append(writes, clientv3.OpDelete(k))
	}
	r, err := e.client.Txn(ctx).If(guards...).Then(writes...).Else(reads...).Commit()
	if err != nil {
		return outcome{}, classifyWrite(err)
	}
	o := outcome{revision: r.Header.Revision}
	if r.Succeeded {
		o.changed = len(t.Puts) > 0
		for _, answer := range r.Responses {
			o.changed = o.changed || answer.GetResponseDeleteRange().GetDeleted() > 0
		}
		return o, nil
	}
	for i, g := range t.Guards {
		found := int64(0)
		if kvs := r.Responses[i].GetResponseRange().GetKvs(); len(kvs) > 0 {
			found = kvs[0].ModRevision
		}
		if !g.holds(found) {
			o.failed = append(o.failed, ConflictError{g, found})
		}
	}
	if len(o.failed) == 0 {
		return o, errors.New("etcd refused a transaction whose guards all hold")
	}
	return o, nil
}

func (e *etcd) watch(ctx context.Context, prefix string, from int64) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for {
			next, err := e.follow(clientv3.WithRequireLeader(ctx), prefix, from, yield)
			switch {
			case err == nil:
				return
			case ctx.Err() != nil:
				yield(Batch{}, ctx.Err())
				return
			case !errors.Is(err, ErrUnavailable):
				yield(Batch{}, fmt.Errorf("store: watch %s: %w", prefix, err))
				return
			}
			from = next
			pause(ctx, 200*time.Millisecond) // the member has no leader: another one may
		}
	}
}

// follow yields changes until the stream breaks; then it returns the first revision that is
// missing and why. A nil error means that the reader has enough.
func (e *etcd) follow(ctx context.Context, prefix string, from int64, yield func(Batch, error) bool) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r := range e.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := r.Err(); err != nil {
			return from, classify(err)
		}
		for events := r.Events; len(events) > 0; {
			b := Batch{Revision: events[0].Kv.ModRevision}
			for len(events) > 0 && events[0].Kv.ModRevision == b.Revision {
				b.Events = append(b.Events, Event{keyValue(events[0].Kv), events[0].Type == clientv3.EventTypeDelete})
				events = events[1:]
			}
			from = b.Revision + 1
			if !yield(b, nil) {
				return from, nil
			}
		}
	}
	return from, ErrUnavailable
}

func (e *etcd) grant(ctx context.Context, ttl time.Duration) (int64, error) {
	r, err := e.client.Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return 0, fmt.Errorf("store: ask for a lease: %w", classify(err))
	}
	return int64(r.ID), nil
}

func (e *etcd) renew(ctx context.Context, lease int64) error {
	_, err := e.client.KeepAliveOnce(ctx, clientv3.LeaseID(lease))
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return ErrConflict
	}
	return classify(err)
}

func (e *etcd) revoke(ctx context.Context, lease int64) error {
	_, err := e.client.Revoke(ctx, clientv3.LeaseID(lease))
	return classify(err)
}

func (e *etcd) compact(ctx context.Context, revision int64) error {
	_, err := e.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil
	}
	return classify(err)
}

// defragment leaves an external cluster alone: its members stop answering meanwhile, so its
// operator chooses the moment.
func (e *etcd) defragment(context.Context) error { return nil }

func (e *etcd) status(ctx context.Context) (dbStatus, error) {
	endpoint := ""
	if eps := e.client.Endpoints(); len(eps) > 0 {
		endpoint = eps[0]
	}
	r, err := e.client.Status(ctx, endpoint)
	if err != nil {
		return dbStatus{}, classify(err)
	}
	st := dbStatus{size: r.DbSize, inUse: r.DbSizeInUse, revision: r.Header.Revision}
	alarms, err := e.client.AlarmList(ctx)
	if err != nil {
		return st, classify(err)
	}
	for _, a := range alarms.Alarms {
		st.alarm = st.alarm || a.Alarm == etcdserverpb.AlarmType_NOSPACE
	}
	st.full = st.alarm
	return st, nil
}

func (e *etcd) snapshot(ctx context.Context, w io.Writer) error {
	r, err := e.client.Snapshot(ctx)
	if err != nil {
		return classify(err)
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("store: write the backup: %w", err)
	}
	return nil
}

// room is not known of an external cluster before it refuses.
func (e *etcd) room() error             { return nil }
func (e *etcd) failed() <-chan struct{} { return nil }
func (e *etcd) failure() error          { return nil }
func (e *etcd) close()                  { e.client.Close() }

// definite are the refusals after which a write has not happened.
var definite = []struct{ etcd, ours error }{
	{rpctypes.ErrTooManyOps, ErrTooLarge},
	{rpctypes.ErrRequestTooLarge, ErrTooLarge},
	{rpctypes.ErrTooManyRequests, ErrUnavailable},
	{rpctypes.ErrNoLeader, ErrUnavailable},
	{rpctypes.ErrPermissionDenied, ErrDenied},
	{rpctypes.ErrInvalidAuthToken, ErrDenied},
	{rpctypes.ErrAuthFailed, ErrDenied},
	{rpctypes.ErrUserEmpty, ErrDenied},
	{rpctypes.ErrAuthOldRevision, ErrUnavailable},
	{rpctypes.ErrLeaseNotFound, ErrConflict},
}

// refusal returns the kind of a definite refusal, or nil.
func refusal(err error) error {
	err = rpctypes.Error(err)
	for _, d := range definite {
		if errors.Is(err, d.etcd) {
			return d.ours
		}
	}
	return nil
}

// classify turns an error of a read into one of this package's, keeping etcd's words.
func classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	kind := ErrUnavailable
	if k := refusal(err); k != nil {
		kind = k
	} else if errors.Is(err, rpctypes.ErrCompacted) {
		kind = ErrCompacted
	} else if errors.Is(err, rpctypes.ErrNoSpace) {
		kind = ErrNoSpace
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// classifyWrite is classify for writes: whatever is not a definite refusal is ambiguous.
func classifyWrite(err error) error {
	if k := refusal(err); k != nil {
		return fmt.Errorf("%w: %w", k, err)
	}
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("%w: %w: %w", ErrNoSpace, ErrAmbiguous, err)
	}
	if c := status.Code(err); c == codes.Unauthenticated || c == codes.PermissionDenied {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", ErrAmbiguous, err)
}
