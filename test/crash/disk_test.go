//go:build linux

package crash

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/disktest"
)

// TestFullDiskUnderHistory fills the disk that the history of metrics is on, and starts a server on it: alarms, notifications and policies
// go on, the server says what is wrong, and history goes on when there is room.
func TestFullDiskUnderHistory(t *testing.T) {
	r := newReactive(t)
	metrics := filepath.Join(r.dir, "data", "metrics")
	disktest.Mount(t, metrics, 96<<20)
	t.Cleanup(r.kill) // before the disk goes
	r.start("")
	r.prepare()
	r.loads = r.loads[:1]
	load := r.loads[0]
	health := func() *client.HistoryHealth {
		s, err := r.client.Status(r.ctx)
		if err != nil || s.Metrics == nil || s.Metrics.History == nil {
			t.Fatalf("the status: %+v %v", s.Metrics, err)
		}
		return s.Metrics.History
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for late := time.After(time.Minute); !holds(); {
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("not in a minute: %s; %+v\n%s", what, health(), r.log())
			}
		}
	}
	react := func(jobs float64) {
		t.Helper()
		for _, f := range []*flow{r.pressure, load} {
			for _, value := range []float64{95, 20} {
				if !r.send(f, value) {
					t.Fatal("a sample was not taken")
				}
				r.settle()
			}
		}
		if !r.send(r.jobs, jobs) || !r.send(r.beat, 1) {
			t.Fatal("a sample was not taken")
		}
		r.settle()
	}
	react(20)
	empty := disktest.Fill(t, metrics, 1<<20)
	until("the full disk shows", func() bool { return health().Failing != "" })
	react(30)
	if n := health().Waiting; n == 0 {
		t.Error("no samples wait for room")
	}
	if _, err := r.client.Metrics().Query(r.ctx, `load[1h]`, time.Now()); err != nil {
		t.Errorf("what was recorded before: %v", err)
	}
	empty()
	until("history goes on", func() bool { h := health(); return h.Failing == "" && h.Waiting == 0 })
	r.remembered()

	empty = disktest.Fill(t, metrics, 0)
	r.kill()
	r.start("") // without room
	react(10)
	empty()
	until("history goes on", func() bool { h := health(); return h.Failing == "" && h.Waiting == 0 })
	react(40)
	r.remembered()
	r.again(r.settle())
	t.Log(fmt.Sprint(len(load.times), " samples of each"))
}
