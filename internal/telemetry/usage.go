package telemetry

import "time"

// A Load is what a driver measures of one machine, from outside, since it started; MemoryBytes and DiskBytes are what it
// holds now.
type Load struct {
	CPUSeconds  float64
	MemoryBytes int64
	NetRxBytes  int64
	NetTxBytes  int64
	DiskBytes   int64
}

// Usage yields the samples that two looks at a machine come to, under the names that Monasca's agent uses where it has one:
//
//	cpu.percent        of one core, so that four busy cores are 400
//	mem.used_mb        binary megabytes
//	disk.used_mb
//	net.in_bytes_sec
//	net.out_bytes_sec
//
// The first look (elapsed 0) yields no rates; nor does one after a counter went back, because the machine is another.
func Usage(before, now Load, elapsed time.Duration, yield func(name string, value float64)) {
	const mb = 1 << 20
	yield("mem.used_mb", float64(now.MemoryBytes)/mb)
	yield("disk.used_mb", float64(now.DiskBytes)/mb)
	seconds := elapsed.Seconds()
	if seconds <= 0 {
		return
	}
	for _, counter := range []struct {
		name        string
		before, now float64
		scale       float64
	}{
		{"cpu.percent", before.CPUSeconds, now.CPUSeconds, 100},
		{"net.in_bytes_sec", float64(before.NetRxBytes), float64(now.NetRxBytes), 1},
		{"net.out_bytes_sec", float64(before.NetTxBytes), float64(now.NetTxBytes), 1},
	} {
		if counter.now >= counter.before {
			yield(counter.name, counter.scale*(counter.now-counter.before)/seconds)
		}
	}
}

// AddUsage adds Usage to a batch, as samples of one instance taken at now. The caller's Binding says which.
func AddUsage(b *Batch, before, load Load, elapsed time.Duration, now time.Time) error {
	var first error
	Usage(before, load, elapsed, func(name string, value float64) {
		if first == nil {
			first = b.end(name, b.begin())
		}
		if first == nil {
			first = b.point(now.UnixMilli(), value)
		}
	})
	return first
}
