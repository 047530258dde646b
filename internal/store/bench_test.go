package store_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/store"
)

func benchStore(b *testing.B) *store.Store {
	s, err := store.Open(b.Context(), store.Options{DataDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// BenchmarkCommit commits as many callers do that each wait for their answer, with fsync. One
// operation is one transaction.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		for _, puts := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("callers=%d/puts=%d", callers, puts), func(b *testing.B) {
				s := benchStore(b)
				tenure, err := s.Acquire(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				value := make([]byte, 200)
				work := make(chan int)
				var wg sync.WaitGroup
				for c := range callers {
					id := strconv.Itoa(c)
					wg.Go(func() {
						head := store.Absent("service/" + id)
						for range work {
							txn := store.Txn{Order: id, Guards: []store.Guard{tenure.Fence(store.Shard(id)), head}}
							txn.Puts = append(txn.Puts, store.Put{Key: "service/" + id, Value: value})
							for p := 1; p < puts; p++ {
								txn.Puts = append(txn.Puts, store.Put{Key: fmt.Sprintf("instance/%s/%d", id, p), Value: value})
							}
							rev, err := s.Commit(context.Background(), txn)
							if err != nil {
								b.Error(err)
								return
							}
							head = store.At("service/"+id, rev)
						}
					})
				}
				b.ResetTimer()
				for i := range b.N {
					work <- i
				}
				close(work)
				wg.Wait()
				b.StopTimer()
				st := s.Stats()
				seconds := b.Elapsed().Seconds()
				b.ReportMetric(float64(b.N)/seconds, "commits/s")
				b.ReportMetric(float64(b.N*puts)/seconds, "puts/s")
				b.ReportMetric(float64(st.Commits)/float64(st.Groups), "commits/group")
			})
		}
	}
}

// BenchmarkLoad loads a million keys of 200 bytes.
func BenchmarkLoad(b *testing.B) {
	s := benchStore(b)
	const keys = 1_000_000
	var wg sync.WaitGroup
	slots := make(chan struct{}, 256)
	for i := 0; i < keys; i += 100 {
		var txn store.Txn
		for j := i; j < i+100; j++ {
			txn.Puts = append(txn.Puts, store.Put{Key: fmt.Sprintf("service/%d/role/0", j), Value: make([]byte, 200)})
		}
		slots <- struct{}{}
		wg.Add(1)
		s.Submit(txn, func(_ int64, err error) {
			if err != nil {
				b.Error(err)
			}
			<-slots
			wg.Done()
		})
	}
	wg.Wait()
	for b.Loop() {
		n := 0
		if _, err := s.Load(b.Context(), "service/", func(store.KV) error { n++; return nil }); err != nil || n != keys {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(keys)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkOpen starts on an empty folder until the shards are owned.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s, err := store.Open(b.Context(), store.Options{DataDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Acquire(b.Context()); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkIdle tells what a store costs that does nothing: percent of one core, and resident
// memory of the whole process.
func BenchmarkIdle(b *testing.B) {
	s := benchStore(b)
	if _, err := s.Acquire(b.Context()); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	for b.Loop() {
		before, began := cpu(b), time.Now()
		<-time.After(10 * time.Second)
		b.ReportMetric(100*(cpu(b)-before).Seconds()/time.Since(began).Seconds(), "%core")
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rss)[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(kib)/1024, "MB-rss")
}

// cpu returns the processor time that this process has used.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
