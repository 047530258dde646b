package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
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
	"github.com/prometheus/prometheus/util/compression"
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
}

// History keeps samples in an embedded Prometheus database. It is safe for concurrent use.
type History struct {
	o       HistoryOptions
	db      *tsdb.DB
	metas   *metaLog
	engine  *promql.Engine
	parser  parser.Parser
	queries *semaphore.Weighted

	mu    sync.RWMutex
	known []*atomic.Pointer[located] // by metric.Series.ID

	refusedOld, refusedDouble atomic.Uint64
}

// located is where the database has a series.
type located struct {
	series *metric.Series
	ref    storage.SeriesRef
}

// OpenHistory opens or makes the database in o.Dir, and repairs what a crash left behind.
func OpenHistory(o HistoryOptions) (*History, error) {
	o.Retention = cmp.Or(o.Retention, retention)
	o.Block = cmp.Or(o.Block, 2*time.Hour)
	o.QueryTimeout = cmp.Or(o.QueryTimeout, 30*time.Second)
	o.QuerySamples = cmp.Or(o.QuerySamples, 10_000_000)
	o.Queries = cmp.Or(o.Queries, 8)
	o.MetaBytes = cmp.Or(o.MetaBytes, 64<<20)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	d := tsdb.DefaultOptions()
	d.RetentionDuration = o.Retention.Milliseconds()
	d.MaxBytes = o.MaxBytes
	d.OutOfOrderTimeWindow = o.Retention.Milliseconds() // samples may come as late as they are worth keeping
	d.MinBlockDuration = o.Block.Milliseconds()
	d.MaxBlockDuration = max(o.Block.Milliseconds(), min(31*24*time.Hour, o.Retention/10).Milliseconds())
	d.WALCompression = compression.Snappy
	d.StripeSize = 2048 // locks for a few cores; the default takes 2 MB
	db, err := tsdb.Open(filepath.Join(o.Dir, "samples"), o.Log.With("part", "history"), o.Registerer, d, nil)
	if err != nil {
		return nil, fmt.Errorf("open history in %s: %w", o.Dir, err)
	}
	metas, err := openMetaLog(filepath.Join(o.Dir, "meta"), o.MetaBytes)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open history in %s: %w", o.Dir, err), db.Close())
	}
	p := parser.NewParser(parser.Options{})
	return &History{o: o, db: db, metas: metas, parser: p, queries: semaphore.NewWeighted(int64(o.Queries)),
		engine: promql.NewEngine(promql.EngineOpts{
			Logger: o.Log, MaxSamples: o.QuerySamples, Timeout: o.QueryTimeout, Parser: p,
			EnableAtModifier: true, EnableNegativeOffset: true,
			NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryPeriod.Milliseconds() },
		})}, nil
}

// Close writes what is in memory and ends all work.
func (h *History) Close() error {
	return errors.Join(h.engine.Close(), h.metas.close(), h.db.Close())
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
	app := h.db.AppenderV2(context.Background())
	for i := range points {
		if err := h.append(app, &points[i]); err != nil {
			return errors.Join(fmt.Errorf("record samples: %w", err), app.Rollback())
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("record samples: %w", err)
	}
	for i := range points {
		if len(points[i].Meta) > 0 {
			if err := h.metas.add(seriesKey(points[i].Series), points[i].Time, points[i].Meta); err != nil {
				return fmt.Errorf("record value_meta: %w", err)
			}
		}
	}
	return nil
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
}

// Health returns figures for /metrics and the status page.
func (h *History) Health() HistoryHealth {
	out := HistoryHealth{Series: h.db.Head().NumSeries(), TooOld: h.refusedOld.Load(), Duplicates: h.refusedDouble.Load(), MetaBytes: h.metas.size()}
	oldest := h.db.Head().MinTime()
	for _, b := range h.db.Blocks() {
		out.DiskBytes += b.Size()
		oldest = min(oldest, b.MinTime())
	}
	out.DiskBytes += h.db.Head().Size()
	if h.db.Head().NumSeries() > 0 || len(h.db.Blocks()) > 0 {
		out.Oldest = time.UnixMilli(oldest)
	}
	return out
}
