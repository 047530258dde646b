package telemetry

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"

	"github.com/troupe-dev/troupe/internal/metric"
)

func TestForward(t *testing.T) {
	var answers atomic.Int64
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answers.Add(1) <= 2 {
			http.Error(w, "not now", http.StatusInternalServerError)
			return
		}
		raw, _ := io.ReadAll(r.Body)
		raw, err := snappy.Decode(nil, raw)
		if err != nil {
			t.Error(err)
		}
		b := NewBatch()
		defer b.Free()
		if err := DecodeRemoteWrite(b, raw); err != nil {
			t.Error(err)
		}
		got <- r.Header.Get("Authorization") + "\n" + show(b)
	}))
	defer server.Close()
	f := NewForwarder(ForwardOptions{URL: server.URL, Header: map[string]string{"Authorization": "Bearer x"}, TenantLabel: "tenant",
		Client: server.Client(), Linger: 5 * time.Millisecond, Log: quiet})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { f.Run(ctx) })
	a := &metric.Series{Tenant: 3, Name: "cpu.user_perc", Dimensions: metric.Dimensions{{Name: "a b", Value: "1"}}}
	c := &metric.Series{Tenant: 3, Name: "7up"}
	_ = f.Append([]metric.Point{{Series: a, Time: noon.UnixMilli(), Value: 1}, {Series: c, Time: noon.UnixMilli(), Value: 2}, {Series: a, Time: noon.UnixMilli() + 1, Value: 3}})
	want := "Bearer x\ncpu_user_perc{a_b=1, tenant=3} 1 @12:00:00.000\ncpu_user_perc{a_b=1, tenant=3} 3 @12:00:00.001\n_7up{tenant=3} 2 @12:00:00.000\n"
	if got := <-got; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	_ = f.Append([]metric.Point{{Series: c, Time: noon.UnixMilli() + 5, Value: 2}})
	<-got // so that the first request was answered
	cancel()
	run.Wait()
	if h := f.Health(); h.Sent < 3 || h.Failed < 2 || h.Queued != 0 {
		t.Errorf("%+v", h)
	}
}

func TestForwardDrops(t *testing.T) {
	f := NewForwarder(ForwardOptions{URL: "http://127.0.0.1:1", Queue: 10, Log: quiet})
	s := &metric.Series{Name: "m"}
	for i := range 15 {
		_ = f.Append([]metric.Point{{Series: s, Time: int64(i)}})
	}
	if h := f.Health(); h.Queued != 10 || h.Dropped != 5 {
		t.Errorf("%+v", h)
	}
	for i, p := range f.take(nil) {
		if p.Time != int64(i) {
			t.Errorf("point %d is of %d", i, p.Time)
		}
	}
	_ = f.Append([]metric.Point{{Series: s, Time: 99}})
	if left := f.take(nil); len(left) != 1 || left[0].Time != 99 {
		t.Error(left)
	}
}
