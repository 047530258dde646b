package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"golang.org/x/sync/semaphore"

	"github.com/troupe-dev/troupe/internal/metric"
)

// tenantLabel tells tenants apart inside the database. It never leaves this package.
const tenantLabel = "__tenant__"

// retention is how long samples are kept when nothing else is said.
const retention = 15 * 24 * time.Hour

// HistoryOptions say where history lies and how much is kept. Zero values take the defaults that are named.
type HistoryOptions struct {
	Dir        string                // made if missing
	Retention  time.Duration         // default 15 days
	MaxBytes   int64                 // of blocks on disk; 0: no bound
	Block      time.Duration         // what is held in memory before it is written as a block; default 2 h
	Registerer prometheus.Registerer // of the database's own figures; nil for none
	Log        *slog.Logger          // nil: slog.Default

	QueryTimeout time.Duration // of one PromQL query; default 30 s
	QuerySamples int           // that one query may hold in memory; default 10,000,000
	Queries      int           // at the same time; default 8
	MetaBytes    int64         // of Monasca's value_meta on disk; default 64 MiB

	// Beside: while another process holds Dir, history is kept in a folder beside it, Dir-<time>. It joins Dir as soon as that is free.
	Beside  bool
	Reserve int64 // bytes that are left to others: with less room nothing is recorded; default 64 MiB, negative for none
}

// History keeps samples in an embedded Prometheus database. It is safe for concurrent use. What its disk does not take is an error of
// Append and no more: what was recorded can be read, and recording goes on when there is room.
type History struct {
	o       HistoryOptions
	engine  *promql.Engine
	parser  parser.Parser
	queries *semaphore.Weighted

	use    sync.RWMutex          // write-held while base is replaced; nobody waits for it, see hold
	base   *base                 // nil while the disk does not let it be opened
	faulty atomic.Pointer[fault] // nil when all is well

	mu    sync.RWMutex
	known []*atomic.Pointer[located] // by metric.Series.ID, of base

	refusedOld, refusedDouble atomic.Uint64

	cancel context.CancelFunc
	done   chan struct{} // closed when upkeep has ended
}

// located is where the database has a series.
type located struct {
	series *metric.Series
	ref    storage.SeriesRef
}

