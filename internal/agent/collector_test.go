package agent

import (
	"context"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/disk"
)

// values returns the values of a report by name and device.
func values(r *report) map[string]float64 {
	out := make(map[string]float64)
	for _, m := range r.list {
		key := m.Name
		if d := m.Dimensions["device"]; d != "" {
			key += " " + d
		}
		out[key] = m.Value
	}
	return out
}

// fake writes files of a /proc and returns a context in which collectors read it.
func fake(t *testing.T, dir string, files map[string]string) context.Context {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return context.WithValue(t.Context(), common.EnvKey, common.EnvMap{common.HostProcEnvKey: dir, common.HostSysEnvKey: dir})
}

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// twice runs a collector on two states of /proc, 2 s apart, and returns what each run found.
func twice(t *testing.T, c collector, before, after map[string]string) (first, second map[string]float64) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	dir := t.TempDir()
	r := &report{time: start}
	if err := c.collect(fake(t, dir, before), r); err != nil {
		t.Fatal(err)
	}
	s := &report{time: start.Add(2 * time.Second)}
	if err := c.collect(fake(t, dir, after), s); err != nil {
		t.Fatal(err)
	}
	return values(r), values(s)
}

func wantValues(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if g, ok := got[name]; !ok || math.Abs(g-v) > 1e-9 {
			t.Errorf("%s is %v (there: %t), want %v", name, g, ok, v)
		}
	}
}

const cpuinfo = "processor\t: 0\ncpu MHz\t\t: 2500.000\n\nprocessor\t: 1\ncpu MHz\t\t: 2500.000\n\n"

func TestCPU(t *testing.T) {
	// Hundredths of a second of two processors: user nice system idle iowait irq softirq steal.
	stat := func(line string) map[string]string {
		return map[string]string{"stat": "cpu  " + line + "\ncpu0 " + line + "\ncpu1 0 0 0 0 0 0 0 0 0 0\n", "cpuinfo": cpuinfo}
	}
	first, second := twice(t, &cpuCollector{}, stat("1000 100 500 8000 200 10 20 30 0 0"), stat("1150 150 520 8100 220 15 25 80 0 0"))
	if _, ok := first["cpu.user_perc"]; ok {
		t.Error("there is a share before the second run")
	}
	wantValues(t, first, map[string]float64{"cpu.user_time": 11, "cpu.system_time": 5.3, "cpu.idle_time": 80, "cpu.wait_time": 2,
		"cpu.frequency_mhz": 2500, "cpu.total_logical_cores": 2})
	// 4 s passed: user 2, system 0.3, idle 1, wait 0.2, stolen 0.5.
	wantValues(t, second, map[string]float64{"cpu.user_perc": 50, "cpu.system_perc": 7.5, "cpu.idle_perc": 25, "cpu.wait_perc": 5,
		"cpu.stolen_perc": 12.5, "cpu.percent": 70})
}

func TestMemory(t *testing.T) {
	info := map[string]string{"meminfo": `MemTotal:        4194304 kB
MemFree:         1048576 kB
MemAvailable:    2097152 kB
Buffers:          102400 kB
Cached:           921600 kB
Shmem:             10240 kB
Slab:             204800 kB
SReclaimable:     102400 kB
SwapTotal:       2097152 kB
SwapFree:        1572864 kB
`}
	first, _ := twice(t, memoryCollector{}, info, info)
	wantValues(t, first, map[string]float64{"mem.total_mb": 4096, "mem.free_mb": 1024, "mem.usable_mb": 2048, "mem.usable_perc": 50,
		"mem.swap_total_mb": 2048, "mem.swap_used_mb": 512, "mem.swap_free_mb": 1536, "mem.swap_free_perc": 75,
		"mem.used_buffers": 100, "mem.used_cache": 1000, "mem.used_shared": 10, "mem.used_slab_mb": 200, "mem.used_real_mb": 1972})
	none := map[string]string{"meminfo": "MemTotal: 1024 kB\nMemFree: 512 kB\nMemAvailable: 512 kB\n"}
	first, _ = twice(t, memoryCollector{}, none, none)
	wantValues(t, first, map[string]float64{"mem.swap_free_perc": 100})
}

func TestNetwork(t *testing.T) {
	head := "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
	first, second := twice(t, &networkCollector{ignore: ignoredInterfaces},
		map[string]string{"net/dev": head + "    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth7: 1000 10 1 2 0 0 0 0 5000 20 3 4 0 0 0 0\n  eth8: 500 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"},
		map[string]string{"net/dev": head + "    lo: 99 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth7: 3000 30 2 4 0 0 0 0 6000 24 3 5 0 0 0 0\n  eth8: 100 2 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"})
	if len(first) > 0 {
		t.Errorf("rates before the second run: %v", first)
	}
	wantValues(t, second, map[string]float64{"net.in_bytes_sec eth7": 1000, "net.out_bytes_sec eth7": 500, "net.in_packets_sec eth7": 10,
		"net.out_packets_sec eth7": 2, "net.in_errors_sec eth7": 0.5, "net.out_errors_sec eth7": 0, "net.in_packets_dropped_sec eth7": 1,
		"net.out_packets_dropped_sec eth7": 0.5, "net.in_packets_sec eth8": 0.5})
	if _, ok := second["net.in_bytes_sec eth8"]; ok {
		t.Error("a counter that was set back has a rate")
	}
	if _, ok := second["net.in_bytes_sec lo"]; ok {
		t.Error("lo is reported")
	}
}

