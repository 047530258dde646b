//go:build linux

package process

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// BenchmarkCreate measures one creation, until the main program runs.
func BenchmarkCreate(b *testing.B) {
	h := openHost(b, config(b))
	n := 0
	for b.Loop() {
		n++
		m, err := h.Create(b.Context(), request(n, command("exec sleep 1000")))
		if err != nil || m.State != driver.Running {
			b.Fatalf("%v %v", m, err)
		}
	}
}

// BenchmarkDestroy measures one removal of a running machine.
func BenchmarkDestroy(b *testing.B) {
	h := openHost(b, config(b))
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		m, err := h.Create(b.Context(), request(n, command("exec sleep 1000")))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := h.Destroy(b.Context(), driver.Ref{ID: m.ID}, driver.Hard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkKillToNotice measures from SIGKILL of a main program until Watch has told of it.
func BenchmarkKillToNotice(b *testing.B) { benchmarkKill(b, false) }

// BenchmarkKillToReplaced measures from SIGKILL of a main program until its replacement runs.
func BenchmarkKillToReplaced(b *testing.B) { benchmarkKill(b, true) }

func benchmarkKill(b *testing.B, replace bool) {
	h := openHost(b, config(b))
	exited := make(chan driver.MachineID, 1000)
	watching(b, h, func(m driver.Machine) {
		if m.State == driver.Exited || m.State == driver.Failed {
			exited <- m.ID
		}
	})
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		m, err := h.Create(b.Context(), request(n, command("exec sleep 1000")))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := mainOf(b, h, m.ID).signal(unix.SIGKILL); err != nil {
			b.Fatal(err)
		}
		<-exited
		if replace {
			n++
			if _, err := h.Create(b.Context(), request(n, command("exec sleep 1000"))); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkAtRest tells the memory of a supervisor, and the time to list and measure 200 machines.
func BenchmarkAtRest(b *testing.B) {
	h := openHost(b, config(b))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				if _, err := h.Create(b.Context(), request(1000*i+j, command("exec sleep 1000"))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all := table()
	pages, n := int64(0), int64(0)
	for m := range h.List(b.Context()) {
		r, err := h.folder(m.ID).run()
		if err != nil {
			b.Fatal(err)
		}
		pages += all[r.Supervisor.PID].Pages
		n++
	}
	rss := "KiB-RSS/supervisor"
	b.Run("List200", func(b *testing.B) {
		for b.Loop() {
			for range h.List(b.Context()) {
			}
		}
		b.ReportMetric(float64(pages*4/n), rss)
	})
	b.Run("Measure200", func(b *testing.B) {
		for b.Loop() {
			for range h.Measure(b.Context()) {
			}
		}
	})
}
