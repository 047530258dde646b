package agent

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
)

// diskCollector reports the space of local file systems and the traffic of their devices. Network file systems are left
// out: asking one whose server is gone never returns.
type diskCollector struct {
	rates  rates
	mounts []mount
	read   time.Time // when mounts was
}

// A mount is a local file system.
type mount struct {
	device string // base name
	point  string
	kernel string // the device's name in the kernel's statistics; "" when there is none
}

func (c *diskCollector) collect(ctx context.Context, r *report) error {
	if c.read.IsZero() || r.time.Sub(c.read) >= slowly {
		parts, err := disk.PartitionsWithContext(ctx, true)
		if err != nil && len(parts) == 0 {
			return err
		}
		c.mounts, c.read = localMounts(parts), r.time
	}
	var errs []error
	var total, used uint64
	var devices []string
	for _, m := range c.mounts {
		if m.kernel != "" {
			devices = append(devices, m.kernel)
		}
		u, err := disk.UsageWithContext(ctx, m.point)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		total += u.Total
		used += u.Used
		r.add("disk.space_used_perc", round(u.UsedPercent, 2), "device", m.device, "mount_point", m.point)
		if u.InodesTotal > 0 {
			r.add("disk.inode_used_perc", round(u.InodesUsedPercent, 2), "device", m.device, "mount_point", m.point)
		}
	}
	if len(c.mounts) > 0 {
		r.add("disk.total_space_mb", float64(total/mebibyte))
		r.add("disk.total_used_space_mb", float64(used/mebibyte))
	}
	c.rates.begin(r.time)
	if len(devices) > 0 {
		errs = append(errs, c.traffic(ctx, r, devices))
	}
	return errors.Join(errs...)
}

func (c *diskCollector) traffic(ctx context.Context, r *report, devices []string) error {
	counters, err := disk.IOCountersWithContext(ctx, devices...)
	if err != nil {
		return err
	}
	for _, m := range c.mounts {
		io, ok := counters[m.kernel]
		if !ok {
			continue
		}
		for _, x := range []struct {
			name  string
			value float64
		}{
			{"io.read_req_sec", float64(io.ReadCount)}, {"io.write_req_sec", float64(io.WriteCount)},
			{"io.read_kbytes_sec", float64(io.ReadBytes) / 1024}, {"io.write_kbytes_sec", float64(io.WriteBytes) / 1024},
			{"io.read_time_sec", float64(io.ReadTime) / 1000}, {"io.write_time_sec", float64(io.WriteTime) / 1000},
		} {
			if v, ok := c.rates.rate(x.name+" "+m.kernel, x.value); ok {
				r.add(x.name, round(v, 3), "device", m.device, "mount_point", m.point)
			}
		}
	}
	return nil
}

// localMounts picks the local file systems, each device once, at its shortest mount point.
func localMounts(parts []disk.PartitionStat) []mount {
	best := make(map[string]disk.PartitionStat)
	for _, p := range parts {
		if !local(p) {
			continue
		}
		if known, ok := best[p.Device]; !ok || len(p.Mountpoint) < len(known.Mountpoint) {
			best[p.Device] = p
		}
	}
	out := make([]mount, 0, len(best))
	for device, p := range best {
		m := mount{device: filepath.Base(device), point: p.Mountpoint}
		if strings.HasPrefix(device, "/dev/") {
			m.kernel = m.device
			if real, err := filepath.EvalSymlinks(device); err == nil { // /dev/mapper/x is dm-0 to the kernel
				m.kernel = filepath.Base(real)
			}
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b mount) int { return strings.Compare(a.point, b.point) })
	return out
}

func local(p disk.PartitionStat) bool {
	switch p.Fstype {
	case "squashfs", "iso9660", "udf", "erofs": // always full
		return false
	case "zfs":
		return true
	}
	return strings.HasPrefix(p.Device, "/dev/") || p.Mountpoint == "/" && !strings.Contains(p.Device, ":")
}
