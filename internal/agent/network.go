package agent

import (
	"context"
	stdnet "net"
	"strings"

	"github.com/shirou/gopsutil/v4/net"
)

// networkCollector reports the traffic and the state of interfaces.
type networkCollector struct {
	rates  rates
	ignore []string // beginnings of names
}

// ignoredInterfaces are left out unless the configuration says otherwise, as by Monasca's agent.
var ignoredInterfaces = []string{"lo", "vnet", "tun", "ovs", "br", "tap", "qbr", "qvb", "qvo"}

func (c *networkCollector) collect(ctx context.Context, r *report) error {
	counters, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return err
	}
	up, err := upInterfaces()
	c.rates.begin(r.time)
	for _, n := range counters {
		if c.ignores(n.Name) {
			continue
		}
		for _, x := range []struct {
			name  string
			value uint64
		}{
			{"net.in_bytes_sec", n.BytesRecv}, {"net.out_bytes_sec", n.BytesSent},
			{"net.in_packets_sec", n.PacketsRecv}, {"net.out_packets_sec", n.PacketsSent},
			{"net.in_errors_sec", n.Errin}, {"net.out_errors_sec", n.Errout},
			{"net.in_packets_dropped_sec", n.Dropin}, {"net.out_packets_dropped_sec", n.Dropout},
		} {
			if v, ok := c.rates.rate(x.name+" "+n.Name, float64(x.value)); ok {
				r.add(x.name, round(v, 3), "device", n.Name)
			}
		}
		if isUp, known := up[n.Name]; known {
			r.add("net.int_status", status(isUp), "device", n.Name)
		}
	}
	return err
}

func (c *networkCollector) ignores(name string) bool {
	for _, prefix := range c.ignore {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func upInterfaces() (map[string]bool, error) {
	list, err := stdnet.Interfaces()
	out := make(map[string]bool, len(list))
	for _, i := range list {
		out[i.Name] = i.Flags&stdnet.FlagUp != 0 && i.Flags&stdnet.FlagRunning != 0
	}
	return out, err
}

// status is Monasca's: 0 is good.
func status(good bool) float64 {
	if good {
		return 0
	}
	return 1
}