// OpenHistory opens or makes the database in o.Dir, and repairs what a crash left behind. A disk that is full or broken is no error:
// it is tried again.
func OpenHistory(o HistoryOptions) (*History, error) {
	o.Retention = cmp.Or(o.Retention, retention)
	o.Block = cmp.Or(o.Block, 2*time.Hour)
	o.QueryTimeout = cmp.Or(o.QueryTimeout, 30*time.Second)
	o.QuerySamples = cmp.Or(o.QuerySamples, 10_000_000)
	o.Queries = cmp.Or(o.Queries, 8)
	o.MetaBytes = cmp.Or(o.MetaBytes, 64<<20)
	o.Reserve = cmp.Or(o.Reserve, 64<<20)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	p := parser.NewParser(parser.Options{})
	h := &History{o: o, parser: p, queries: semaphore.NewWeighted(int64(o.Queries)), done: make(chan struct{}),
		engine: promql.NewEngine(promql.EngineOpts{
			Logger: o.Log, MaxSamples: o.QuerySamples, Timeout: o.QueryTimeout, Parser: p,
			EnableAtModifier: true, EnableNegativeOffset: true,
			NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryPeriod.Milliseconds() },
		})}
	if err := h.open(); err != nil {
		return nil, errors.Join(err, h.engine.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go h.upkeep(ctx)
	return h, nil
}

// Close writes what is in memory and ends all work. Nothing may be read any more.
func (h *History) Close() error {
	h.cancel()
	<-h.done
	err := h.engine.Close()
	if h.base != nil {
		err = errors.Join(err, h.base.close())
	}
	return err
}

// labelsOf returns a series' labels as the database has them.
func labelsOf(s *metric.Series) labels.Labels {
	b := labels.NewScratchBuilder(len(s.Dimensions) + 2)
	b.Add(model.MetricNameLabel, s.Name)
	b.Add(tenantLabel, strconv.Itoa(s.Tenant))
	for _, d := range s.Dimensions {
		b.Add(d.Name, d.Value)
	}
	b.Sort()
	return b.Labels()
}

// slot returns where a series' reference is kept.
func (h *History) slot(id uint32) *atomic.Pointer[located] {
	h.mu.RLock()
	if int(id) < len(h.known) {
		defer h.mu.RUnlock()
		return h.known[id]
	}
	h.mu.RUnlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for int(id) >= len(h.known) {
		more := make([]atomic.Pointer[located], 256)
		for i := range more {
			h.known = append(h.known, &more[i])
		}
	}
	return h.known[id]
}

// Append records points. What the database knows already, or is too old for it, is left out and counted. An error says
// that the disk is full or broken; the same points may be appended again.
func (h *History) Append(points []metric.Point) error {
	base, release, err := h.hold()
	if err != nil {
		return err
	}
	defer release()
	if why := h.faulty.Load(); why != nil {
		return why.err
	}
	if err := guarded(func() error { return h.appendTo(base, points) }); err != nil {
		err = fmt.Errorf("record samples: %w", err)
		h.fault(err, true)
		return err
	}
	for i := range points {
		if len(points[i].Meta) > 0 {
			if err := base.metas.add(seriesKey(points[i].Series), points[i].Time, points[i].Meta); err != nil {
				return fmt.Errorf("record value_meta: %w", err)
			}
		}
	}
	return nil
}

func (h *History) appendTo(base *base, points []metric.Point) error {
	app := base.db.AppenderV2(context.Background())
	for i := range points {
		if err := h.append(app, &points[i]); err != nil {
			return errors.Join(err, app.Rollback())
		}
	}
	return app.Commit()
}

func (h *History) append(app storage.AppenderV2, p *metric.Point) error {
	slot := h.slot(p.Series.ID)
	at := slot.Load()
	native := p.Histogram
	if native != nil {
		native = native.Copy() // the database keeps and changes it
	}
	var ref storage.SeriesRef
	var err error
	if at != nil && at.series == p.Series {
		ref, err = app.Append(at.ref, labels.EmptyLabels(), 0, p.Time, p.Value, nil, native, storage.AOptions{})
	}
	if at == nil || at.series != p.Series || errors.Is(err, tsdb.ErrInvalidSample) { // unknown here, or no longer in memory there
		ref, err = app.Append(0, labelsOf(p.Series), 0, p.Time, p.Value, nil, native, storage.AOptions{})
		if err == nil {
			slot.Store(&located{p.Series, ref})
		}
	} else if err == nil && ref != at.ref {
		slot.Store(&located{p.Series, ref})
	}
	switch {
	case err == nil: // first: to name ErrDuplicateSampleForTimestamp allocates
		return nil
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample):
		h.refusedOld.Add(1)
		return nil
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		h.refusedDouble.Add(1)
		return nil
	case native != nil && errors.As(err, new(histogram.Error)): // the disk is well
		h.refusedOld.Add(1)
		return nil
	}
	return err
}

// Forget lets go of a series whose ID will be another's. What was recorded stays.
func (h *History) Forget(s *metric.Series) { h.slot(s.ID).Store(nil) }

// HistoryHealth are figures about the database.
type HistoryHealth struct {
	Series     uint64 // in memory
	Oldest     time.Time
	DiskBytes  int64
	TooOld     uint64 // samples left out
	Duplicates uint64
	MetaBytes  int64
	Failing    error // why nothing is recorded; nil when all is well
}

// Health returns figures for /metrics and the status page.
func (h *History) Health() HistoryHealth {
	out := HistoryHealth{TooOld: h.refusedOld.Load(), Duplicates: h.refusedDouble.Load()}
	if why := h.faulty.Load(); why != nil {
		out.Failing = why.err
	}
	base, release, err := h.hold()
	if err != nil {
		out.Failing = err
		return out
	}
	defer release()
	head, blocks := base.db.Head(), base.db.Blocks()
	out.Series, out.MetaBytes, out.DiskBytes = head.NumSeries(), base.metas.size(), head.Size()
	oldest := head.MinTime()
	for _, b := range blocks {
		out.DiskBytes += b.Size()
		oldest = min(oldest, b.MinTime())
	}
	if out.Series > 0 || len(blocks) > 0 {
		out.Oldest = time.UnixMilli(oldest)
	}
	return out
}