func TestDiskTraffic(t *testing.T) {
	c := &diskCollector{mounts: []mount{{"data", t.TempDir(), "dm-3"}}, read: start}
	first, second := twice(t, c,
		map[string]string{"diskstats": " 253 3 dm-3 100 0 2000 500 40 0 800 100 0 10 10\n"},
		map[string]string{"diskstats": " 253 3 dm-3 120 0 2400 900 44 0 1600 140 0 10 10\n"})
	if _, ok := first["io.read_req_sec data"]; ok {
		t.Error("a rate before the second run")
	}
	wantValues(t, second, map[string]float64{"io.read_req_sec data": 10, "io.write_req_sec data": 2, "io.read_kbytes_sec data": 100,
		"io.write_kbytes_sec data": 200, "io.read_time_sec data": 0.2, "io.write_time_sec data": 0.02})
}

func TestLocalMounts(t *testing.T) {
	got := localMounts([]disk.PartitionStat{
		{Device: "/dev/sda1", Mountpoint: "/var/lib/x", Fstype: "ext4"},
		{Device: "/dev/sda1", Mountpoint: "/", Fstype: "ext4"},
		{Device: "proc", Mountpoint: "/proc", Fstype: "proc"},
		{Device: "server:/home", Mountpoint: "/home", Fstype: "nfs4"},
		{Device: "/dev/loop3", Mountpoint: "/snap/core", Fstype: "squashfs"},
		{Device: "tank", Mountpoint: "/tank", Fstype: "zfs"},
	})
	want := []mount{{"sda1", "/", "sda1"}, {"tank", "/tank", ""}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("mounts are %v, want %v", got, want)
	}
}

// On the machine of the test all values must be such as a machine can have, and all groups must be there.
func TestThisMachine(t *testing.T) {
	a, err := New(&Config{Interval: ShortestSpan, Dimensions: map[string]string{"zone": "z"}}, Options{Print: true})
	if err != nil {
		t.Fatal(err)
	}
	a.settle(t.Context())
	a.collect(t.Context())
	r := a.collect(t.Context())
	seen := make(map[string]bool)
	for _, m := range r {
		group, _, _ := strings.Cut(m.Name, ".")
		seen[group] = true
		if m.Dimensions["hostname"] == "" || m.Dimensions["zone"] != "z" {
			t.Errorf("%s has dimensions %v", m.Name, m.Dimensions)
		}
		if m.Value < 0 || strings.HasSuffix(m.Name, "_perc") && m.Value > 100 {
			t.Errorf("%s is %v", m.Name, m.Value)
		}
	}
	got := values(&report{list: r})
	if got["mem.total_mb"] < 64 || got["mem.usable_mb"] > got["mem.total_mb"] || got["mem.free_mb"] > got["mem.total_mb"] {
		t.Errorf("memory: %v", got)
	}
	for _, group := range []string{"cpu", "mem", "load", "disk", "monasca"} {
		if !seen[group] {
			t.Errorf("nothing of %s", group)
		}
	}
}

func TestProcesses(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("no cat here")
	}
	name := "agent-test-cat"
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(cat, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(link)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &processCollector{checks: []ProcessCheck{{Name: name, Search: []string{link}, Detailed: true, Dimensions: map[string]string{"component": "x"}}}}
	r := &report{time: time.Now()}
	if err := c.collect(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := values(r)
	wantValues(t, got, map[string]float64{"process.pid_count": 1, "process.thread_count": 1})
	if got["process.open_file_descriptors"] < 3 || r.list[0].Dimensions["process_name"] != name || r.list[0].Dimensions["component"] != "x" {
		t.Errorf("found %v", r.list)
	}
	in.Close()
	_ = cmd.Wait()
	r = &report{time: time.Now().Add(time.Second)}
	if err := c.collect(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	wantValues(t, values(r), map[string]float64{"process.pid_count": 0})
	if len(r.list) != 1 {
		t.Errorf("of no process there is %v", r.list)
	}
}

func TestTCPProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := tcpProbe{&TCPCheck{Address: l.Addr().String()}}
	r := new(report)
	if err := p.run(t.Context(), r); err != nil || values(r)["network.tcp.status"] != 0 || len(r.list) != 2 {
		t.Errorf("open port: %v, %v", err, r.list)
	}
	l.Close()
	r = new(report)
	if err := p.run(t.Context(), r); err == nil || len(r.list) != 1 || r.list[0].Value != 1 || r.list[0].Meta["error"] == "" {
		t.Errorf("closed port: %v, %v", err, r.list)
	}
}
